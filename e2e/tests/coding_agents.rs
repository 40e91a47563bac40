//! Coding agents as their makers ship them work with a model by a key that they never had: they hold a placeholder,
//! and the broker puts the key in, each in the header that its interface wants.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use lanyard_e2e::{
    counterparts::{self, MODEL, Model},
    forms::Forms,
    grant::{NamedGrant, credential, whoever},
    memory, peers,
    scenes::{Stage, TOKEN, TOOLS, USER},
    service::NAME,
    wait,
};
use serde_json::Value;

/// All that the agents are given for a key.
const PLACEHOLDER: &str = "placeholder-of-the-agent";
const NOTE: &str = "the heron stands in the reeds";
const QUESTION: &str = "What does the note say?";

/// For an agent to do its work, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

struct Agent {
    /// Its program, and the arguments with which it answers one question.
    command: &'static [&'static str],
    /// The path of its interface.
    path: &'static str,
    /// How its interface wants the key.
    injection: &'static [&'static str],
    /// The header that the key arrives in, and what stands before it.
    header: (&'static str, &'static str),
}

/// It asks whether the model is there at all before it asks for a message.
const CLAUDE: Agent = Agent {
    command: &["claude", "--allowedTools", "Bash", "--print"],
    path: "/v1/messages",
    injection: &["type: Header", "header: { name: x-api-key }"],
    header: ("x-api-key", ""),
};

/// It would confine its shell by namespaces of its own, which no scope gives: Lanyard confines it.
const CODEX: Agent = Agent {
    command: &[
        "codex",
        "exec",
        "--skip-git-repo-check",
        "--dangerously-bypass-approvals-and-sandbox",
    ],
    path: "/v1/responses",
    injection: &["type: Bearer"],
    header: ("authorization", "Bearer "),
};

/// It would ask which model to ask, were it not told.
const GEMINI: Agent = Agent {
    command: &[
        "gemini",
        "--skip-trust",
        "--yolo",
        "--model",
        "gemini-2.5-pro",
        "--prompt",
    ],
    path: "/v1beta/models/gemini-2.5-pro:streamGenerateContent",
    injection: &["type: Header", "header: { name: x-goog-api-key }"],
    header: ("x-goog-api-key", ""),
};

const GEMINI_CONFIGURATION: &str = r#"{"security": {"auth": {"selectedType": "gemini-api-key"}}}"#;

/// Requests are not tried again: what goes wrong is to be seen.
fn codex_configuration() -> String {
    format!(
        r#"
model = "gpt-5"
model_provider = "lab"
[model_providers.lab]
name = "lab"
base_url = "https://{NAME}:{MODEL}/v1"
env_key = "MODEL_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"#
    )
}

/// The model, and an agent that is granted one path of it.
fn stage(agent: &Agent, path: &str) -> (Stage, Model) {
    let stage = Stage::set().unwrap();
    let model = counterparts::model(&stage.lab, TOKEN).unwrap();
    let source = [
        "type: SecretKey",
        "secretKey: { name: service, key: token }",
    ];
    let key = credential("model-key", &source, agent.injection, &[NAME]);
    let grant = NamedGrant {
        name: "model",
        agent: TOOLS,
        host: NAME,
        port: MODEL,
        protocol: "HTTPS",
        resource: vec![
            "http:".to_owned(),
            format!("  - {{ methods: [POST], path: {path} }}"),
            "  - { methods: [HEAD], path: / }".to_owned(),
        ],
        authority: Some(&stage.service.authority),
        credential: Some("model-key"),
        spec: Vec::new(),
    };
    for (file, manifest) in [
        ("tools.yaml", whoever(TOOLS)),
        ("model-key.yaml", key),
        ("model.yaml", grant.yaml()),
    ] {
        let file = format!("manifests/{file}");
        stage.lab.write(&file, manifest).unwrap();
    }
    stage.lanyard.until_live("default/model").unwrap();
    (stage, model)
}

/// Starts an agent, whose own files are in its project: nothing else of a home can be written in a scope.
fn ask(stage: &Stage, agent: &Agent) -> Child {
    let project = stage.lanyard.project(Some(USER));
    let (codex, gemini) = (project.join("codex"), project.join("gemini"));
    for (path, content) in [
        (project.join("note.txt"), NOTE.to_owned()),
        (codex.join("config.toml"), codex_configuration()),
        (
            gemini.join(".gemini/settings.json"),
            GEMINI_CONFIGURATION.to_owned(),
        ),
    ] {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let mut give = Command::new("chown");
    assert!(
        give.arg("-R")
            .arg(USER)
            .arg(&project)
            .status()
            .unwrap()
            .success()
    );
    let programs = peers::node_modules().unwrap().join("node_modules/.bin");
    let program = programs.join(agent.command[0]).display().to_string();
    let mut command = vec![program.as_str()];
    command.extend(&agent.command[1..]);
    command.push(QUESTION);
    let mut process = stage.lanyard.run_as(TOOLS, Some(USER), &command);
    process
        .env("CLAUDE_CONFIG_DIR", project.join("claude"))
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .env("CLAUDE_CODE_MAX_RETRIES", "0")
        .env("ANTHROPIC_BASE_URL", format!("https://{NAME}:{MODEL}"))
        .env("ANTHROPIC_API_KEY", PLACEHOLDER)
        .env("CODEX_HOME", codex)
        .env("MODEL_KEY", PLACEHOLDER)
        .env("GEMINI_CLI_HOME", gemini)
        .env("GOOGLE_GEMINI_BASE_URL", format!("https://{NAME}:{MODEL}"))
        .env("GEMINI_API_KEY", PLACEHOLDER)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Bodies are long.
fn brief(arrived: &[Value]) -> String {
    let line = |request: &Value| format!("{} {}\n", request["method"], request["url"]);
    arrived.iter().map(line).collect()
}

/// What it said on both of its ways out, when it has ended.
fn said(process: Child) -> (bool, String) {
    let output = process.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.success(),
        text(&output.stdout) + &text(&output.stderr),
    )
}

fn works(agent: &Agent) {
    let (stage, model) = stage(agent, agent.path);
    let process = ask(&stage, agent);
    let held = what_it_holds(&stage);
    model.release().unwrap();
    let (success, text) = said(process);
    let arrived = model.arrived().unwrap();
    assert!(
        success && text.contains("The note says: ") && text.contains(NOTE),
        "{held:?}\n{text}\n{}\n{}",
        brief(&arrived),
        stage.lanyard.daemon_log()
    );
    let held = held.unwrap();
    assert!(held.is_empty(), "the key is in the agent: {held:#?}");
    has_not_received_the_key(&stage, &text);
    has_sent_the_key(agent, &arrived);
}

/// Where the key is in what runs, searched when the agent has heard all: the model's last answer ends when it is let.
fn what_it_holds(stage: &Stage) -> anyhow::Result<Vec<String>> {
    let answer = Forms::plain("The note says: ");
    let heard = || {
        let Ok(cgroup) = stage.lanyard.scope_cgroup() else {
            return Ok(None);
        };
        let found = memory::find_in_all(&cgroup, &answer)?;
        Ok((!found.is_empty()).then_some(cgroup))
    };
    let cgroup = wait::until("the agent heard the answer", PATIENCE, heard)?;
    memory::find_in_all(&cgroup, &Forms::of(TOKEN))
}

/// The model sent it back, in three forms.
fn has_not_received_the_key(stage: &Stage, text: &str) {
    let key = Forms::of(TOKEN);
    let masked = "*".repeat(TOKEN.len());
    assert!(text.contains(&format!("you sent {masked} ")), "{text}");
    assert!(key.found_in(text.as_bytes()).is_empty(), "{text}");
    let project = stage.lanyard.project(Some(USER));
    let written = Forms::plain(QUESTION).found_below(&project).unwrap();
    assert!(!written.is_empty(), "the agent writes nothing down");
    let found = key.found_below(project.parent().unwrap()).unwrap();
    assert!(found.is_empty(), "the key is in its files: {found:#?}");
}

/// It asked, ran the command, and told the model what came of it: each time with the key, and without its own.
fn has_sent_the_key(agent: &Agent, arrived: &[Value]) {
    let asked = arrived.iter().filter(|request| request["method"] == "POST");
    let keys: Vec<&Value> = asked
        .map(|request| &request["headers"][agent.header.0])
        .collect();
    assert!(keys.len() >= 2, "{}", brief(arrived));
    let key = format!("{}{TOKEN}", agent.header.1);
    assert!(keys.iter().all(|arrived| **arrived == key), "{keys:?}");
    let everything = serde_json::to_vec(arrived).unwrap();
    let own = Forms::of(PLACEHOLDER).found_in(&everything);
    assert!(own.is_empty(), "{own:?}: {}", brief(arrived));
}

/// Its own words have those of the refusal, and so has the node agent's explanation; without any grant it does not
/// even find the model.
fn is_refused(agent: &Agent) {
    let (stage, model) = stage(agent, "/v1/models");
    let (success, text) = said(ask(&stage, agent));
    assert!(!success, "{text}");
    for word in ["403", "default/model", "PathNotGranted"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    // What it asks of others by the way is refused as well.
    let is_it = |record: &Value| record["event"] == "RequestRefused";
    let refused = stage.lanyard.until_recorded("the refusal", is_it).unwrap();
    let id = refused["id"].as_str().unwrap();
    let explained = stage.lanyard.command(&["explain", id]).output().unwrap();
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    for word in [agent.path, "default/model"] {
        assert!(explained.contains(word), "{word}: {explained}");
    }

    stage.lanyard.revoke("model").unwrap();
    let process = ask(&stage, agent);
    // A name as resolvers ask for it.
    let asked = format!("{NAME}.");
    let is_it = |record: &Value| record["event"] == "NameRefused" && record["name"] == asked;
    let refused = stage.lanyard.until_recorded("the refusal", is_it);
    let cgroup = stage.lanyard.scope_cgroup();
    // It may go on trying for as long as it likes, and may have given up.
    let _ = cgroup.map(|cgroup| std::fs::write(cgroup.join("cgroup.kill"), "1"));
    let (success, without) = said(process);
    assert!(!success, "{without}");
    refused.unwrap_or_else(|error| panic!("{error:#}\n{without}\n{}", stage.lanyard.daemon_log()));

    let arrived = model.arrived().unwrap();
    let is_asked = |request: &Value| request["method"] == "POST";
    assert!(!arrived.iter().any(is_asked), "{}", brief(&arrived));
    let received = Forms::of(TOKEN).found_in((text + &without).as_bytes());
    assert!(received.is_empty(), "{received:?}");
}

#[test]
fn claude_code_works_with_a_key_it_never_had() {
    works(&CLAUDE);
}

#[test]
fn codex_works_with_a_key_it_never_had() {
    works(&CODEX);
}

#[test]
fn claude_code_says_what_it_is_not_granted() {
    is_refused(&CLAUDE);
}

#[test]
fn codex_says_what_it_is_not_granted() {
    is_refused(&CODEX);
}

#[test]
fn gemini_works_with_a_key_it_never_had() {
    works(&GEMINI);
}

#[test]
fn gemini_says_what_it_is_not_granted() {
    is_refused(&GEMINI);
}
