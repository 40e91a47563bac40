//! Every reason a grant gives nothing, and every reason a request is refused.
//!
//! Conditions, records and `explain` show these names; they are part of the API.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $message:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// Every reason, for documents and tables.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name that conditions and records show.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)*
                }
            }

            /// What it means and what to do, for a person.
            pub const fn message(self) -> &'static str {
                match self {
                    $(Self::$variant => $message,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
    };
}

reasons! {
    /// Where a grant stands: the reason of its `Ready` condition.
    GrantReason {
        /// Access is possible now.
        Active => "access is possible until the grant ends",
        /// `notBefore` lies ahead.
        NotYetValid => "the grant begins later; see notBefore",
        /// Its end is past.
        Expired => "the grant has ended; write a new one for more time",
        /// As much was carried under it as it allows.
        UsedUp => "as many requests or bytes as the grant allows were carried; write a new one for more",
        /// Taken back.
        Revoked => "the grant was revoked; write a new one to give access again",
        /// The identity it names does not exist.
        IdentityNotFound => "no AgentIdentity of that name stands in the grant's namespace",
        /// It demands evidence that the identity can never have.
        EvidenceUnreachable => "the identity lists no processes, so that no process of it ever has that level of evidence",
        /// The credential source it names does not exist.
        CredentialNotFound => "no CredentialSource of that name exists",
        /// The credential's owner does not let this identity have it used.
        CredentialNotConsented => "the owner of the credential does not list this identity under allowedConsumers",
        /// The credential may not be sent to the grant's host.
        CredentialHostNotAllowed => "the owner of the credential does not list this host under allowedHosts",
        /// A policy denies it.
        DeniedByPolicy => "an AccessPolicy denies grants for this host",
        /// It is asked for and not decided; or approvals that a policy demands are missing, or no longer count.
        ApprovalPending => "it was asked for and is not approved, or its approvals have run out",
        /// Somebody said no.
        ApprovalRejected => "the request was rejected",
        /// Whether its requester may grant it is not known yet.
        ReviewPending => "whether the user who asked for the grant may grant it is being looked up",
        /// Its requester may not grant it.
        RequesterNotAllowed => "the user who asked for the grant is not known, or has no right to `grant` on its AgentIdentity or to `use` its CredentialSource",
    }
}

reasons! {
    /// Why a request or a connection is refused.
    RefusalReason {
        /// Nothing grants that destination to this agent.
        NoGrant => "no grant of this agent names that host and port",
        /// A grant names it, and it has ended.
        GrantEnded => "the grant for that host has ended",
        /// A grant names it, and demands better evidence than this process has.
        EvidenceTooLow => "the grant for that host demands better evidence than this process has",
        /// A grant names that host and port for another protocol.
        WrongProtocol => "the grant for that host and port is for another protocol",
        /// A grant is for the host, and its rules for other paths.
        PathNotGranted => "the grant for that host is for other paths",
        /// A grant is for the path, and its rules for other methods.
        MethodNotGranted => "the grant for that host does not allow this method there",
        /// As much was carried under the grant as it allows.
        UsedUp => "as many requests or bytes as the grant for that host allows were carried",
        /// A grant is for the MCP server, and its list for other tools.
        ToolNotGranted => "the grant for that MCP server does not allow this tool",
        /// A grant is for the MCP server, and its list for other methods.
        McpMethodNotGranted => "the grant for that MCP server does not allow this MCP method",
        /// The body is no single message of MCP, or another than its headers say.
        McpNotUnderstood => "the body is not one JSON-RPC message that everybody reads alike, or its headers say something else",
        /// A condition of the grant is not true of the request.
        ConditionNotMet => "a condition of the grant for that host is not met",
        /// A condition of the grant asks for something that the request does not have.
        ConditionNotDecided => "a condition of the grant for that host cannot be decided: it asks for something that the request does not have, or that is not known",
        /// The path can be read in more than one way, so that no rule is for it.
        PathNotUnderstood => "the path can be read in more than one way (dots, `//`, an encoded separator), so that no rule of the grant is for it",
        /// The request names another host than the connection it came on.
        HostMismatch => "the request names another host or port than the one that was connected to",
        /// A kind of request that no grant carries: a tunnel, an upgrade, a trace, or one that is malformed.
        NotCarried => "requests of this kind are not carried, whatever is granted",
    }
}

reasons! {
    /// Why an executed file is not the agent, or is so at a lower level than one would expect.
    AttestationReason {
        /// No identity lists a file at that path.
        NotListed => "the AgentIdentity lists no file at that path",
        /// The file at a listed path has another content.
        DigestMismatch => "the file is not the one that is listed: its SHA-256 differs",
        /// The process was put into the scope from outside.
        Entered => "the process came into the scope from outside; only what `lanyard run` started, and what that starts, has an identity",
        /// The first file executed is not the one that was shown to the daemon.
        OtherFile => "the file that was executed is not the one that was shown to the daemon before",
        /// The file has no name any more, or never had one (memfd).
        Unnamed => "the executed file has no name: it was deleted, or it lives in memory only",
        /// The file could not be read.
        Unreadable => "the executed file could not be read",
        /// The file changed between its execution and its reading.
        Changed => "the executed file is no longer the one the kernel opened",
        /// The file is on a filesystem whose content may change under a running program.
        Filesystem => "the executed file is on a filesystem that cannot be trusted to keep it (FUSE or network)",
        /// The file is larger than what is hashed.
        TooLarge => "the executed file is larger than what is hashed",
        /// A variable of its environment changes what the program loads.
        LoaderVariables => "a variable of its environment changes what the program loads, or the environment was too long to be read",
        /// A process of the scope could change the script, or a folder it stands in.
        ScriptWritable => "processes of the scope can change the script or a folder above it, so that its content says nothing",
        /// The interpreter is listed for a script, and runs something else.
        ScriptMismatch => "the interpreter is listed for a script of another path or content than the one it runs",
        /// Its arguments are longer than what is read of them.
        ArgumentsUnread => "the arguments are longer than what is read of them, so that the script is not known",
        /// Another process traces it.
        Traced => "another process traces it, and can change what it does",
        /// The scope's root ran without the confinement of `lanyard run`.
        Unconfined => "the scope was started without seccomp, so that nothing keeps its processes from changing each other",
        /// Two identities match.
        Conflicted => "more than one AgentIdentity matches this process, so that none does",
        /// The execution was not seen, or is long gone.
        NotObserved => "the execution of this process was not seen, so that nothing is known of it",
    }
}

reasons! {
    /// Why the kernel refused a socket, a connection or a packet.
    ConnectionReason {
        /// The process is not attested as an agent.
        NoIdentity => "the process is not attested as the agent of this scope",
        /// Nothing grants that destination to this process.
        NoGrant => "no grant of this agent names that address and port",
        /// The grant has ended or was revoked.
        GrantEnded => "the grant for that destination has ended or was revoked",
        /// A kind of socket that nothing in a scope may have.
        SocketKind => "inside a scope only TCP and UDP sockets can be made",
        /// A packet of a socket that was never allowed to go anywhere.
        Untagged => "the socket was never allowed to reach that destination",
        /// A kernel map is full.
        MapFull => "a kernel map is full; what cannot be remembered is refused",
        /// The scope has no broker for that address family.
        NoBroker => "the scope has no broker for that address family",
        /// The destination is granted to processes that are better known.
        EvidenceTooLow => "the grant for that destination demands better evidence than this process has",
        /// A process outside the scope listens there.
        OtherListener => "a process outside the scope listens on that loopback address",
        /// The node has not heard from whoever decides.
        LeaseEnded => "this node has not heard from its operator for longer than it may",
        /// The process is traced.
        Traced => "another process traces this one, and can change what it does",
        /// A unix socket of somebody else.
        UnixSocket => "inside a scope only unix sockets that the local policy lists can be reached",
        /// TLS for another name than the one that was connected to.
        OtherName => "the first message of TLS names another host than the one that was connected to, or none",
        /// A port of a broker.
        BrokerPort => "that port belongs to a broker",
        /// A socket option that leads packets around the kernel programs.
        SocketOption => "that socket option would lead packets around what is enforced",
        /// The scope uses as much of a kernel map as one scope may.
        QuotaUsedUp => "the scope uses as much of a kernel map as one scope may",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_says_something_to_a_person() {
        for reason in GrantReason::ALL {
            assert!(reason.message().len() > 10, "{reason}");
        }
        for reason in RefusalReason::ALL {
            assert!(reason.message().len() > 10, "{reason}");
        }
    }
}
