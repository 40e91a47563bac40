//! A server's list of tools, without those that are not granted. What a client does not see it does not try; what
//! it tries all the same is refused where it is asked.

use bytes::Bytes;
use lanyard_access::mcp::McpRule;
use serde_json::Value;

/// The longest list, or event with one, that is read. A longer one goes on as it is.
const LONGEST: usize = 4 << 20;

/// A reply on its way.
#[derive(Debug)]
pub(crate) struct Listing {
    rule: McpRule,
    form: Form,
    /// What is not yet whole.
    held: Vec<u8>,
}

/// How a reply is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One JSON text.
    Whole,
    /// Events, each with a JSON text (server-sent events).
    Events,
    /// Too long to be read: it goes on as it is.
    Raw,
}

impl Listing {
    /// Shows what the rule allows.
    pub(crate) fn new(rule: McpRule, form: Form) -> Self {
        Self {
            rule,
            form,
            held: Vec::new(),
        }
    }

    /// Takes what came next, and gives what can go on.
    pub(crate) fn push(&mut self, data: Bytes) -> Bytes {
        if self.form == Form::Raw {
            return data;
        }
        self.held.extend_from_slice(&data);
        let mut ready = Vec::new();
        if self.form == Form::Events {
            while let Some(end) = end_of_event(&self.held) {
                let rest = self.held.split_off(end);
                let event = std::mem::replace(&mut self.held, rest);
                ready.extend_from_slice(&shown_event(event, &self.rule));
            }
        }
        if self.held.len() > LONGEST {
            self.form = Form::Raw;
            ready.append(&mut self.held);
        }
        ready.into()
    }

    /// Gives the rest: nothing follows.
    pub(crate) fn finish(&mut self) -> Bytes {
        let held = std::mem::take(&mut self.held);
        match self.form {
            Form::Whole => shown_text(&held, &self.rule).unwrap_or(held),
            Form::Events => shown_event(held, &self.rule),
            Form::Raw => held,
        }
        .into()
    }
}

/// Where the first event ends: behind an empty line.
fn end_of_event(text: &[u8]) -> Option<usize> {
    let ends: [&[u8]; 3] = [b"\n\n", b"\r\n\r\n", b"\r\r"];
    let found = ends.iter().filter_map(|end| {
        let at = memchr::memmem::find(text, end)?;
        Some(at + end.len())
    });
    found.min()
}

fn shown_event(event: Vec<u8>, rule: &McpRule) -> Vec<u8> {
    if memchr::memmem::find(&event, b"tools").is_none() {
        return event;
    }
    let Ok(text) = std::str::from_utf8(&event) else {
        return event;
    };
    let lines: Vec<&str> = text.lines().collect();
    let data_of = |line: &&str| {
        let data = line.strip_prefix("data:")?;
        Some(data.strip_prefix(' ').unwrap_or(data).to_owned())
    };
    let data: Vec<String> = lines.iter().filter_map(data_of).collect();
    let Some(shown) = shown_text(data.join("\n").as_bytes(), rule) else {
        return event;
    };
    let mut out = String::new();
    for line in lines
        .iter()
        .filter(|line| !line.is_empty() && data_of(line).is_none())
    {
        out += line;
        out.push('\n');
    }
    out += "data: ";
    // JSON as it is written here has no line break.
    out += &String::from_utf8_lossy(&shown);
    out += "\n\n";
    out.into_bytes()
}

/// The text with the tools that the rule allows; nothing when it is no list of tools.
fn shown_text(text: &[u8], rule: &McpRule) -> Option<Vec<u8>> {
    let mut message: Value = serde_json::from_slice(text).ok()?;
    let tools = message
        .get_mut("result")?
        .get_mut("tools")?
        .as_array_mut()?;
    tools.retain(|tool| {
        let name = tool.get("name").and_then(Value::as_str);
        name.is_some_and(|name| rule.allows_tool(name))
    });
    serde_json::to_vec(&message).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"get_a","x":1.5},{"name":"delete"},{"no":1}],"nextCursor":"c"}}"#;
    const SHOWN: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"get_a","x":1.5}],"nextCursor":"c"}}"#;

    fn carried(form: Form, chunks: &[&str]) -> String {
        let rule = McpRule {
            methods: Vec::new(),
            tools: Some(vec!["get_*".parse().unwrap()]),
        };
        let mut listing = Listing::new(rule, form);
        let mut out = Vec::new();
        for chunk in chunks {
            out.extend_from_slice(&listing.push(Bytes::copy_from_slice(chunk.as_bytes())));
        }
        out.extend_from_slice(&listing.finish());
        String::from_utf8(out).unwrap()
    }

    fn same(one: &str, other: &str) {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(read(one), read(other));
    }

    #[test]
    fn a_list_shows_what_is_granted() {
        for cut in [0, 1, 40, LIST.len()] {
            same(&carried(Form::Whole, &[&LIST[..cut], &LIST[cut..]]), SHOWN);
        }
        for other in ["not JSON", r#"{"result":{"content":[{"tools":1}]}}"#, ""] {
            assert_eq!(carried(Form::Whole, &[other]), other);
        }
    }

    #[test]
    fn events_go_on_as_they_are_but_for_the_list() {
        let first = "id: 1\ndata: \n\n";
        let text = format!(
            "{first}event: message\nid: 2\ndata: {LIST}\n\n: tools\n\ndata: {{\"a\":1}}\r\n\r\n"
        );
        for cut in 0..text.len() {
            let out = carried(Form::Events, &[&text[..cut], &text[cut..]]);
            let rest = out.strip_prefix(first).unwrap();
            let rest = rest.strip_prefix("event: message\nid: 2\ndata: ").unwrap();
            let (json, rest) = rest.split_once("\n\n").unwrap();
            same(json, SHOWN);
            assert_eq!(rest, ": tools\n\ndata: {\"a\":1}\r\n\r\n");
        }
    }

    #[test]
    fn an_event_is_not_held_back_for_the_next() {
        let mut listing = Listing::new(McpRule::default(), Form::Events);
        assert_eq!(listing.push("data: 1\n\nda".into()), "data: 1\n\n");
        assert_eq!(listing.push("ta: 2\n\n".into()), "data: 2\n\n");
    }

    #[test]
    fn what_is_too_long_goes_on_as_it_is() {
        let long = format!(
            "{{\"result\":{{\"tools\":[{{\"name\":\"{}\"}}]}}}}",
            "x".repeat(LONGEST)
        );
        assert_eq!(carried(Form::Whole, &[&long, " "]).len(), long.len() + 1);
    }
}
