//! However a service reads a path that is matched, it reads the path that the rule was compared with.
#![no_main]

use lanyard_access::path::{PathTemplate, RequestPath};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &str| {
    let (raw, template) = data.split_once('\n').unwrap_or((data, "/**"));
    let template = template.parse::<PathTemplate>();
    if let Ok(template) = &template {
        let again = template.to_string().parse();
        assert_eq!(
            again.as_ref(),
            Ok(template),
            "a template changes as it is written"
        );
    }
    let Ok(path) = RequestPath::parse(raw) else {
        return;
    };
    let parts: Vec<&str> = path.parts().collect();
    for read in [once, twice, resolved_first, with_backslashes] {
        assert_eq!(read(raw), parts, "{raw:?} is read in two ways");
    }
    // Servers of servlets take parameters away, and find the same number of parts.
    let names: Vec<String> = parts.iter().map(|part| without_parameters(part)).collect();
    assert_eq!(
        resolved(&names),
        names,
        "{raw:?} is another path without parameters"
    );
    // Written out as strictly as can be, it is the same.
    let written: Vec<String> = parts.iter().map(|part| encoded(part)).collect();
    let written = format!("/{}", written.join("/"));
    assert_eq!(RequestPath::parse(&written), Ok(path.clone()));
    if let Ok(template) = template {
        let is_match = matches(&template.to_string(), &parts);
        assert_eq!(template.matches(&path), is_match, "{template} {raw:?}");
    }
});

fn once(raw: &str) -> Vec<String> {
    resolved(&split(&decoded(raw)))
}

fn twice(raw: &str) -> Vec<String> {
    resolved(&split(&decoded(&decoded(raw))))
}

fn resolved_first(raw: &str) -> Vec<String> {
    split(&decoded(&format!("/{}", resolved(&split(raw)).join("/"))))
}

fn with_backslashes(raw: &str) -> Vec<String> {
    resolved(&split(&decoded(raw).replace('\\', "/")))
}

/// The parts; what an escape hides counts.
fn split(path: &str) -> Vec<String> {
    let parts = path.strip_prefix('/').unwrap_or(path).split('/');
    parts.map(str::to_owned).collect()
}

/// Without dots and empty parts; an empty last one says that the path ends in a slash.
fn resolved(parts: &[String]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let is_last = at + 1 == parts.len();
        match part.as_str() {
            ".." => drop(found.pop()),
            "." => {}
            "" if !is_last => {}
            part => found.push(part.to_owned()),
        }
    }
    found
}

/// Decoded once, as whoever takes what is no escape for text.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3);
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let value = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let value = value.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match value {
            Some(value) if bytes[at] == b'%' => {
                out.push(value);
                at += 3;
            }
            Some(_) | None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn without_parameters(part: &str) -> String {
    part.split(';').next().unwrap_or_default().to_owned()
}

fn encoded(part: &str) -> String {
    let bytes: Vec<String> = part.bytes().map(|byte| format!("%{byte:02X}")).collect();
    bytes.concat()
}

/// The template, read part by part.
fn matches(template: &str, parts: &[&str]) -> bool {
    let wanted = split(template);
    let (wanted, has_rest) = match wanted.split_last() {
        Some((last, before)) if last == "**" => (before.to_vec(), true),
        Some(_) | None => (wanted, false),
    };
    let fits = if has_rest {
        parts.len() > wanted.len()
    } else {
        parts.len() == wanted.len()
    };
    let mut named = std::collections::BTreeMap::new();
    fits && wanted.iter().zip(parts).all(|(wanted, part)| {
        if wanted == "*" {
            !part.is_empty()
        } else if wanted.starts_with('{') {
            !part.is_empty()
                && named
                    .insert(wanted.clone(), *part)
                    .is_none_or(|known| known == *part)
        } else {
            wanted == part
        }
    })
}
