//! The forms in which a secret may be somewhere: as it is, and as programs write it down.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use memchr::memmem::Finder;

/// Every form of a secret, to search for all of them at once.
#[derive(Debug)]
pub struct Forms(Vec<Form>);

#[derive(Debug)]
struct Form {
    name: &'static str,
    finder: Finder<'static>,
}

impl Forms {
    /// All of a secret. It must be long enough that none is anywhere by chance.
    pub fn of(secret: &str) -> Self {
        let mut known = BTreeSet::new();
        let forms = all(secret).into_iter();
        let once = forms.filter(|(_, form)| known.insert(form.clone()));
        Self(once.map(Form::named).collect())
    }

    /// A text as it is, and nothing else: to show that a search finds what is there.
    pub fn plain(text: &str) -> Self {
        Self(vec![Form::named(("plain", text.into()))])
    }

    /// Which of them are in there.
    pub fn found_in(&self, content: &[u8]) -> Vec<&'static str> {
        let found = self.0.iter().filter(|form| form.is_in(content));
        found.map(|form| form.name).collect()
    }

    /// Which of them are in which file of a folder.
    pub fn found_below(&self, folder: &Path) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let listing = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
        for entry in listing {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                found.extend(self.found_below(&path)?);
            } else if kind.is_file() {
                let content =
                    fs::read(&path).with_context(|| format!("read {}", path.display()))?;
                let named = self.found_in(&content);
                found.extend(
                    named
                        .iter()
                        .map(|form| format!("{}: {form}", path.display())),
                );
            }
        }
        Ok(found)
    }

    /// The length of the longest.
    pub fn longest(&self) -> usize {
        let lengths = self.0.iter().map(|form| form.finder.needle().len());
        lengths.max().unwrap_or_default()
    }
}

impl Form {
    fn named((name, form): (&'static str, Vec<u8>)) -> Self {
        let finder = Finder::new(&form).into_owned();
        Self { name, finder }
    }

    fn is_in(&self, content: &[u8]) -> bool {
        self.finder.find(content).is_some()
    }
}

fn all(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = secret.as_bytes();
    let of_each =
        |write: fn(u8) -> String| bytes.iter().map(|byte| write(*byte)).collect::<String>();
    let mut forms = vec![
        ("plain", bytes.to_vec()),
        ("hex", hex::encode(bytes).into()),
        ("HEX", hex::encode_upper(bytes).into()),
        (
            "percent, each byte",
            of_each(|byte| format!("%{byte:02x}")).into(),
        ),
        (
            "PERCENT, each byte",
            of_each(|byte| format!("%{byte:02X}")).into(),
        ),
        (
            "percent",
            percent(bytes, |byte| format!("%{byte:02x}")).into(),
        ),
        (
            "PERCENT",
            percent(bytes, |byte| format!("%{byte:02X}")).into(),
        ),
        ("UTF-16, little end first", utf16(secret, u16::to_le_bytes)),
        ("UTF-16, big end first", utf16(secret, u16::to_be_bytes)),
        ("JSON", json(secret).into()),
        ("JSON, solidus too", json(secret).replace('/', "\\/").into()),
        (
            "JSON, each unit",
            units(secret, |unit| format!("\\u{unit:04x}")).into(),
        ),
        (
            "JSON, EACH UNIT",
            units(secret, |unit| format!("\\u{unit:04X}")).into(),
        ),
    ];
    for before in 0..3 {
        forms.push(("base64", base64(bytes, before, &STANDARD)));
        forms.push(("base64url", base64(bytes, before, &URL_SAFE)));
    }
    forms
}

/// What of an encoding is the secret's alone, where so many bytes stand before it.
fn base64(secret: &[u8], before: usize, engine: &impl Engine) -> Vec<u8> {
    let encoded = engine.encode([&vec![0; before], secret].concat());
    let first = (before * 8).div_ceil(6);
    let last = (before + secret.len()) * 8 / 6;
    encoded.as_bytes()[first..last].to_vec()
}

/// What RFC 3986, section 2.3, calls unreserved stays.
fn percent(secret: &[u8], write: fn(u8) -> String) -> String {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let each = secret.iter().map(|byte| match byte {
        byte if is_unreserved(*byte) => char::from(*byte).to_string(),
        byte => write(*byte),
    });
    each.collect()
}

fn utf16(secret: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    secret.encode_utf16().flat_map(bytes).collect()
}

fn json(secret: &str) -> String {
    let quoted = serde_json::Value::from(secret).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn units(secret: &str, write: fn(u16) -> String) -> String {
    secret.encode_utf16().map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "k\"1/?>é~x-9";

    #[test]
    fn each_form_is_found_as_other_programs_write_it() {
        let forms = Forms::of(SECRET);
        // What Python's base64, urllib, binascii, codecs and json write.
        for (written, form) in [
            ("k\"1/?>é~x-9", "plain"),
            ("ayIxLz8+w6l+eC05", "base64"),
            ("YWsiMS8/PsOpfngtOQ==", "base64"),
            ("YWJrIjEvPz7DqX54LTk=", "base64"),
            ("ayIxLz8-w6l-eC05", "base64url"),
            ("YWsiMS8_PsOpfngtOQ==", "base64url"),
            ("6b22312f3f3ec3a97e782d39", "hex"),
            ("6B22312F3F3EC3A97E782D39", "HEX"),
            ("k%221%2F%3F%3E%C3%A9~x-9", "PERCENT"),
            ("%6b%22%31%2f%3f%3e%c3%a9%7e%78%2d%39", "percent, each byte"),
            ("k\\\"1/?>é~x-9", "JSON"),
            ("k\\\"1\\/?>é~x-9", "JSON, solidus too"),
            (
                "\\u006b\\u0022\\u0031\\u002f\\u003f\\u003e\\u00e9\\u007e\\u0078\\u002d\\u0039",
                "JSON, each unit",
            ),
        ] {
            let content = format!("before {written} behind");
            let found = forms.found_in(content.as_bytes());
            assert!(found.contains(&form), "{form}: {found:?} in {written}");
        }
        assert!(forms.found_in("k\"1/?>é~x-8".as_bytes()).is_empty());
        let little: Vec<u8> = b"k\0\"\x001\0/\0?\0>\0\xe9\0~\0x\0-\x009\0".to_vec();
        assert_eq!(forms.found_in(&little), ["UTF-16, little end first"]);
        assert_eq!(
            forms.found_in(&[&[0], &little[..21]].concat()),
            ["UTF-16, big end first"]
        );
    }

    #[test]
    fn files_are_searched_at_every_depth() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/b/c"), hex::encode(SECRET)).unwrap();
        fs::write(folder.path().join("a/other"), "nothing").unwrap();
        let found = Forms::of(SECRET).found_below(folder.path()).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with("a/b/c: hex"), "{found:?}");
    }
}
