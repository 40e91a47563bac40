//! What the verbs about asking for access are given.

use clap::Args;
use lanyard_access::object::ObjectKey;

use super::{OutputArgs, ParseTargetError, Target};

#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is given until an admin approves it; the time runs from then. Within a scope an agent asks for itself.

Examples:
  lanyard request api.example.com --for 10m --reason 'the release waits for it'
  lanyard request https://api.example.com/orders/** --method GET --for 1h --reason INC-1234 --as bot")]
pub(crate) struct RequestArgs {
    /// A host, or a URL whose path may be a template
    #[arg(value_name = "HOST_OR_URL")]
    pub(crate) target: String,

    /// The agent it is for; within a scope its own
    #[arg(
        long = "as",
        value_name = "[NAMESPACE/]NAME",
        env = "LANYARD_AS",
        hide_env_values = true
    )]
    pub(crate) agent: Option<ObjectKey>,

    /// For how long, counted from the approval: 30s, 10m, 1h30m
    #[arg(long = "for", id = "for", value_name = "DURATION")]
    pub(crate) duration: String,

    /// Why, for whoever decides
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,

    /// A method that is needed; may be given more than once; without it, every method
    #[arg(short = 'X', long = "method", id = "method", value_name = "METHOD")]
    pub(crate) methods: Vec<String>,

    /// The CredentialSource whose credential shall go into the requests
    #[arg(long, value_name = "[NAMESPACE/]NAME")]
    pub(crate) credential: Option<ObjectKey>,

    /// The name leads to a private address
    #[arg(long)]
    pub(crate) allow_private: bool,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl RequestArgs {
    /// Where access is asked to. A host alone is meant for HTTPS.
    pub(crate) fn target(&self) -> Result<Target, ParseTargetError> {
        if self.target.contains("://") {
            self.target.parse()
        } else {
            format!("https://{}", self.target).parse()
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
`lanyard get AccessGrant NAME -o yaml` shows all that was asked for, and why.")]
pub(crate) struct DecideArgs {
    /// The AccessGrant that was asked for
    #[arg(value_name = "[NAMESPACE/]GRANT")]
    pub(crate) grant: ObjectKey,

    /// Why, for whoever asked
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Cli, Verb};

    fn target(text: &str) -> (String, u16, Option<String>) {
        let words = ["lanyard", "request", text, "--for", "10m", "--reason", "x"];
        let Some(Verb::Request(args)) = Cli::try_parse_from(words).unwrap().verb else {
            panic!("another verb");
        };
        let target = args.target().unwrap();
        (target.host.to_string(), target.port.get(), target.path)
    }

    #[test]
    fn a_host_alone_is_meant_for_https() {
        let host = "api.example.com".to_owned();
        assert_eq!(target("api.example.com"), (host.clone(), 443, None));
        assert_eq!(target("api.example.com:8443"), (host.clone(), 8443, None));
        let path = Some("/orders/**".to_owned());
        assert_eq!(
            target("https://api.example.com/orders/**"),
            (host, 443, path)
        );
    }

    #[test]
    fn neither_time_nor_reason_is_left_out() {
        for words in [
            ["lanyard", "request", "a.example", "--for", "10m"],
            ["lanyard", "request", "a.example", "--reason", "x"],
        ] {
            assert!(Cli::try_parse_from(words).is_err());
        }
    }
}
