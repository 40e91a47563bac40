//! An agent asks for access, an admin decides, and nothing is given before: `lanyard request`, `approve`, `deny`.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::process::{Command, Output};

use lanyard_e2e::{
    grant::whoever,
    scenes::{Stage, TOOLS, USER},
    service::{NAME, OTHER_NAME},
};
use serde_json::Value;

const GRANT: &str = "default/tools-api-demo-test-443";

struct Asker {
    stage: Stage,
}

impl Asker {
    fn set() -> Self {
        let stage = Stage::set().unwrap();
        for name in [TOOLS, "other"] {
            let file = format!("manifests/{name}.yaml");
            stage.lab.write(&file, whoever(name)).unwrap();
        }
        let lanyard = &stage.lanyard;
        lanyard
            .until_enforcement("default/other", "Enforce")
            .unwrap();
        Self { stage }
    }

    /// `lanyard` within a scope of the agent.
    fn within(&self, words: &[&str]) -> Output {
        let lanyard = self.stage.lanyard.command(words);
        let mut command = vec![lanyard.get_program().to_str().unwrap()];
        command.extend(lanyard.get_args().map(|word| word.to_str().unwrap()));
        output(&mut self.stage.lanyard.run_as(TOOLS, Some(USER), &command))
    }

    fn ask(&self, more: &[&str]) -> Output {
        let target = format!("tcp://{NAME}:443");
        let mut words = vec!["request", &target, "--allow-private", "--for", "10m"];
        words.extend(more);
        self.within(&words)
    }

    fn root(&self, words: &[&str]) -> Output {
        output(&mut self.stage.lanyard.command(words))
    }

    /// Speaks TLS to the service itself, which is carried unread. What it answers says that it was there.
    fn reaches(&self, name: &str) -> bool {
        let url = format!("https://{name}/");
        let words = [
            "curl",
            "-sk",
            "--max-time",
            "20",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            &url,
        ];
        let curl = output(&mut self.stage.lanyard.run_as(TOOLS, Some(USER), &words));
        curl.stdout == b"200" || curl.stdout == b"401" || curl.stdout == b"403"
    }

    fn changes(&self) -> Vec<(String, String)> {
        let records = self.stage.lanyard.records().unwrap();
        let changes = records.iter().filter_map(|record| {
            let event = record;
            (event["object"] == GRANT).then(|| {
                let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
                (text("change"), text("by"))
            })
        });
        changes.collect()
    }
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_an_agent_asks_for_is_given_when_an_admin_approves_it_and_not_before() {
    let asker = Asker::set();
    let answer = asker.ask(&["--reason", "the release waits", "-o", "json"]);
    assert!(answer.status.success(), "{}", stderr(&answer));
    let told: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(
        (&told["grant"], &told["isNew"]),
        (&GRANT.into(), &true.into())
    );
    let lanyard = &asker.stage.lanyard;
    lanyard.until_standing(GRANT, "ApprovalPending").unwrap();
    assert!(!asker.reaches(NAME), "a request alone gave access");

    // Neither the agent nor its user decides.
    let own = asker.within(&["approve", GRANT]);
    assert!(!own.status.success() && stderr(&own).contains("may not decide"));
    assert!(!asker.reaches(NAME));

    let approved = asker.root(&["approve", GRANT, "--reason", "go on"]);
    assert!(approved.status.success(), "{}", stderr(&approved));
    lanyard.until_live(GRANT).unwrap();
    assert!(asker.reaches(NAME), "{}", lanyard.daemon_log());
    assert!(
        !asker.reaches(OTHER_NAME),
        "more was given than was asked for"
    );
    let changes = asker.changes();
    let words: Vec<&str> = changes.iter().map(|(change, _)| change.as_str()).collect();
    assert_eq!(words, ["requested", "approved"], "{changes:?}");
    assert!(
        changes[0].1.contains("default/tools of nobody"),
        "{changes:?}"
    );
    assert_eq!(changes[1].1, "root");
}

#[test]
fn what_is_denied_gives_nothing_and_is_not_asked_for_again_and_a_restart_keeps_it() {
    let mut asker = Asker::set();
    let first = asker.ask(&["--reason", "please"]);
    assert!(first.status.success(), "{}", stderr(&first));
    let again = asker.ask(&["--reason", "pretty please", "-o", "json"]);
    let told: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(told["isNew"], false);
    asker.stage.lanyard.kill_everything().unwrap();
    asker.stage.lanyard.start(&asker.stage.lab).unwrap();
    let lanyard = &asker.stage.lanyard;
    lanyard.until_standing(GRANT, "ApprovalPending").unwrap();
    assert!(!asker.reaches(NAME));
    let denied = asker.root(&["deny", GRANT, "--reason", "use the mirror"]);
    assert!(denied.status.success(), "{}", stderr(&denied));
    lanyard.until_standing(GRANT, "ApprovalRejected").unwrap();
    assert!(!asker.reaches(NAME));
    let third = asker.ask(&["--reason", "once more"]);
    assert!(!third.status.success());
    assert!(
        stderr(&third).contains("use the mirror"),
        "{}",
        stderr(&third)
    );
}

#[test]
fn an_agent_asks_for_itself_alone_and_nothing_that_could_not_be_written() {
    let asker = Asker::set();
    let other = asker.ask(&["--as", "other", "--reason", "x"]);
    assert!(!other.status.success());
    assert!(stderr(&other).contains("may not ask"), "{}", stderr(&other));
    let wildcard = asker.within(&[
        "request",
        "*.demo.test",
        "--for",
        "10m",
        "--reason",
        "everything",
    ]);
    assert!(!wildcard.status.success());
    // Outside a scope, who may run the agent asks for it.
    let target = format!("https://{NAME}/");
    let root = asker.root(&[
        "request", &target, "--as", TOOLS, "--for", "10m", "--reason", "x",
    ]);
    assert!(root.status.success(), "{}", stderr(&root));
}
