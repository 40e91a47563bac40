//! What is written down of everything that happens: one JSON object a line.
//!
//! Every record has a `UUIDv7` and a format number from the first one on. A record never holds a body, a
//! secret, or the query of a URL.

use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use lanyard_access::{
    digest::Sha256Digest,
    evidence::EvidenceLevel,
    host::{DnsName, Host},
    object::{ObjectKey, Uid},
    reason::{AttestationReason, ConnectionReason, GrantReason, RefusalReason},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The number of this format. Readers refuse what they do not know.
pub const FORMAT: u32 = 1;

/// One line of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`FORMAT`].
    pub format: u32,
    /// `UUIDv7` (RFC 9562, 5.7): in order of time.
    pub id: Uuid,
    /// Wall clock of the node.
    pub at: Timestamp,
    /// The node that saw it.
    pub node: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all_fields = "camelCase")]
pub enum Event {
    /// `lanyard run` made a scope.
    ScopeStarted {
        /// The scope.
        scope: ScopeRef,
        /// The path of the program that was asked for. Its arguments are not recorded: people put
        /// secrets and prompts into them.
        program: String,
        /// Whether the agent is observed: nothing is refused to it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        observed: bool,
    },
    /// The last process of a scope ended.
    ScopeEnded {
        /// The scope.
        scope: ScopeRef,
    },
    /// An executed file is the agent.
    ProcessAttested {
        /// The scope.
        scope: ScopeRef,
        /// The process.
        process: Process,
    },
    /// An executed file is not the agent.
    ProcessRefused {
        /// The scope.
        scope: ScopeRef,
        /// The process.
        process: Process,
        /// Why.
        reason: AttestationReason,
        /// The digest that is listed for that path, when the file has another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        listed: Option<Sha256Digest>,
    },
    /// A process was let connect, directly or to a name whose connections are not read.
    ConnectionAllowed {
        /// The scope.
        scope: ScopeRef,
        /// The process.
        process: Process,
        /// Where to.
        destination: SocketAddr,
        /// The grants it stands under: direct connections are allowed by any of them.
        grants: Vec<ObjectKey>,
        /// The name that address stands for in this scope.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<DnsName>,
    },
    /// The kernel refused a socket, a connection or a packet.
    ConnectionRefused {
        /// The scope.
        scope: ScopeRef,
        /// The process.
        process: Process,
        /// Where to, when it got so far.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        destination: Option<SocketAddr>,
        /// The name that address stands for in this scope.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<DnsName>,
        /// Why.
        reason: ConnectionReason,
        /// Why the process is not the agent, or known less well than one would expect.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        identity: Option<AttestationReason>,
        /// The path of a unix socket, when it was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<String>,
        /// How, when it got so far.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transport: Option<Transport>,
    },
    /// The kernel let pass what it would have refused to an agent that is not only observed.
    ConnectionObserved {
        /// The scope.
        scope: ScopeRef,
        /// The process.
        process: Process,
        /// Where to.
        destination: SocketAddr,
        /// How.
        transport: Transport,
        /// The name that the scope was last told for that address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<DnsName>,
        /// Why it would have been refused.
        reason: ConnectionReason,
    },
    /// A name that nothing grants was resolved for an agent that is only observed.
    NameObserved {
        /// The scope.
        scope: ScopeRef,
        /// The name.
        name: DnsName,
        /// What it was answered with.
        addresses: Vec<IpAddr>,
    },
    /// A name was asked for that nothing grants.
    NameRefused {
        /// The scope.
        scope: ScopeRef,
        /// The name, as it was asked for.
        name: String,
    },
    /// A request is about to be made. Written before its first byte leaves.
    RequestIntended {
        /// The scope.
        scope: ScopeRef,
        /// The process.
        process: Process,
        /// What is asked.
        request: Request,
        /// The grant that allows it.
        grant: GrantRef,
        /// The credential that is put in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credential: Option<ObjectKey>,
    },
    /// What became of an intended request.
    RequestEnded {
        /// The scope.
        scope: ScopeRef,
        /// The record of its intent.
        intent: Uuid,
        /// The status of the reply, if one came.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// Bytes of body that went to the service.
        sent_bytes: u64,
        /// Bytes of body that came from it.
        received_bytes: u64,
        /// How it ended.
        outcome: Outcome,
    },
    /// A request was refused by the rules.
    RequestRefused {
        /// The scope.
        scope: ScopeRef,
        /// The process.
        process: Process,
        /// What was asked.
        request: Request,
        /// Why.
        reason: RefusalReason,
    },
    /// The standing of a grant changed.
    GrantChanged {
        /// The grant.
        grant: GrantRef,
        /// The identity it is for.
        agent: ObjectKey,
        /// Where it stands now.
        reason: GrantReason,
        /// When it ends or ended, if it ever began.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ends_at: Option<Timestamp>,
        /// Who revoked it, as the daemon authenticated them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// A local object was written or removed by `lanyard apply` or `lanyard delete`.
    ObjectChanged {
        /// The object's kind.
        kind: String,
        /// Namespace and name.
        object: ObjectKey,
        /// What was done with it.
        change: ObjectChange,
        /// Who did it, as the daemon authenticated them.
        by: String,
    },
    /// The node agent began to enforce, or took over what it found enforced.
    NodeStarted {
        /// Its version.
        version: String,
        /// Whether it found programs and maps of an earlier run.
        adopted: bool,
    },
    /// Enforcement was ended by an explicit instruction.
    NodeDisabled {
        /// Who said so, as the daemon authenticated them.
        by: String,
    },
    /// Events of the kernel were lost; what they would have allowed was refused.
    EventsLost {
        /// How many since the last such record.
        count: u64,
    },
}

/// A scope and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeRef {
    /// Its name on the node.
    pub name: String,
    /// The agent that runs in it.
    pub agent: ObjectKey,
    /// The user that started it.
    pub uid: u32,
}

/// A grant and which life of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantRef {
    /// Namespace and name.
    pub key: ObjectKey,
    /// Its uid.
    pub uid: Uid,
    /// SHA-256 of its spec.
    pub spec_hash: Sha256Digest,
}

/// One process image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// The thread group.
    pub pid: u32,
    /// The executed image: unique until the machine starts again.
    pub exec_id: u64,
    /// The path of the executed file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The digest of the executed file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256Digest>,
    /// How well it is known; nothing when it has no identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<EvidenceLevel>,
    /// Why it has no level, or a lower one than one would expect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<AttestationReason>,
}

/// What carries a connection's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Transport {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

/// What is done with a local object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectChange {
    /// There was none of that name.
    Created,
    /// It says something else now.
    Configured,
    /// It is gone.
    Deleted,
    /// Somebody asks for it, and it gives nothing yet.
    Requested,
    /// What was asked for is given.
    Approved,
    /// What was asked for is not given.
    Rejected,
}

/// One HTTP request, without its query and body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The method.
    pub method: String,
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// The path, without the query.
    pub path: String,
    /// What its body says, where it was read as a message of MCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcp: Option<McpCall>,
}

/// One message of the Model Context Protocol, without its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct McpCall {
    /// The method.
    pub method: String,
    /// The tool that is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The reply was carried to its end.
    Completed,
    /// The grant ended or was revoked while it was open.
    CutByGrantEnd,
    /// As many bytes as the grant allows were carried.
    CutByLimit,
    /// The agent closed the connection.
    ClosedByAgent,
    /// The service closed the connection.
    ClosedByService,
    /// The broker ended while it was open. Where it was killed, how much it had carried is not known: the bytes
    /// are 0 then, and there is no status.
    BrokerEnded,
    /// The service could not be reached, or its certificate was not accepted.
    ServiceUnreachable,
    /// The credential could not be obtained.
    CredentialUnavailable,
}

impl Event {
    /// Whether it is a refusal, which `explain --last` looks for.
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::ProcessRefused { .. }
            | Self::ConnectionRefused { .. }
            | Self::NameRefused { .. }
            | Self::RequestRefused { .. } => true,
            Self::ScopeStarted { .. }
            | Self::ScopeEnded { .. }
            | Self::ProcessAttested { .. }
            | Self::ConnectionAllowed { .. }
            | Self::ConnectionObserved { .. }
            | Self::NameObserved { .. }
            | Self::RequestIntended { .. }
            | Self::RequestEnded { .. }
            | Self::GrantChanged { .. }
            | Self::ObjectChanged { .. }
            | Self::NodeStarted { .. }
            | Self::NodeDisabled { .. }
            | Self::EventsLost { .. } => false,
        }
    }

    /// The scope it happened in, if in one.
    pub const fn scope(&self) -> Option<&ScopeRef> {
        match self {
            Self::ScopeStarted { scope, .. }
            | Self::ScopeEnded { scope }
            | Self::ProcessAttested { scope, .. }
            | Self::ProcessRefused { scope, .. }
            | Self::ConnectionAllowed { scope, .. }
            | Self::ConnectionObserved { scope, .. }
            | Self::NameObserved { scope, .. }
            | Self::ConnectionRefused { scope, .. }
            | Self::NameRefused { scope, .. }
            | Self::RequestIntended { scope, .. }
            | Self::RequestEnded { scope, .. }
            | Self::RequestRefused { scope, .. } => Some(scope),
            Self::GrantChanged { .. }
            | Self::ObjectChanged { .. }
            | Self::NodeStarted { .. }
            | Self::NodeDisabled { .. }
            | Self::EventsLost { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_that_reads_back() {
        let record = Record {
            format: FORMAT,
            id: Uuid::from_u128(7),
            at: Timestamp::UNIX_EPOCH,
            node: "laptop".into(),
            event: Event::NameRefused {
                scope: ScopeRef {
                    name: "1".into(),
                    agent: "default/bot".parse().unwrap(),
                    uid: 1000,
                },
                name: "evil.example\n".into(),
            },
        };
        let line = serde_json::to_string(&record).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
        assert!(line.starts_with(r#"{"format":1,"id":"00000000-"#), "{line}");
    }
}
