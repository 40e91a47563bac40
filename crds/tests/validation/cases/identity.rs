//! Rows of identities.

use lanyard_crds::kind::Kind;
use serde_json::json;

use super::{
    BAD_LABEL, Case,
    Verdict::{Accepted, Refused},
    create,
};

pub(super) fn rows() -> Vec<Case> {
    const PROCESS: &str = "/workloadSelector/processes/0";
    let kind = Kind::AgentIdentity;
    let row = |field: &str, value: &str, verdict| {
        create(
            kind,
            &[(&format!("{PROCESS}/{field}"), json!(value))],
            verdict,
        )
    };
    let bad_name = Refused("spec.workloadSelector.processes[0].name", BAD_LABEL);
    let bad_path = Refused(
        "spec.workloadSelector.processes[0].executable.path",
        "is not the path that the kernel shows: begin with / and leave out ., .., // and a final / (realpath prints it)",
    );
    let bad_digest = Refused(
        "spec.workloadSelector.processes[0].executable.sha256",
        "is not a SHA-256 digest: 64 hexadecimal digits in lower case, as sha256sum prints them",
    );
    vec![
        create(kind, &[], Accepted),
        row("name", "Curl", bad_name),
        row("name", "curl.1", bad_name),
        row("executable/path", "bin/curl", bad_path),
        row("executable/path", "/bin/../curl", bad_path),
        row("executable/path", "/bin/./curl", bad_path),
        row("executable/path", "/bin//curl", bad_path),
        row("executable/path", "/bin/curl/", bad_path),
        row("executable/path", "/bin/.curl..", Accepted),
        row("executable/sha256", "0f", bad_digest),
        row("executable/sha256", &"0F".repeat(32), bad_digest),
    ]
}
