//! One JSON-RPC message (<https://www.jsonrpc.org/specification>), read so that nobody else can read it otherwise.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderMap;
use lanyard_access::{
    letter_case::folded,
    mcp::{CALL, LONGEST_ARGUMENTS, McpMessage},
};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The longest message that is read.
pub(crate) const LONGEST: usize = 4 << 20;

/// What is known of a message.
#[derive(Debug)]
pub(crate) struct Read {
    /// What the rules are about.
    pub(crate) message: McpMessage,
    /// Its id, as it stands there, to answer with; none in a notification.
    pub(crate) id: Option<Box<RawValue>>,
}

/// Reads a body; nothing when it is not one message, or one that others may read otherwise: some readers take the
/// first of two keys, some the last; to some `Method` is `method`, and some end a text at a NUL.
pub(crate) fn read(body: &[u8]) -> Option<Read> {
    // Whoever replaces what is no UTF-8 (RFC 8259, 8.1) reads another text.
    let text = std::str::from_utf8(body).ok()?;
    let fields: Fields<'_> = serde_json::from_str(text).ok()?;
    // Of a message with neither, or with both, nobody can say what the server takes it for.
    let is_answer = fields.answers && fields.id.is_some();
    if fields.method.is_some() == is_answer || fields.method.is_some() && fields.answers {
        return None;
    }
    let Fields {
        method, id, params, ..
    } = fields;
    if method.as_deref().is_some_and(is_almost_a_call) {
        return None;
    }
    let is_call = method.as_deref() == Some(CALL);
    let Params { name, arguments } = if is_call { params } else { Params::default() };
    let arguments = match arguments {
        Some(raw) => (raw.get().len() <= LONGEST_ARGUMENTS).then(|| raw.get().to_owned()),
        None => is_call.then(|| "{}".to_owned()),
    };
    Some(Read {
        message: McpMessage {
            method,
            tool: name,
            arguments,
        },
        id,
    })
}

/// Whether somebody could take the method for a call of a tool, which it is not.
fn is_almost_a_call(method: &str) -> bool {
    method != CALL && folded(method.trim()) == CALL
}

/// Whether the headers of the request say what the message says (MCP 2026-07-28, transports).
pub(crate) fn agrees(headers: &HeaderMap, message: &McpMessage) -> bool {
    let says = |header: &str, said: Option<&str>| {
        let mut values = headers.get_all(header).iter();
        values.all(|value| said.is_some_and(|said| is_value(value.as_bytes(), said)))
    };
    let named = headers.get_all("mcp-name").iter().next().is_some();
    let is_call = message.method.as_deref() == Some(CALL);
    says("mcp-method", message.method.as_deref())
        && (!named || !is_call || says("mcp-name", message.tool.as_deref()))
}

/// Whether the value of a header is that text: as it is, or encoded between marks where no header could hold it.
fn is_value(value: &[u8], text: &str) -> bool {
    let encoded = value
        .strip_prefix(b"=?base64?")
        .and_then(|rest| rest.strip_suffix(b"?="));
    match encoded {
        Some(encoded) => encoded == STANDARD.encode(text).as_bytes(),
        None => value == text.as_bytes(),
    }
}

/// The fields of a message that count, each at most once.
struct Fields<'m> {
    method: Option<String>,
    id: Option<Box<RawValue>>,
    params: Params<'m>,
    /// Whether it has a result or an error.
    answers: bool,
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Message)
    }
}

struct Message;

impl<'de> Visitor<'de> for Message {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("one JSON-RPC message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut seen = Seen::among(&["jsonrpc", "method", "id", "params", "result", "error"]);
        let mut fields = Fields {
            method: None,
            id: None,
            params: Params::default(),
            answers: false,
        };
        while let Some(key) = map.next_key::<String>()? {
            seen.once::<A::Error>(&key)?;
            match key.as_str() {
                "method" => fields.method = Some(map.next_value()?),
                "id" => fields.id = Some(map.next_value()?),
                "params" => fields.params = map.next_value()?,
                "result" | "error" => {
                    map.next_value::<IgnoredAny>()?;
                    fields.answers = true;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields)
    }
}

/// `params`, an object or a list.
#[derive(Default)]
struct Params<'m> {
    name: Option<String>,
    /// Where they stand in the message: only calls that conditions may be asked of keep a copy.
    arguments: Option<&'m RawValue>,
}

impl<'de> Deserialize<'de> for Params<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ParamsVisitor)
    }
}

struct ParamsVisitor;

impl<'de> Visitor<'de> for ParamsVisitor {
    type Value = Params<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the parameters of a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Params<'de>, A::Error> {
        let mut seen = Seen::among(&["name", "arguments"]);
        let mut params = Params::default();
        while let Some(key) = map.next_key::<String>()? {
            seen.once::<A::Error>(&key)?;
            match key.as_str() {
                // A name that is no text is none.
                "name" => {
                    let name = map.next_value::<serde_json::Value>()?;
                    params.name = name.as_str().map(str::to_owned);
                }
                "arguments" => params.arguments = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(params)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Params<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Params::default())
    }

    fn visit_unit<E>(self) -> Result<Params<'de>, E> {
        Ok(Params::default())
    }
}

/// Keys that were met, in any case: some readers do not tell cases apart.
struct Seen {
    keys: Vec<String>,
    /// Keys that count, which nothing may stand for.
    names: &'static [&'static str],
}

impl Seen {
    fn among(names: &'static [&'static str]) -> Self {
        let keys = Vec::new();
        Self { keys, names }
    }

    fn once<E: serde::de::Error>(&mut self, key: &str) -> Result<(), E> {
        /// More keys than any message has would only cost time.
        const MOST: usize = 64;
        // No message has other keys, and readers differ in what they make of them.
        if !key.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(E::custom("a key has more than letters and signs of ASCII"));
        }
        let folded = folded(key);
        if self.names.contains(&folded.as_str()) && !self.names.contains(&key) {
            return Err(E::custom("a key is almost one that counts"));
        }
        if self.keys.contains(&folded) || self.keys.len() >= MOST {
            return Err(E::custom("a key stands twice, or there are too many"));
        }
        self.keys.push(folded);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str) -> Option<(Option<String>, Option<String>, Option<String>)> {
        let Read { message, id } = read(body.as_bytes())?;
        Some((
            message.method,
            message.tool,
            id.map(|id| id.get().to_owned()),
        ))
    }

    #[test]
    fn a_message_says_its_method_tool_and_id_wherever_they_stand() {
        let some = |text: &str| Some(text.to_owned());
        for (body, expected) in [
            (
                r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"get","arguments":{"name":"x"}}}"#,
                (some("tools/call"), some("get"), some("7")),
            ),
            (
                r#"{"params":{"arguments":{},"name":"g\u0065t"},"method":"tools\/call","id":"a b"}"#,
                (some("tools/call"), some("get"), some("\"a b\"")),
            ),
            (
                r#"{"method":"tools/list","params":{"name":"x"}}"#,
                (some("tools/list"), None, None),
            ),
            (
                r#"{"method":"ping","params":null,"id":1}"#,
                (some("ping"), None, some("1")),
            ),
            (
                r#"{"method":"ping","params":[1,{"name":2}]}"#,
                (some("ping"), None, None),
            ),
            (
                r#"{"id":1,"result":{"method":"tools/call"}}"#,
                (None, None, some("1")),
            ),
            (
                r#"{"id":null,"error":{"code":-32700,"message":"?"}}"#,
                (None, None, some("null")),
            ),
            (
                r#"{"method":"x/y","params":{"_meta":{"Name":1,"größe":2},"uri":"u"}}"#,
                (some("x/y"), None, None),
            ),
            (
                r#"{"method":"tools/call","params":{"name":5}}"#,
                (some("tools/call"), None, None),
            ),
        ] {
            assert_eq!(said(body), Some(expected), "{body}");
        }
    }

    #[test]
    fn what_two_readers_may_read_in_two_ways_is_not_read() {
        for body in [
            "",
            "{",
            "null",
            r#"[{"method":"tools/call","params":{"name":"get"}}]"#,
            r#"{"method":"tools/list","method":"tools/call"}"#,
            r#"{"method":"tools/list","Method":"tools/call"}"#,
            r#"{"method":"tools/call","params":{"name":"get","name":"delete"}}"#,
            r#"{"method":"tools/call","params":{"name":"get"},"params":{"name":"delete"}}"#,
            r#"{"method":"tools/call","params":{"name":"get","n\u0061me":"delete"}}"#,
            r#"{"method":"tools/list"} {"method":"tools/call"}"#,
            // To readers that tell no cases apart, calls of a tool.
            r#"{"id":1,"Method":"tools/call","params":{"name":"delete"}}"#,
            r#"{"id":1,"METHOD":"tools/call","result":{},"params":{"name":"delete"}}"#,
            r#"{"id":1,"method":"tools/call","Params":{"name":"delete"}}"#,
            r#"{"id":1,"method":"tools/call","params":{"name":"get"},"param\u017f":{"name":"delete"}}"#,
            r#"{"id":1,"method":"tools/call","params":{"name":"get","Arguments":{"path":"/"}}}"#,
            r#"{"id":1,"method":"tools/call","params":{"name":"get","argument\u017f":{"path":"/"}}}"#,
            r#"{"id":1,"method":"tools/call","params":{"Name":"delete"}}"#,
            r#"{"id":1,"method":"Tools/Call","params":{"name":"delete"}}"#,
            r#"{"id":1,"method":" tools/call","params":{"name":"delete"}}"#,
            // To readers that end a text at a NUL.
            r#"{"id":1,"method\u0000":"tools/call","result":{},"params":{"name":"delete"}}"#,
            r#"{"id":1,"method":"tools/call","params":{"name":"get","name\u0000":"delete"}}"#,
            // Neither a question nor an answer, and both.
            r#"{"id":1,"params":{"name":"delete"}}"#,
            r#"{"result":{}}"#,
            r#"{"id":1,"method":"ping","result":{}}"#,
            "{}",
            r#"{"method":5}"#,
            "{\"method\":\"tools/list\"}\0",
            "{'method':'tools/list'}",
        ] {
            assert_eq!(said(body), None, "{body}");
        }
        assert!(read(b"{\"method\":\"ping\",\"x\":\"\xff\"}").is_none());
    }

    #[test]
    fn headers_say_what_the_message_says() {
        let message = read(br#"{"method":"tools/call","params":{"name":"get"}}"#)
            .unwrap()
            .message;
        let with = |headers: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, value.parse().unwrap());
            }
            agrees(&map, &message)
        };
        assert!(with(&[]));
        assert!(with(&[("mcp-method", "tools/call"), ("mcp-name", "get")]));
        assert!(!with(&[("mcp-method", "tools/list")]));
        assert!(!with(&[
            ("mcp-method", "tools/call"),
            ("mcp-method", "tools/list")
        ]));
        assert!(!with(&[("mcp-name", "delete")]));
        assert!(with(&[("mcp-name", "=?base64?Z2V0?=")]));
        assert!(!with(&[("mcp-name", "=?base64?ZGVsZXRl?=")]));
        // Another way to write the same, which some readers take and some do not.
        assert!(!with(&[("mcp-name", "=?base64?Z2V1?=")]));
    }

    #[test]
    fn a_tool_that_looks_encoded_is_named_encoded() {
        let name = "=?base64?Z2V0?=";
        assert!(!is_value(name.as_bytes(), name));
        let encoded = format!("=?base64?{}?=", STANDARD.encode(name));
        assert!(is_value(encoded.as_bytes(), name));
        let accented = format!("=?base64?{}?=", STANDARD.encode("größe"));
        assert!(is_value(accented.as_bytes(), "größe"));
    }
}
