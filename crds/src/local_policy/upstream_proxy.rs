//! The proxy through which a machine reaches services.

use std::collections::BTreeSet;

use lanyard_access::{
    host::{DnsName, Host},
    object::ObjectKey,
    port::Port,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::field::FieldErrors;

/// A proxy that opens tunnels (CONNECT, RFC 9110, 9.3.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamProxy {
    /// Where it is: a name or an address.
    pub host: Host,
    /// Its port.
    pub port: Port,
    /// Namespace and name of the secret that it wants; its keys are `username` and `password`.
    pub secret: Option<ObjectKey>,
    /// Names that are reached without it, and all names below them.
    pub except: BTreeSet<DnsName>,
}

/// As it is written.
#[derive(JsonSchema, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Written {
    #[schemars(length(min = 1, max = 320))]
    url: String,
    #[serde(default)]
    #[schemars(length(min = 1, max = 317))]
    secret: Option<String>,
    #[serde(default)]
    #[schemars(schema_with = "crate::text::dns_names")]
    except: Vec<String>,
}

const NO_URL: &str =
    "is not the URL of a proxy: write http://HOST:PORT, without a path and without credentials";

/// The checked form, or notes of what is wrong.
pub(super) fn check(written: Written, errors: &mut FieldErrors) -> Option<UpstreamProxy> {
    let place = errors.keep("upstreamProxy.url", check_url(&written.url));
    let secret = match written.secret {
        Some(text) => errors
            .keep("upstreamProxy.secret", check_secret(&text))
            .map(Some),
        None => Some(None),
    };
    let except = written.except.iter().enumerate();
    let except = except
        .map(|(index, name)| errors.keep(format!("upstreamProxy.except[{index}]"), name.parse()));
    let except: Option<BTreeSet<DnsName>> = except.collect::<Vec<_>>().into_iter().collect();
    let (host, port) = place?;
    Some(UpstreamProxy {
        host,
        port,
        secret: secret?,
        except: except?,
    })
}

fn check_url(text: &str) -> Result<(Host, Port), &'static str> {
    let place = text.strip_prefix("http://").ok_or(NO_URL)?;
    let place = place.strip_suffix('/').unwrap_or(place);
    let (host, port) = place.rsplit_once(':').ok_or(NO_URL)?;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let host: Host = host.parse().map_err(|_| NO_URL)?;
    let port = port.parse().ok().and_then(|port| Port::new(port).ok());
    match host {
        Host::Name(_) | Host::Address(_) => Ok((host, port.ok_or(NO_URL)?)),
        Host::Network(_) => Err(NO_URL),
    }
}

fn check_secret(text: &str) -> Result<ObjectKey, String> {
    if !text.contains('/') {
        return Err(format!("`{text}` is not a secret; write NAMESPACE/NAME"));
    }
    text.parse().map_err(|error| format!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_host_and_a_port() {
        for (url, host, port) in [
            ("http://proxy.corp.example:3128", "proxy.corp.example", 3128),
            ("http://10.0.0.1:8080/", "10.0.0.1", 8080),
            ("http://[fd00::1]:8080", "fd00::1", 8080),
        ] {
            let (found, at) = check_url(url).unwrap();
            assert_eq!((found.to_string().as_str(), at.get()), (host, port));
        }
        for bad in [
            "proxy:3128",
            "https://proxy.example:3128",
            "http://proxy.example",
            "http://user:password@proxy.example:3128",
            "http://proxy.example:3128/path",
            "http://proxy.example:0",
            "http://10.0.0.0/8:3128",
            "http://*.example:3128",
        ] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }
}
