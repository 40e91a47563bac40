//! The arguments of a tool, as an expression reads them.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
};

use cel::Value;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

use crate::{letter_case::folded, mcp::LONGEST_ARGUMENTS};

/// How much is read, so that no macro over it takes long.
const MOST_VALUES: usize = 512;
const DEEPEST: usize = 16;

/// 2 to the power of 53: up to there every whole number has a float of its own.
const EXACT: u64 = 1 << 53;

/// Reads JSON; nothing when it is larger than what is read, or when two readers could read it otherwise: an
/// object has each key once, and no two that differ in case alone; and none that is one of `names` but for its case,
/// since the conditions that look for that name would not see what the tool may be given (Go's reader takes either).
pub(super) fn read(text: &str, names: &[&(String, String)]) -> Option<Value> {
    if text.len() > LONGEST_ARGUMENTS {
        return None;
    }
    let mut left = MOST_VALUES;
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Reading {
        names,
        left: &mut left,
        depth: 0,
    };
    let value = value.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(value)
}

struct Reading<'l> {
    /// What conditions look for, each behind what readers take it for that tell no cases apart.
    names: &'l [&'l (String, String)],
    left: &'l mut usize,
    depth: usize,
}

impl Reading<'_> {
    /// Whether a name that conditions look for is this one in another case.
    fn is_almost_named(&self, key: &str, folded: &str) -> bool {
        let alike = self.names.iter().filter(|(name, _)| name == folded);
        let mut alike = alike.peekable();
        alike.peek().is_some() && alike.all(|(_, name)| name != key)
    }

    fn below(&mut self) -> Reading<'_> {
        Reading {
            names: self.names,
            left: self.left,
            depth: self.depth + 1,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.depth > DEEPEST {
            return Err(D::Error::custom("too deep"));
        }
        *self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| D::Error::custom("too many values"))?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value)
            .map(Value::Int)
            .map_err(|_| E::custom("a number beyond what is compared exactly"))
    }

    /// `5.0` and `5` are one number in JSON (RFC 8259, 6), and so they are here.
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        if value.fract() != 0.0 {
            return Ok(Value::Float(value));
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked below")]
        let whole = value as i64;
        if whole.unsigned_abs() > EXACT {
            return Err(E::custom("a number beyond what is compared exactly"));
        }
        Ok(Value::Int(whole))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self.below())? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let mut values = HashMap::new();
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let folded = folded(&key);
            // Some readers end a text at a NUL.
            if key.contains('\0') || self.is_almost_named(&key, &folded) {
                return Err(A::Error::custom("a key that others read otherwise"));
            }
            if !seen.insert(folded) {
                return Err(A::Error::custom("a key stands twice"));
            }
            values.insert(key, map.next_value_seed(self.below())?);
        }
        Ok(values.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Value> {
        let names = ["path", "isPublic"].map(|name| (folded(name), name.to_owned()));
        super::read(text, &names.each_ref())
    }

    #[test]
    fn a_name_that_is_looked_for_stands_there_as_it_is_or_not_at_all() {
        for good in [
            r#"{"path":1,"isPublic":true,"Other":{"a":1}}"#,
            r#"{"paths":1,"größe":1}"#,
            "{}",
        ] {
            assert!(read(good).is_some(), "{good}");
        }
        for bad in [
            r#"{"Path":1}"#,
            r#"{"ispublic":true}"#,
            r#"{"i\u017fPublic":true}"#,
            r#"{"a":[{"PATH":1}]}"#,
            r#"{"path\u0000":1}"#,
        ] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn whole_numbers_are_one_however_they_are_written() {
        for text in ["5", "5.0", "50e-1", "0.5e1"] {
            assert!(matches!(read(text), Some(Value::Int(5))), "{text}");
        }
        assert!(matches!(read("-0.0"), Some(Value::Int(0))));
        assert!(matches!(read("2.5"), Some(Value::Float(_))));
    }

    #[test]
    fn what_two_readers_read_otherwise_is_not_read() {
        for bad in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"A":2}"#,
            r#"{"x":{"a":1,"\u0061":2}}"#,
            r#"[{"b":1,"B":1}]"#,
            r#"{"s":1,"\u017f":2}"#,
            "18446744073709551615",
            "1e300",
            "9007199254740993.0e3",
            "1e999",
            "{} {}",
            "{",
        ] {
            assert!(read(bad).is_none(), "{bad}");
        }
        assert!(read(r#"{"a":{"a":1},"b":[{"a":1},{"a":2}]}"#).is_some());
    }

    #[test]
    fn much_is_not_read() {
        let list = |count: usize| format!("[{}]", vec!["1"; count].join(","));
        assert!(read(&list(MOST_VALUES - 1)).is_some());
        assert!(read(&list(MOST_VALUES)).is_none());
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&deep(DEEPEST + 1)).is_some());
        assert!(read(&deep(DEEPEST + 2)).is_none());
        let text = |length: usize| format!("\"{}\"", "a".repeat(length));
        assert!(read(&text(LONGEST_ARGUMENTS - 2)).is_some());
        assert!(read(&text(LONGEST_ARGUMENTS - 1)).is_none());
    }
}
