//! `lanyard --version`: every version that two parts must agree on.

use std::io::Write;

use lanyard_protocol::{
    CONTROL_PROTOCOL,
    control::{Status, StatusQuery, reply::Reply, request::Verb},
};

use crate::{
    args::Place,
    control::{self, ControlError},
    failure::Failure,
    terminal::printable,
};

/// The version of this command.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Group and version of the API that manifests are written in.
const API: &str = "lanyard.dev/v1alpha1";

/// Prints the versions. The kernel maps are the node agent's, so that it is asked for theirs.
pub(crate) fn print(place: &Place, out: &mut impl Write) -> Result<(), Failure> {
    let maps = match control::ask(place, Verb::Status(StatusQuery {})) {
        Ok(Reply::Status(status)) => map_abi(&status),
        Ok(_) => unknown(&ControlError::NotUnderstood),
        Err(error) => unknown(&error),
    };
    writeln!(out, "lanyard   {VERSION}")?;
    writeln!(out, "map ABI   {maps}")?;
    writeln!(out, "protocol  {CONTROL_PROTOCOL}")?;
    writeln!(out, "API       {API}")?;
    Ok(())
}

/// What to say when the node agent is of another version than this command.
pub(crate) fn skew(status: &Status) -> Option<String> {
    (status.version != VERSION).then(|| {
        format!(
            "warning: the node agent is version {}, this command is version {VERSION}",
            printable(&status.version)
        )
    })
}

fn map_abi(status: &Status) -> String {
    format!(
        "{} (node agent {} of node {})",
        status.map_abi,
        printable(&status.version),
        printable(&status.node)
    )
}

fn unknown(error: &ControlError) -> String {
    format!("unknown: {}", printable(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_the_one_of_the_manifests() {
        assert_eq!(API, lanyard_crds::names::API_VERSION);
    }

    #[test]
    fn another_version_of_the_node_agent_is_warned_of() {
        let mut status = Status {
            version: VERSION.into(),
            ..Status::default()
        };
        assert_eq!(skew(&status), None);
        status.version = "9.9.9".into();
        assert!(skew(&status).unwrap().contains("9.9.9"));
    }
}
