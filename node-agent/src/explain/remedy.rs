//! What to do about each reason.

use lanyard_access::{
    object::ObjectKey,
    reason::{AttestationReason, ConnectionReason, RefusalReason},
};
use lanyard_protocol::record::Process;

/// What to do about a request that no grant of another path would help; nothing where one would.
pub(super) const fn of_request(reason: RefusalReason) -> Option<&'static str> {
    Some(match reason {
        RefusalReason::PathNotUnderstood => {
            "ask for a path without `.`, `..`, `//` and encoded separators: a rule that compares paths cannot be for it"
        }
        RefusalReason::ConditionNotMet | RefusalReason::ConditionNotDecided => {
            "make the request as the conditions of the grant demand it, or ask who wrote the grant for others"
        }
        RefusalReason::ToolNotGranted | RefusalReason::McpMethodNotGranted => {
            "if the agent should have it, write a grant whose `mcp.tools` or `mcp.methods` names it, in place of the one that is there"
        }
        RefusalReason::McpNotUnderstood => {
            "send one JSON-RPC message, in UTF-8, without a key twice, of 4 MiB at most, and with headers that say the same"
        }
        RefusalReason::NotCarried | RefusalReason::HostMismatch => {
            "make an ordinary request for the host of the URL that is connected to: no grant is for another kind"
        }
        RefusalReason::NoGrant
        | RefusalReason::GrantEnded
        | RefusalReason::EvidenceTooLow
        | RefusalReason::WrongProtocol
        | RefusalReason::PathNotGranted
        | RefusalReason::MethodNotGranted
        | RefusalReason::UsedUp => return None,
    })
}

/// What to do about a process that is not the agent, or is known less well than one would expect.
pub(super) fn of_identity(agent: &ObjectKey, reason: AttestationReason) -> String {
    match reason {
        AttestationReason::NotListed => {
            format!("list the file under workloadSelector.processes of AgentIdentity {agent}")
        }
        AttestationReason::DigestMismatch => format!(
            "if the change was yours, put the new digest into AgentIdentity {agent}; if not, find out who changed the file"
        ),
        AttestationReason::Entered
        | AttestationReason::OtherFile
        | AttestationReason::NotObserved
        | AttestationReason::Unconfined => {
            format!("start the agent anew with: lanyard run --as {agent} -- COMMAND")
        }
        AttestationReason::Unnamed
        | AttestationReason::Unreadable
        | AttestationReason::Changed
        | AttestationReason::Filesystem
        | AttestationReason::TooLarge => {
            "execute the agent from a file on a local filesystem that does not change while it runs"
                .to_owned()
        }
        AttestationReason::LoaderVariables => {
            "start it without LD_*, NODE_OPTIONS, PYTHON*, JAVA_TOOL_OPTIONS and the like in its environment, or write a grant that demands less evidence".to_owned()
        }
        AttestationReason::ScriptWritable => {
            "put the script and every folder above it where nobody but root can write, outside the project folder and --allow-path".to_owned()
        }
        AttestationReason::ScriptMismatch => format!(
            "list the script that runs, by path and sha256, beside its interpreter in AgentIdentity {agent}"
        ),
        AttestationReason::ArgumentsUnread => {
            "name the script before long arguments, within the first 4 KiB".to_owned()
        }
        AttestationReason::Traced => format!(
            "end the tracer, or let processes of {agent} be traced: processAccess: Debug"
        ),
        AttestationReason::Conflicted => {
            "change one of the identities that match this process, so that one matches".to_owned()
        }
    }
}

/// The part of an AgentIdentity that would make the executed file the agent.
pub(super) fn identity_yaml(
    agent: &ObjectKey,
    process: &Process,
    reason: AttestationReason,
) -> String {
    let can_be_listed = matches!(
        reason,
        AttestationReason::NotListed | AttestationReason::DigestMismatch
    );
    match (&process.path, process.sha256) {
        (Some(path), Some(digest)) if can_be_listed => format!(
            "# in AgentIdentity {agent}\nspec:\n  workloadSelector:\n    processes:\n      - name: agent\n        executable:\n          path: {}\n          sha256: \"{digest}\"\n",
            quoted(path)
        ),
        _ if reason == AttestationReason::Traced => debug_yaml(agent),
        _ => String::new(),
    }
}

/// What to do about a refused connection that is not about a grant.
pub(super) fn of_connection(
    agent: &ObjectKey,
    reason: ConnectionReason,
    path: Option<&str>,
) -> String {
    match reason {
        ConnectionReason::NoIdentity => of_identity(agent, AttestationReason::NotObserved),
        ConnectionReason::NoGrant | ConnectionReason::GrantEnded => format!(
            "if {agent} should reach it, write a grant like the one below and pass it to `lanyard apply -f`"
        ),
        ConnectionReason::EvidenceTooLow => {
            "let a program do it that is known better, or write a grant like the one below, which demands less evidence".to_owned()
        }
        ConnectionReason::SocketKind => {
            "use TCP or UDP through a grant; other sockets are not made inside a scope".to_owned()
        }
        ConnectionReason::Untagged => {
            "connect anew: what that socket was allowed to reach is another destination, or has ended".to_owned()
        }
        ConnectionReason::MapFull => {
            "end scopes that are not needed: what they use of the kernel's maps is free again then"
                .to_owned()
        }
        ConnectionReason::QuotaUsedUp => {
            "end processes of this scope, or start part of the work in a scope of its own with another `lanyard run`".to_owned()
        }
        ConnectionReason::NoBroker => {
            "use IPv4: this machine gave the scope's broker no socket for IPv6".to_owned()
        }
        ConnectionReason::OtherListener => format!(
            "if {agent} should reach that service, grant its loopback address exactly, as below; or start the service within the scope"
        ),
        ConnectionReason::LeaseEnded => {
            "wait until this node hears from its operator again".to_owned()
        }
        ConnectionReason::Traced => of_identity(agent, AttestationReason::Traced),
        ConnectionReason::UnixSocket if !path.is_some_and(is_absolute) => {
            "only an absolute path can be listed in the local policy: a server of the agent's own may listen on loopback instead".to_owned()
        }
        ConnectionReason::UnixSocket => {
            "if the agent may ask that service to act outside the scope, list the path in the local policy as below and start the node agent and the agent anew".to_owned()
        }
        ConnectionReason::OtherName => {
            "connect to the host that the client's TLS is for: each name has an address of its own".to_owned()
        }
        ConnectionReason::BrokerPort => "listen on another port".to_owned(),
        ConnectionReason::SocketOption => {
            "leave the option out (SO_TXTIME); packets are sent at once".to_owned()
        }
    }
}

/// What would allow a refused connection, where that is no grant.
pub(super) fn connection_yaml(
    agent: &ObjectKey,
    reason: ConnectionReason,
    path: Option<&str>,
) -> String {
    match (reason, path) {
        (ConnectionReason::Traced, _) => debug_yaml(agent),
        (ConnectionReason::UnixSocket, Some(path)) if is_absolute(path) => format!(
            "# in /etc/lanyard/local.yaml\nidentities:\n  - name: {agent}\n    unixSockets:\n      - {}\n",
            quoted(path)
        ),
        _ => String::new(),
    }
}

fn debug_yaml(agent: &ObjectKey) -> String {
    format!("# in AgentIdentity {agent}\nspec:\n  processAccess: Debug\n")
}

/// Others depend on the folder a process is in, or are names without a file.
fn is_absolute(path: &str) -> bool {
    path.starts_with('/')
}

/// Paths are an agent's own text: a string of JSON is a string of YAML, and stays on its line.
fn quoted(path: &str) -> String {
    serde_json::Value::from(path).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_remedy() {
        let agent = "bot".parse().unwrap();
        for reason in AttestationReason::ALL {
            assert!(of_identity(&agent, *reason).len() > 10, "{reason}");
        }
        for reason in ConnectionReason::ALL {
            assert!(of_connection(&agent, *reason, None).len() > 10, "{reason}");
        }
    }

    #[test]
    fn a_hostile_path_stays_in_its_string() {
        let agent = "bot".parse().unwrap();
        let path = "/run/a\n- name: other\"";
        let yaml = connection_yaml(&agent, ConnectionReason::UnixSocket, Some(path));
        assert_eq!(yaml.lines().count(), 5, "{yaml}");
        let abstract_one = connection_yaml(&agent, ConnectionReason::UnixSocket, Some("@x"));
        assert_eq!(abstract_one, "");
        for path in ["@x", "x", ""] {
            let remedy = of_connection(&agent, ConnectionReason::UnixSocket, Some(path));
            assert!(remedy.starts_with("only an absolute path"), "{remedy}");
        }
    }
}
