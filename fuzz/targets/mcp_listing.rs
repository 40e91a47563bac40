//! Of a list of tools, those that are granted are shown, and all else goes on as it came.
#![no_main]
#![expect(clippy::unwrap_used, reason = "a target fails by panicking")]

mod chunks;

use chunks::{cut, take};
use lanyard_broker::fuzzing::mcp_listing;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const GRANTED: &str = "get_";

fuzz_target!(|data: &[u8]| {
    let (cuts, rest) = take(data, 12);
    let Some((kind, body)) = rest.split_first() else {
        return;
    };
    let is_events = kind % 2 == 0;
    let shown = |chunks: &[&[u8]]| mcp_listing(&["get_*"], is_events, chunks).unwrap();
    let out = shown(&cut(body, cuts));
    assert_eq!(out, shown(&[body]), "the borders of chunks change it");
    let (Ok(came), Ok(went)) = (std::str::from_utf8(body), std::str::from_utf8(&out)) else {
        return;
    };
    if is_events {
        let expected: Vec<Event> = events(came).into_iter().map(Event::granted).collect();
        assert_eq!(events(went), expected, "{came:?} became {went:?}");
    } else if let Some(list) = granted(came.strip_prefix('\u{feff}').unwrap_or(came)) {
        assert_eq!(serde_json::from_str::<Value>(went).ok(), Some(list));
    } else {
        assert_eq!(came, went);
    }
});

/// The list without what is not granted; nothing when it is no list.
fn granted(text: &str) -> Option<Value> {
    let mut message: Value = serde_json::from_str(text).ok()?;
    let tools = message
        .get_mut("result")?
        .get_mut("tools")?
        .as_array_mut()?;
    let name = |tool: &Value| tool.get("name").and_then(Value::as_str).map(str::to_owned);
    tools.retain(|tool| name(tool).is_some_and(|name| name.starts_with(GRANTED)));
    Some(message)
}

/// What a client gets of an event: its type, its id, and its data.
#[derive(Debug, Default, PartialEq)]
struct Event {
    kind: String,
    id: String,
    data: Data,
}

#[derive(Debug, PartialEq)]
enum Data {
    Text(String),
    List(Value),
}

impl Default for Data {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl Event {
    fn granted(mut self) -> Self {
        if let Data::List(list) = &self.data
            && let Some(list) = granted(&list.to_string())
        {
            self.data = Data::List(list);
        }
        self
    }
}

/// The events of a stream, as browsers read it (HTML, 9.2.6).
fn events(stream: &str) -> Vec<Event> {
    let stream = stream.strip_prefix('\u{feff}').unwrap_or(stream);
    let stream = stream.replace("\r\n", "\n").replace('\r', "\n");
    let mut events = Vec::new();
    let mut event = Event::default();
    let mut data: Vec<&str> = Vec::new();
    let mut lines: Vec<&str> = stream.split('\n').collect();
    // What has no line end has not come.
    lines.pop();
    for line in lines {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() => {
                let done = std::mem::take(&mut event);
                let text = std::mem::take(&mut data).join("\n");
                event.id.clone_from(&done.id);
                if !text.is_empty() {
                    let data = match granted(&text) {
                        Some(_) => Data::List(serde_json::from_str(&text).unwrap()),
                        None => Data::Text(text),
                    };
                    events.push(Event { data, ..done });
                }
            }
            "event" => value.clone_into(&mut event.kind),
            "id" if !value.contains('\0') => value.clone_into(&mut event.id),
            "data" => data.push(value),
            _ => {}
        }
    }
    events
}
