//! Rows of identities.

use lanyard_crds::kind::Kind;
use serde_json::{Value, json};

use super::{
    BAD_LABEL, Case,
    Verdict::{self, Accepted, Refused},
    create,
};

const PROCESS: &str = "/workloadSelector/processes/0";
const BAD_PATH: &str = "is not the path that the kernel shows: begin with / and leave out ., .., // and a final / (realpath prints it)";
const BAD_DIGEST: &str =
    "is not a SHA-256 digest: 64 hexadecimal digits in lower case, as sha256sum prints them";

pub(super) fn rows() -> Vec<Case> {
    let mut rows = executables();
    rows.extend(scripts());
    rows.extend(choices());
    rows
}

fn row(pointer: &str, value: Value, verdict: Verdict) -> Case {
    create(Kind::AgentIdentity, &[(pointer, value)], verdict)
}

fn executables() -> Vec<Case> {
    let row = |field: &str, value: &str, verdict| {
        row(&format!("{PROCESS}/{field}"), json!(value), verdict)
    };
    let bad_name = Refused("spec.workloadSelector.processes[0].name", BAD_LABEL);
    let bad_path = Refused(
        "spec.workloadSelector.processes[0].executable.path",
        BAD_PATH,
    );
    let bad_digest = Refused(
        "spec.workloadSelector.processes[0].executable.sha256",
        BAD_DIGEST,
    );
    vec![
        create(Kind::AgentIdentity, &[], Accepted),
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

fn scripts() -> Vec<Case> {
    let script = |path: &str, sha256: &str, verdict| {
        let script = json!({ "path": path, "sha256": sha256 });
        row(&format!("{PROCESS}/script"), script, verdict)
    };
    let digest = "0f".repeat(32);
    let bad_path = Refused("spec.workloadSelector.processes[0].script.path", BAD_PATH);
    let bad_digest = Refused(
        "spec.workloadSelector.processes[0].script.sha256",
        BAD_DIGEST,
    );
    vec![
        script("/srv/agent/main.py", &digest, Accepted),
        script("main.py", &digest, bad_path),
        script("/srv/agent/../main.py", &digest, bad_path),
        script("/srv/agent/main.py", "0f", bad_digest),
    ]
}

fn choices() -> Vec<Case> {
    let mut rows = vec![
        row("/workloadSelector/processes", json!([]), Accepted),
        row("/workloadSelector/processes", Value::Null, Accepted),
    ];
    let children = format!("{PROCESS}/children");
    for (pointer, values) in [
        (&*children, &["None", "Listed", "Inherit"][..]),
        ("/enforcement", &["Enforce", "Observe"]),
        ("/processAccess", &["None", "Debug"]),
    ] {
        rows.extend(
            values
                .iter()
                .map(|value| row(pointer, json!(value), Accepted)),
        );
    }
    rows
}
