//! What `lanyard explain` is asked about.

use std::str::FromStr;

use clap::Args;
use lanyard_access::{
    grant::Protocol,
    host::{Host, ParseHostError},
    object::ObjectKey,
    port::Port,
};
use thiserror::Error;

use super::OutputArgs;

#[derive(Debug, Args)]
#[command(after_help = "\
A URL is https://HOST[:PORT]/PATH, http://HOST[:PORT]/PATH, tcp://HOST:PORT or udp://ADDRESS:PORT. Without a
path, only the host and port are looked at.

Examples:
  lanyard explain
  lanyard explain --as deploy-bot https://api.example.com/v1
  lanyard explain --as deploy-bot -X DELETE https://api.example.com/orders/7
  lanyard explain --as deploy-bot tcp://192.0.2.7:5432")]
pub(crate) struct ExplainArgs {
    /// The last refusal; this is also what is meant when nothing is named
    #[arg(long, conflicts_with_all = ["event", "would"])]
    pub(crate) last: bool,

    /// The agent that would go to URL
    #[arg(
        id = "would",
        long = "as",
        value_name = "[NAMESPACE/]NAME",
        requires = "event"
    )]
    pub(crate) agent: Option<ObjectKey>,

    /// The id of a record, as `audit tail -o json` shows it; with --as a URL
    #[arg(id = "event", value_name = "EVENT_ID|URL")]
    pub(crate) named: Option<String>,

    /// The method of the request that the URL is for
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    pub(crate) method: String,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// What is to be explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// The last refusal.
    Last,
    /// A record.
    Event(String),
    /// What has not happened.
    Attempt(ObjectKey, Target),
}

impl ExplainArgs {
    /// What is asked.
    pub(crate) fn what(&self) -> Result<What, ParseTargetError> {
        Ok(match (&self.agent, &self.named) {
            (_, None) => What::Last,
            (None, Some(event)) => What::Event(event.clone()),
            (Some(agent), Some(url)) => What::Attempt(agent.clone(), url.parse()?),
        })
    }
}

/// Where a process might go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) protocol: Protocol,
    pub(crate) host: Host,
    pub(crate) port: Port,
    /// Of a request, with its query.
    pub(crate) path: Option<String>,
}

/// Why a text is not a [`Target`].
#[derive(Debug, Error)]
pub(crate) enum ParseTargetError {
    #[error(
        "`{0}` is not a URL of the kind https://HOST/PATH, http://HOST/PATH, tcp://HOST:PORT or udp://ADDRESS:PORT"
    )]
    Scheme(String),
    #[error("`{0}` names no port")]
    NoPort(String),
    #[error("`{0}` has no port from 1 to 65535 behind the colon")]
    Port(String),
    #[error("{0}")]
    Host(#[from] ParseHostError),
}

impl FromStr for Target {
    type Err = ParseTargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || ParseTargetError::Scheme(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(unknown)?;
        let (protocol, usual) = match scheme.to_ascii_lowercase().as_str() {
            "https" => (Protocol::Https, Some(443)),
            "http" => (Protocol::Http, Some(80)),
            "tcp" => (Protocol::Tcp, None),
            "udp" => (Protocol::Udp, None),
            _ => return Err(unknown()),
        };
        let place = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let path = rest[place.len()..].split('#').next();
        let path = path.map(|path| match path.strip_prefix('?') {
            Some(query) => format!("/?{query}"),
            None => path.to_owned(),
        });
        let is_request = matches!(protocol, Protocol::Https | Protocol::Http);
        let (host, port) = split_port(place);
        let port = match port {
            Some(port) => port
                .parse()
                .map_err(|_| ParseTargetError::Port(text.to_owned()))?,
            None => usual.ok_or_else(|| ParseTargetError::NoPort(text.to_owned()))?,
        };
        Ok(Self {
            protocol,
            host: host.parse()?,
            path: path.filter(|path| is_request && !path.is_empty()),
            port: Port::new(port).map_err(|_| ParseTargetError::Port(text.to_owned()))?,
        })
    }
}

/// An IPv6 address stands in brackets (RFC 3986, 3.2.2).
fn split_port(place: &str) -> (&str, Option<&str>) {
    if let Some((address, rest)) = place
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        return (address, rest.strip_prefix(':'));
    }
    match place.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (place, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> (Protocol, String, u16) {
        let target: Target = text.parse().unwrap();
        (target.protocol, target.host.to_string(), target.port.get())
    }

    #[test]
    fn a_url_is_a_protocol_a_host_and_a_port() {
        let https = (Protocol::Https, "api.example.com".to_owned(), 443);
        for url in [
            "https://api.example.com",
            "HTTPS://API.example.com/v1?q=secret#x",
            "https://api.example.com:443/",
        ] {
            assert_eq!(target(url), https, "{url}");
        }
        let v6 = (Protocol::Udp, "2001:db8::1".to_owned(), 5000);
        assert_eq!(target("udp://[2001:db8::1]:5000"), v6);
        let v4 = (Protocol::Tcp, "192.0.2.7".to_owned(), 22);
        assert_eq!(target("tcp://192.0.2.7:22"), v4);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for bad in [
            "api.example.com",
            "ftp://a.example/",
            "tcp://192.0.2.7",
            "tcp://192.0.2.7:0",
            "tcp://192.0.2.7:65536",
            "https://:443/",
            "https://user@a.example/",
            "https://[::1/",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad} was accepted");
        }
    }
}
