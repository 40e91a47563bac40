//! A server's list of tools, without those that are not granted. What a client does not see it does not try; what
//! it tries all the same is refused where it is asked.

use bytes::Bytes;
use lanyard_access::mcp::McpRule;
use serde_json::Value;
use thiserror::Error;

use crate::gathered::{Budget, Gathered, NoRoom};

/// The longest list, or event with one, that is read.
pub(crate) const LONGEST: usize = 4 << 20;

/// How much goes on at a time. More than that takes room until all of it is gone.
pub(crate) const PIECE: usize = 64 << 10;

/// Why a reply does not go on. What cannot be read is not shown at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum ListingError {
    /// It is longer than what is read.
    #[error("what may be a list of tools is longer than {} MiB", LONGEST >> 20)]
    TooLong,
    /// It cannot be read now.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

/// A reply on its way.
#[derive(Debug)]
pub(crate) struct Listing {
    rule: McpRule,
    form: Form,
    budget: Budget,
    /// Whether nothing of it was read.
    is_new: bool,
    /// What is not yet whole.
    held: Gathered,
}

/// How a reply is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One JSON text.
    Whole,
    /// Events, each with a JSON text (server-sent events).
    Events,
}

impl Listing {
    /// Shows what the rule allows, and gathers within that budget.
    pub(crate) fn new(rule: McpRule, form: Form, budget: Budget) -> Self {
        Self {
            rule,
            form,
            is_new: true,
            held: Gathered::new(budget.clone()),
            budget,
        }
    }

    /// Whether nothing goes on before all of it came.
    pub(crate) fn is_whole(&self) -> bool {
        self.form == Form::Whole
    }

    /// Takes what came next, and gives what can go on.
    pub(crate) fn push(&mut self, data: &[u8]) -> Result<Bytes, ListingError> {
        let mut ready = Vec::new();
        let mut rest = data;
        if self.form == Form::Events && self.held.as_ref().is_empty() {
            // What comes as a whole takes no room.
            while let Some(end) = end_of_event(rest, false) {
                let (event, next) = rest.split_at(end);
                self.show(event, true, &mut ready);
                rest = next;
            }
        }
        self.held.extend(rest)?;
        if self.form == Form::Events {
            while let Some(end) = end_of_event(self.held.as_ref(), false) {
                let event = self.held.take_first(end);
                self.show(&event, true, &mut ready);
            }
        }
        if self.held.as_ref().len() > LONGEST {
            return Err(ListingError::TooLong);
        }
        self.ready(ready)
    }

    /// Gives the rest: nothing follows.
    pub(crate) fn finish(&mut self) -> Result<Bytes, ListingError> {
        let mut held = std::mem::replace(&mut self.held, Gathered::new(self.budget.clone()));
        if self.form == Form::Events {
            let is_whole = end_of_event(held.as_ref(), true).is_some();
            let mut ready = Vec::new();
            self.show(held.as_ref(), is_whole, &mut ready);
            drop(held);
            return self.ready(ready);
        }
        let text = held.as_ref();
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        if let Some(shown) = shown_text(text, &self.rule) {
            held.adopt(shown)?;
        }
        Ok(held.into_bytes())
    }

    fn show(&mut self, event: &[u8], is_whole: bool, ready: &mut Vec<u8>) {
        let is_first = std::mem::replace(&mut self.is_new, false);
        let marked = event.strip_prefix(BYTE_ORDER_MARK).filter(|_| is_first);
        match shown_event(marked.unwrap_or(event), &self.rule, is_whole) {
            Some(shown) => ready.extend_from_slice(&shown),
            None => ready.extend_from_slice(event),
        }
    }

    fn ready(&self, ready: Vec<u8>) -> Result<Bytes, ListingError> {
        if ready.len() <= PIECE {
            return Ok(ready.into());
        }
        let mut gathered = Gathered::new(self.budget.clone());
        gathered.adopt(ready)?;
        Ok(gathered.into_bytes())
    }
}

/// Who reads a text leaves it out, where the text begins with it (Encoding, 6).
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Where the first event ends: behind an empty line. A CR at the very end may be the half of a CRLF, unless it
/// `is_all`.
fn end_of_event(text: &[u8], is_all: bool) -> Option<usize> {
    let mut at = 0;
    loop {
        let (line, end) = first_line(&text[at..])?;
        at += end;
        if at == text.len() && text.ends_with(b"\r") && !is_all {
            return None;
        }
        if line.is_empty() {
            return Some(at);
        }
    }
}

/// The first line, and where the next begins: lines end in CRLF, LF or CR (HTML, 9.2.5).
fn first_line(text: &[u8]) -> Option<(&[u8], usize)> {
    let length = memchr::memchr2(b'\r', b'\n', text)?;
    let is_pair = text[length..].starts_with(b"\r\n");
    Some((&text[..length], length + 1 + usize::from(is_pair)))
}

/// The event with the tools that the rule allows; nothing when it has no list of tools.
fn shown_event(event: &[u8], rule: &McpRule, is_whole: bool) -> Option<Vec<u8>> {
    memchr::memmem::find(event, b"tools")?;
    let mut data: Vec<&[u8]> = Vec::new();
    let mut out = Vec::new();
    let mut rest = event;
    while !rest.is_empty() {
        let (line, end) = first_line(rest).unwrap_or((rest, rest.len()));
        rest = &rest[end..];
        match line.strip_prefix(b"data") {
            Some(b"") => data.push(b""),
            Some([b':', b' ', value @ ..] | [b':', value @ ..]) => data.push(value),
            Some(_) | None if line.is_empty() => {}
            Some(_) | None => {
                out.extend_from_slice(line);
                out.push(b'\n');
            }
        }
    }
    let shown = shown_text(&data.join(&b'\n'), rule)?;
    out.extend_from_slice(b"data: ");
    // JSON as it is written here has no line break.
    out.extend_from_slice(&shown);
    if is_whole {
        out.extend_from_slice(b"\n\n");
    }
    Some(out)
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
        let mut listing = Listing::new(rule, form, Budget::default());
        let mut out = Vec::new();
        for chunk in chunks {
            out.extend_from_slice(&listing.push(chunk.as_bytes()).unwrap());
        }
        out.extend_from_slice(&listing.finish().unwrap());
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
    fn events_are_read_however_their_lines_end() {
        for ends in ["\r", "\r\n", "\n", "\n\r\n\n"] {
            let text = format!("event: message{ends}data: {LIST}{ends}{ends}");
            let first = format!("\u{feff}data: {LIST}{ends}{ends}");
            for text in [text, first] {
                for cut in 0..text.len() {
                    if text.is_char_boundary(cut) {
                        let out = carried(Form::Events, &[&text[..cut], &text[cut..]]);
                        assert!(out.contains("get_a") && !out.contains("delete"), "{out:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_event_is_not_held_back_for_the_next() {
        let mut listing = Listing::new(McpRule::default(), Form::Events, Budget::default());
        assert_eq!(listing.push(b"data: 1\n\nda").unwrap(), "data: 1\n\n");
        assert_eq!(listing.push(b"ta: 2\n\n").unwrap(), "data: 2\n\n");
    }

    #[test]
    fn what_is_too_long_or_has_no_room_does_not_go_on() {
        let refused = |form, length: usize, budget: &Budget| {
            let mut listing = Listing::new(McpRule::default(), form, budget.clone());
            let long = format!(
                r#"data: {{"result":{{"tools":[{{"name":"{}"#,
                "x".repeat(length)
            );
            let pushed = long
                .as_bytes()
                .chunks(16 << 10)
                .map(|chunk| listing.push(chunk));
            pushed.collect::<Result<Vec<_>, _>>().err()
        };
        for form in [Form::Whole, Form::Events] {
            let budget = Budget::new(16 << 20);
            assert_eq!(refused(form, LONGEST - 100, &budget), None);
            let too_long = Some(ListingError::TooLong);
            assert_eq!(refused(form, LONGEST, &budget), too_long);
            let no_room = Some(ListingError::NoRoom(NoRoom));
            assert_eq!(refused(form, 2 << 20, &Budget::new(1 << 20)), no_room);
        }
    }

    #[test]
    fn whole_events_need_no_room_while_others_have_it_all() {
        let mut listing = Listing::new(McpRule::default(), Form::Events, Budget::new(0));
        assert_eq!(listing.push(b"data: 1\n\n").unwrap(), "data: 1\n\n");
        assert_eq!(
            listing.push(b"data: 2\n\ndata"),
            Err(ListingError::NoRoom(NoRoom))
        );
    }
}
