//! Asking for access, and deciding about it.

use lanyard_protocol::control::{
    Ask, Asked, Decide, Decided, Refused, reply::Reply, request::Verb,
};
use serde_json::{Value, json};

use crate::fake::{FakeNodeAgent, text};

fn answering(reply: Reply) -> FakeNodeAgent<Verb> {
    FakeNodeAgent::start(move |mut asked| {
        asked.answer(reply);
        asked.verb
    })
}

#[test]
fn access_is_asked_for_by_host_or_url_and_the_answer_names_who_decides() {
    let fake = answering(Reply::Asked(Asked {
        grant: "default/bot-api".into(),
        is_new: true,
    }));
    let (output, verb) = fake.when(&[
        "request",
        "https://api.example.com/orders/**?page=1",
        "--as",
        "bot",
        "-X",
        "GET",
        "--method",
        "POST",
        "--credential",
        "token",
        "--for",
        "10m",
        "--reason",
        "INC-7",
    ]);
    let told = text(&output.stdout);
    assert!(told.contains("lanyard approve default/bot-api"), "{told}");
    let expected = Ask {
        agent: "default/bot".into(),
        host: "api.example.com".into(),
        port: 443,
        protocol: "HTTPS".into(),
        methods: vec!["GET".into(), "POST".into()],
        path: "/orders/**".into(),
        credential: "default/token".into(),
        allow_private: false,
        duration: "10m".into(),
        reason: "INC-7".into(),
    };
    assert_eq!(verb, Verb::Ask(expected));
}

#[test]
fn within_a_scope_no_agent_is_named() {
    let fake = answering(Reply::Asked(Asked {
        grant: "default/bot-api".into(),
        is_new: false,
    }));
    let words = [
        "request",
        "api.example.com",
        "--for",
        "1h",
        "--reason",
        "x",
        "-o",
        "json",
    ];
    let (output, verb) = fake.when(&words);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found, json!({ "grant": "default/bot-api", "isNew": false }));
    let Verb::Ask(asked) = verb else {
        panic!("{verb:?}");
    };
    assert_eq!((asked.agent.as_str(), asked.path.as_str()), ("", ""));
}

#[test]
fn an_admin_approves_or_denies_and_is_told_what_that_was() {
    for (word, approve, told) in [
        (
            "approve",
            true,
            "approved default/bot-api: default/bot may now go to",
        ),
        (
            "deny",
            false,
            "denied default/bot-api: default/bot does not go to",
        ),
    ] {
        let decided = Decided {
            grant: "default/bot-api".into(),
            agent: "default/bot".into(),
            opens: "api.example.com port 443".into(),
            requested_by: "kim".into(),
        };
        let fake = answering(Reply::Decided(decided));
        let (output, verb) = fake.when(&[word, "bot-api", "--reason", "so"]);
        let found = text(&output.stdout);
        assert!(found.starts_with(told) && found.contains("kim"), "{found}");
        let expected = Decide {
            grant: "default/bot-api".into(),
            approve,
            reason: "so".into(),
        };
        assert_eq!(verb, Verb::Decide(expected));
    }
}

#[test]
fn who_may_not_decide_is_told_so() {
    let refused = Refused {
        message: "you may not decide about grants here".into(),
        hint: "ask root".into(),
    };
    let (output, _) = answering(Reply::Refused(refused)).when(&["approve", "x"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("you may not decide"));
}
