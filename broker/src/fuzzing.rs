//! What the targets of `fuzz/` drive: this crate's readers of what an agent or a service sends, as they are used,
//! in the types of the standard library. Built by cargo-fuzz alone.

use std::net::IpAddr;

use bytes::Bytes;
use lanyard_access::mcp::{McpRule, ParsePatternError};
use lanyard_protocol::broker::{NameBinding, ScopeState};
use tokio::io::AsyncRead;

pub use crate::http::fuzzing::{Carried, carry};
use crate::{
    gathered::Budget,
    mcp::{
        listing::{Form, Listing},
        message,
    },
    resolver::{self, Families},
    scope::{Names, Scope},
    scrub::{Needles, Scrubber},
    splice,
};

/// The one name that is bound.
pub const NAME: &str = "api.example.com";
/// Its address.
pub const V4: [u8; 4] = [198, 19, 0, 7];
/// The same in IPv6.
pub const V6: [u8; 16] = [0xfd, 0x6c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];

fn names() -> Option<Names> {
    let state = ScopeState {
        agent: "default/bot".into(),
        names: vec![NameBinding {
            name: NAME.into(),
            v4: V4.to_vec(),
            v6: V6.to_vec(),
        }],
        ..ScopeState::default()
    };
    Some(Scope::try_from(state).ok()?.names)
}

/// The reply to a query, and the name that it refuses.
pub fn dns(query: &[u8]) -> Option<(Vec<u8>, Option<String>)> {
    let answer = resolver::answer(query, &names()?, Families::Both)?;
    Some((answer.bytes, answer.refused))
}

/// The name that a query of an observed agent asks for, and the reply with those addresses.
pub fn dns_observed(query: &[u8], addresses: &[IpAddr]) -> Option<(String, Vec<u8>)> {
    resolver::found(query, &names()?, addresses)
}

/// What was read of a stream of TLS that names that host.
pub async fn server_name<S: AsyncRead + Unpin>(mut stream: S, name: &str) -> Option<Vec<u8>> {
    splice::hello(&mut stream, &name.parse().ok()?).await.ok()
}

/// What a message of MCP says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its method.
    pub method: Option<String>,
    /// The tool it calls.
    pub tool: Option<String>,
    /// Its id, as JSON.
    pub id: Option<String>,
}

/// Reads a message of MCP.
pub fn mcp_message(body: &[u8]) -> Option<Message> {
    let read = message::read(body)?;
    Some(Message {
        method: read.message.method,
        tool: read.message.tool,
        id: read.id.map(|id| id.get().to_owned()),
    })
}

/// A reply that may be a list of tools, without those that these patterns do not name.
pub fn mcp_listing(
    tools: &[&str],
    is_events: bool,
    chunks: &[&[u8]],
) -> Result<Vec<u8>, ParsePatternError> {
    let tools = tools.iter().map(|tool| tool.parse());
    let rule = McpRule {
        methods: Vec::new(),
        tools: Some(tools.collect::<Result<_, _>>()?),
    };
    let form = if is_events { Form::Events } else { Form::Whole };
    let mut listing = Listing::new(rule, form, Budget::default());
    let mut out = Vec::new();
    for chunk in chunks {
        // What is fuzzed is far shorter than what is refused.
        out.extend_from_slice(&listing.push(chunk).unwrap_or_default());
    }
    out.extend_from_slice(&listing.finish().unwrap_or_default());
    Ok(out)
}

/// A body without that secret.
pub fn scrub(secret: &[u8], chunks: &[&[u8]]) -> Vec<u8> {
    let mut scrubber = Scrubber::new(Needles::of(secret));
    let mut out = Vec::new();
    for chunk in chunks {
        out.extend_from_slice(&scrubber.push(Bytes::copy_from_slice(chunk)));
    }
    out.extend_from_slice(&scrubber.finish());
    out
}

/// The forms in which a secret is looked for.
pub fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    Needles::of(secret).forms()
}
