//! `lanyard trust`: what the programs of a scope trust, for a client that needs to be told by hand.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
};

use lanyard_protocol::control::{Own, Trust, Trusted, Variable, reply::Reply, request::Verb};
use serde::Serialize;
use thiserror::Error;

use crate::{
    args::{Environment, Format, Place, TrustArgs},
    control::{self, ControlError},
    failure::Failure,
    terminal::printable,
};

/// Why what is trusted cannot be shown.
#[derive(Debug, Error)]
pub(crate) enum TrustError {
    #[error("read the bundle {path}: {source}", path = .path.display())]
    Bundle { path: PathBuf, source: io::Error },
}

/// Variables that a person may have pointed at roots of their own.
const OWN_ROOTS: [&str; 11] = [
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
    "DENO_CERT",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "CODEX_CA_CERTIFICATE",
];

/// The most that is read of such files.
const LONGEST: usize = 1 << 20;

/// The certificates that the caller trusts by variables of their own (PEM), which the agent's programs shall
/// trust too. A file that cannot be read is one that they could not read either.
pub(crate) fn of_caller(environment: &Environment) -> String {
    let mut paths: Vec<PathBuf> = OWN_ROOTS
        .iter()
        .filter_map(|name| environment.get(name))
        .map(PathBuf::from)
        .collect();
    paths.sort_unstable();
    paths.dedup();
    let mut all = String::new();
    for path in paths {
        let Ok(text) = fs::read_to_string(path) else {
            continue;
        };
        if all.len() + text.len() < LONGEST {
            all += &text;
            all.push('\n');
        }
    }
    all
}

/// A variable's value, with what the caller has in it.
pub(crate) fn value_of(variable: &Variable, environment: &Environment) -> String {
    let value = &variable.value;
    let own = environment.get(&variable.name).and_then(|own| own.to_str());
    let Some(own) = own else {
        return value.clone();
    };
    match Own::try_from(variable.own) {
        Ok(Own::Before) => format!("{own}{value}"),
        Ok(Own::Replaced) | Err(_) => value.clone(),
    }
}

/// Asks, and prints the variables, or the certificates.
pub(crate) fn trust(place: &Place, args: &TrustArgs, out: &mut impl Write) -> Result<(), Failure> {
    let Reply::Trusted(trusted) = control::ask(place, Verb::Trust(Trust {}))? else {
        return Err(ControlError::NotUnderstood.into());
    };
    if args.pem {
        let path = PathBuf::from(&trusted.bundle);
        let bundle = fs::read(&path).map_err(|source| TrustError::Bundle { path, source })?;
        out.write_all(&bundle)?;
        return Ok(());
    }
    match args.output.format {
        Format::Table => {
            for Variable { name, value, .. } in &trusted.variables {
                writeln!(out, "export {name}={}", quoted(&printable(value)))?;
            }
        }
        Format::Json => {
            serde_json::to_writer(&mut *out, &Document::of(&trusted)).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    Ok(())
}

/// For a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    bundle: &'a str,
    variables: Vec<Pair<'a>>,
}

#[derive(Debug, Serialize)]
struct Pair<'a> {
    name: &'a str,
    value: &'a str,
}

impl<'a> Document<'a> {
    fn of(trusted: &'a Trusted) -> Self {
        let pairs = trusted
            .variables
            .iter()
            .map(|Variable { name, value, .. }| Pair { name, value });
        Self {
            bundle: &trusted.bundle,
            variables: pairs.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    fn variable(name: &str, value: &str, own: Own) -> Variable {
        Variable {
            name: name.into(),
            value: value.into(),
            own: own.into(),
        }
    }

    #[test]
    fn what_the_caller_has_is_kept_where_it_can_be() {
        let own = environment(&[("A", "own"), ("EMPTY", "")]);
        let value = |name, kind| value_of(&variable(name, ":ours", kind), &own);
        assert_eq!(value("A", Own::Replaced), ":ours");
        assert_eq!(value("A", Own::Before), "own:ours");
        for kind in [Own::Replaced, Own::Before] {
            assert_eq!(value("B", kind), ":ours");
            assert_eq!(value("EMPTY", kind), ":ours");
        }
    }

    #[test]
    fn roots_of_the_caller_are_read_once_each_and_what_cannot_be_read_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own.pem");
        fs::write(&file, "own certificates").unwrap();
        let file = file.to_str().unwrap();
        let own = environment(&[
            ("SSL_CERT_FILE", file),
            ("NODE_EXTRA_CA_CERTS", file),
            ("PIP_CERT", "/no/such/file"),
        ]);
        assert_eq!(of_caller(&own), "own certificates\n");
        assert_eq!(of_caller(&environment(&[])), "");
    }

    #[test]
    fn a_shell_reads_back_what_is_printed() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
