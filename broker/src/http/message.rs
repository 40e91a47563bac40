//! The message in a request to a server of MCP, read before the request is decided.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use http::{Method, header::CONTENT_ENCODING, request::Parts};
use hyper::body::{Body as _, Incoming};
use lanyard_access::{http::Mcp, mcp::McpMessage};
use lanyard_protocol::record::McpCall;
use tokio::time::timeout;

use super::{payload::Payload, refusal::Refusal};
use crate::{
    gathered::{Budget, Gathered, NoRoom},
    mcp::message::{self, LONGEST},
};

/// How long a message may take to come.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a request says to a server of MCP.
#[derive(Debug)]
pub(super) enum Said {
    /// Nothing was looked at: no grant for MCP is for that host.
    Unread,
    /// There is no message: a stream is opened, or a session ended.
    Nothing,
    /// A message, and the id to answer it with.
    Message(McpMessage, Option<String>),
    /// A message of which the headers say something else, and its id.
    Contradicted(Option<String>),
    /// Something else.
    NotUnderstood,
}

impl Said {
    /// What the rules are asked about.
    pub(super) const fn asked(&self) -> Mcp<'_> {
        match self {
            Self::Unread => Mcp::Unread,
            Self::Nothing => Mcp::NoMessage,
            Self::Message(message, _) => Mcp::Message(message),
            Self::Contradicted(_) | Self::NotUnderstood => Mcp::NotUnderstood,
        }
    }

    /// What is recorded.
    pub(super) fn call(&self) -> Option<McpCall> {
        let Self::Message(message, _) = self else {
            return None;
        };
        Some(McpCall {
            method: message.method.clone()?,
            tool: message.tool.clone(),
        })
    }

    /// What a refusal answers.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Message(_, id) | Self::Contradicted(id) => id.as_deref(),
            Self::Unread | Self::Nothing | Self::NotUnderstood => None,
        }
    }

    /// Whether the server is asked for its tools.
    pub(super) fn is_listing(&self) -> bool {
        const LIST: &str = "tools/list";
        matches!(self, Self::Message(message, _) if message.method.as_deref() == Some(LIST))
    }
}

/// Reads the message of a request, and gives back its body. Only a POST has one (MCP, transports): what another
/// method carries, some servers would read all the same.
pub(super) async fn read(
    head: &Parts,
    body: Incoming,
    budget: &Budget,
) -> Result<(Said, Payload), Refusal> {
    let gathered = timeout(PATIENCE, gather(body, budget.clone())).await;
    let gathered = gathered.map_err(|_| Refusal::too_slow())?;
    let (first, rest) = gathered.map_err(|NoRoom| Refusal::no_room())?;
    if rest.is_none() && first.is_empty() && has_no_message(&head.method) {
        return Ok((Said::Nothing, Payload::new(first, rest)));
    }
    // What is encoded, the server reads otherwise.
    let is_readable = rest.is_none()
        && head.method == Method::POST
        && !head.headers.contains_key(CONTENT_ENCODING);
    let read = is_readable.then(|| message::read(&first)).flatten();
    let said = match read {
        Some(read) => {
            let id = read.id.map(|id| id.get().to_owned());
            if message::agrees(&head.headers, &read.message) {
                Said::Message(read.message, id)
            } else {
                Said::Contradicted(id)
            }
        }
        None => Said::NotUnderstood,
    };
    Ok((said, Payload::new(first, rest)))
}

/// Opening the stream that the server asks on, ending a session, and what browsers ask before either.
fn has_no_message(method: &Method) -> bool {
    [Method::GET, Method::DELETE, Method::OPTIONS].contains(method)
}

/// The body as a whole, or its beginning and the rest when it is longer than a message.
async fn gather(mut body: Incoming, budget: Budget) -> Result<(Bytes, Option<Incoming>), NoRoom> {
    let mut gathered = Gathered::new(budget);
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        match frame {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    gathered.extend(&data)?;
                }
            }
            // Broken off: whoever carries it on finds that out.
            Some(Err(_)) => return Ok((gathered.into_bytes(), Some(body))),
            None => return Ok((gathered.into_bytes(), None)),
        }
        if gathered.as_ref().len() > LONGEST {
            return Ok((gathered.into_bytes(), Some(body)));
        }
    }
}
