//! One message of either side.

use super::{Delta, NodesError, wire};

/// What a node says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromNode {
    /// Its first message.
    Hello(Hello),
    /// Everything up to this version holds on it.
    Acknowledged(u64),
    /// A version does not.
    Refused {
        /// Which.
        version: u64,
        /// Why, for a person; at most [`FromNode::LONGEST_REASON`] characters.
        reason: String,
    },
}

/// How a node begins. Its name is in its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The version of the node agent, for people.
    pub version: String,
    /// The protocol it speaks.
    pub protocol: u32,
    /// Where it stopped listening.
    pub resume: Option<ResumePoint>,
}

/// What a node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResumePoint {
    /// Who said it: one life of one replica.
    pub epoch: u64,
    /// The version of it.
    pub version: u64,
}

/// What a node is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToNode {
    /// Something changed.
    Delta(Delta),
    /// Nothing changed, and somebody is there.
    Beat,
}

impl FromNode {
    /// How much of a reason is kept.
    pub const LONGEST_REASON: usize = 512;
    /// How much of a version of a node agent is kept.
    const LONGEST_VERSION: usize = 64;

    /// The message as it is sent.
    pub fn encode(&self) -> wire::FromNode {
        use wire::from_node::Message;
        let message = match self {
            Self::Hello(hello) => Message::Hello(wire::Hello {
                version: hello.version.clone(),
                protocol: hello.protocol,
                resume: hello.resume.map(|resume| wire::ResumePoint {
                    epoch: resume.epoch,
                    version: resume.version,
                }),
            }),
            Self::Acknowledged(version) => {
                Message::Acknowledged(wire::Acknowledged { version: *version })
            }
            Self::Refused { version, reason } => Message::Refused(wire::Refused {
                version: *version,
                reason: reason.clone(),
            }),
        };
        wire::FromNode {
            message: Some(message),
        }
    }

    /// The message as it was sent.
    pub fn decode(message: wire::FromNode) -> Result<Self, NodesError> {
        use wire::from_node::Message;
        match message.message.ok_or(NodesError::Field("message"))? {
            Message::Hello(hello) => Ok(Self::Hello(Hello {
                version: cut(&hello.version, Self::LONGEST_VERSION),
                protocol: hello.protocol,
                resume: hello.resume.map(|resume| ResumePoint {
                    epoch: resume.epoch,
                    version: resume.version,
                }),
            })),
            Message::Acknowledged(acknowledged) => Ok(Self::Acknowledged(acknowledged.version)),
            Message::Refused(refused) => Ok(Self::Refused {
                version: refused.version,
                reason: cut(&refused.reason, Self::LONGEST_REASON),
            }),
        }
    }
}

/// What a node says of itself is shown to people: not without limit, and on one line.
fn cut(text: &str, limit: usize) -> String {
    let characters = text.chars().take(limit);
    let characters = characters.map(|c| if c.is_control() { ' ' } else { c });
    characters.collect()
}

impl ToNode {
    /// The message as it is sent.
    pub fn encode(&self) -> wire::ToNode {
        use wire::to_node::Message;
        let message = match self {
            Self::Delta(delta) => Message::Delta(delta.encode()),
            Self::Beat => Message::Beat(wire::Beat {}),
        };
        wire::ToNode {
            message: Some(message),
        }
    }

    /// The message as it was sent.
    pub fn decode(message: wire::ToNode) -> Result<Self, NodesError> {
        use wire::to_node::Message;
        match message.message.ok_or(NodesError::Field("message"))? {
            Message::Delta(delta) => Delta::decode(delta).map(Self::Delta),
            Message::Beat(wire::Beat {}) => Ok(Self::Beat),
        }
    }
}
