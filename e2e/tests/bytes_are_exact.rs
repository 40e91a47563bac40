//! A grant of so many bytes gives no more of them: to all processes together, through tunnels, and when who counts
//! dies.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Stdio},
    time::Duration,
};

use lanyard_e2e::{
    counterparts,
    dialogue::Dialogue,
    grant::NamedGrant,
    scenes::{Stage, TOKEN, TOOLS, USER},
    service::NAME,
    wait,
};
use serde_json::Value;

/// More than is leased at a time, and far less than the download has.
const LIMIT: u64 = 1_000_000;

fn stage(port: u16, limit: u64) -> Stage {
    let stage = Stage::with_tools().unwrap();
    let grant = NamedGrant {
        port,
        spec: vec![format!("maxBytes: {limit}")],
        ..stage.grant("few")
    };
    stage.give(&grant).unwrap();
    stage
}

/// A download in a scope of its own that has no end of its own.
struct Download {
    process: Child,
    file: PathBuf,
}

impl Download {
    fn begin(stage: &Stage, number: usize) -> Self {
        let file = stage.lab.path(&format!("download-{number}"));
        let url = stage.url("/large");
        let process = stage
            .lanyard
            .run_as(TOOLS, Some(USER), &["curl", "-sS", "--no-buffer", &url])
            .stdout(File::create(&file).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, file }
    }

    fn received(&self) -> u64 {
        fs::metadata(&self.file).unwrap().len()
    }

    fn until_under_way(&self) {
        wait::until("it is under way", Duration::from_secs(20), || {
            Ok((self.received() > 100_000).then_some(()))
        })
        .unwrap();
    }

    /// Waits until it is cut; how much came, of what is no refusal.
    fn end(mut self) -> u64 {
        let status = self.process.wait().unwrap();
        let begin = fs::read(&self.file).unwrap();
        if !begin.starts_with(b"xxx") {
            let refusal = String::from_utf8_lossy(&begin);
            assert!(begin.is_empty() || refusal.contains("UsedUp"), "{refusal}");
            return 0;
        }
        assert!(!status.success(), "the download was completed");
        self.received()
    }
}

/// Bytes that the record has of all requests under the grant, once they ended, and how each of them did.
fn recorded(stage: &Stage) -> (u64, Vec<String>) {
    let ends = stage.lanyard.until_all_ended().unwrap();
    let bytes = |end: &Value| {
        let of = |field: &str| end[field].as_u64().unwrap_or_default();
        of("sentBytes") + of("receivedBytes")
    };
    let outcome = |end: &Value| end["outcome"].as_str().unwrap().to_owned();
    (
        ends.iter().map(bytes).sum(),
        ends.iter().map(outcome).collect(),
    )
}

#[test]
fn no_more_bytes_come_than_are_allowed_to_all_scopes_together() {
    let stage = stage(443, LIMIT);
    let downloads: Vec<Download> = (0..4)
        .map(|number| Download::begin(&stage, number))
        .collect();
    let received: Vec<u64> = downloads.into_iter().map(Download::end).collect();
    let all: u64 = received.iter().sum();
    assert!(all <= LIMIT, "{received:?}");
    let (bytes, outcomes) = recorded(&stage);
    assert!(all <= bytes && bytes <= LIMIT, "{received:?} {bytes}");
    // What is left is less than what came next.
    assert!(bytes > LIMIT / 2, "{bytes}: {outcomes:?}");
    assert!(outcomes.contains(&"CutByLimit".to_owned()), "{outcomes:?}");
}

#[test]
fn a_killed_broker_gives_no_byte_back_that_was_carried() {
    let stage = stage(443, LIMIT);
    let first = Download::begin(&stage, 0);
    first.until_under_way();
    stage.lanyard.kill_brokers().unwrap();
    let first = first.end();
    let rest = Download::begin(&stage, 1).end();
    assert!(first > 100_000 && rest > 0, "{first} and {rest}");
    assert!(first + rest <= LIMIT, "{first} and {rest}");
    let more = Download::begin(&stage, 2).end();
    assert!(first + rest + more <= LIMIT, "{first}, {rest} and {more}");
}

#[test]
fn a_killed_node_agent_gives_no_byte_back_that_was_carried() {
    let mut stage = stage(443, LIMIT);
    let first = Download::begin(&stage, 0);
    first.until_under_way();
    stage.lanyard.kill_everything().unwrap();
    let first = first.end();
    stage.lanyard.start(&stage.lab).unwrap();
    stage.lanyard.until_live("default/few").unwrap();
    let rest = Download::begin(&stage, 1).end();
    assert!(first > 100_000 && rest > 0, "{first} and {rest}");
    assert!(first + rest <= LIMIT, "{first} and {rest}");
    let more = Download::begin(&stage, 2).end();
    assert!(first + rest + more <= LIMIT, "{first}, {rest} and {more}");
}

/// Both directions count, framing too, as a tunnel is not read.
#[test]
fn a_tunnel_is_cut_where_the_bytes_end() {
    const MOST: u64 = 200;
    /// A message of five bytes: two of a head, and a mask of four where it comes from the client (RFC 6455, 5.2).
    const LEAST_EACH: u64 = 11 + 7;
    let stage = stage(8444, MOST);
    let _server = counterparts::python(&stage.lab, TOKEN).unwrap();
    let mut client = Dialogue::with_peer(&stage, TOOLS, "tunnels.py", &[NAME]).unwrap();
    assert_eq!(client.ask("open /chat").unwrap(), "open");
    let mut heard = 0;
    let last = loop {
        match client.ask("send /chat").unwrap() {
            said if said == "heard hello" => heard += 1,
            said => break said,
        }
        assert!(heard * LEAST_EACH <= MOST, "{heard} came back");
    };
    assert_eq!(last, "cut");
    assert!(heard > 0);
    let (bytes, outcomes) = recorded(&stage);
    assert_eq!(outcomes, ["CutByLimit"]);
    assert!(bytes <= MOST && bytes >= heard * LEAST_EACH, "{bytes}");
    // What was left was too little for the next message, and no other gets it.
    stage
        .lanyard
        .until_standing("default/few", "UsedUp")
        .unwrap();
    let again = client.ask("open /again").unwrap();
    assert!(again.starts_with("refused"), "{again}");
}
