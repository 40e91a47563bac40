//! A message that is understood is understood in one way: by readers that take the first of two, that take the
//! last, and that do not tell cases apart.
#![no_main]

use std::fmt;

use lanyard_broker::fuzzing::{Message, mcp_message};
use libfuzzer_sys::fuzz_target;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Value, value::RawValue};

fuzz_target!(|body: &[u8]| {
    let Some(Message { method, tool, id }) = mcp_message(body) else {
        return;
    };
    let fields: Fields = serde_json::from_slice(body).expect("no object is understood");
    fields.once();
    let first = fields.text("method");
    assert_eq!(method, first, "the first reader takes another method");
    assert_eq!(id.as_deref(), fields.raw("id"), "another is answered");
    let params = fields.raw("params");
    let params = params.and_then(|raw| serde_json::from_str::<Fields>(raw).ok());
    if let Some(params) = &params {
        params.once();
    }
    let is_call = method.as_deref() == Some("tools/call");
    let called = |name: Option<String>| name.filter(|_| is_call);
    let first = params.as_ref().and_then(|params| params.text("name"));
    assert_eq!(tool, called(first), "the first reader takes another tool");
    let any = fields.text_in_any_case("method");
    assert_eq!(method, any, "a reader blind to case takes another method");
    let any = fields.raw_in_any_case("params");
    let any = any.and_then(|raw| serde_json::from_str::<Fields>(raw).ok());
    let any = any.and_then(|params| params.text_in_any_case("name"));
    assert_eq!(
        tool,
        called(any),
        "a reader blind to case takes another tool"
    );
    let is_answer = ["result", "error"].map(|name| fields.raw(name).is_some());
    assert_ne!(
        method.is_some(),
        is_answer.contains(&true),
        "it is both, or neither"
    );
    // Some take less for JSON: numbers of any size are, and halves of surrogate pairs.
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let last = text(&value["method"]);
        assert_eq!(method, last, "the last reader takes another method");
        let last = called(text(&value["params"]["name"]));
        assert_eq!(tool, last, "the last reader takes another tool");
    }
});

/// An object, with everything that stands in it.
struct Fields(Vec<(String, Box<RawValue>)>);

impl Fields {
    fn raw(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.get())
    }

    fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.raw(name)?).ok()
    }

    /// As Go's `encoding/json` finds it: the last that is the name to a simple folding of cases; of letters of ASCII,
    /// two have others that fold to them (Unicode, `CaseFolding.txt`). Some readers end a name at a NUL.
    fn raw_in_any_case(&self, name: &str) -> Option<&str> {
        let is = |field: &str| {
            let field = field.split('\0').next().unwrap_or_default();
            let folded = field.replace('ſ', "s").replace('\u{212a}', "k");
            folded.eq_ignore_ascii_case(name)
        };
        let found = self.0.iter().rev().find(|(field, _)| is(field));
        found.map(|(_, value)| value.get())
    }

    fn text_in_any_case(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.raw_in_any_case(name)?).ok()
    }

    fn once(&self) {
        let mut names: Vec<String> = self.0.iter().map(|(name, _)| name.to_lowercase()).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "a field stands twice");
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(All)
    }
}

struct All;

impl<'de> Visitor<'de> for All {
    type Value = Fields;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields, M::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}
