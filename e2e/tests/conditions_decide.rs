//! Conditions of a grant hold in the broker as it really runs: confined, and told of the grant while it serves.

use lanyard_e2e::{
    grant::NamedGrant,
    scenes::{Stage, TOOLS, USER},
};

#[test]
fn a_request_is_carried_where_every_condition_is_met_and_nowhere_else() {
    let stage = Stage::with_tools().unwrap();
    let conditions = [
        "conditions:",
        "  - expression: request.headers['x-team'].matches('^(red|blue)$')",
        "    message: only for the two teams",
        "  - expression: request.query == ''",
    ];
    let grant = NamedGrant {
        resource: conditions.map(str::to_owned).into(),
        ..stage.grant("teams")
    };
    stage.give(&grant).unwrap();
    let ask = |header: &str, path: &str| {
        let url = stage.url(path);
        let command = ["curl", "-sS", "-w", " %{http_code}", "-H", header, &url];
        let mut curl = stage.lanyard.run_as(TOOLS, Some(USER), &command);
        String::from_utf8(curl.output().unwrap().stdout).unwrap()
    };
    let granted = ask("X-Team: red", "/");
    assert!(
        granted.ends_with(" 200"),
        "{granted}\n{}",
        stage.lanyard.daemon_log()
    );
    let arrived = || stage.service.requests().unwrap().len();
    assert_eq!(arrived(), 1);
    for (header, path, reason) in [
        ("X-Team: green", "/", "ConditionNotMet"),
        ("X-Other: red", "/", "ConditionNotDecided"),
        ("X-Team: red", "/?all", "ConditionNotMet"),
    ] {
        let refused = ask(header, path);
        assert!(refused.ends_with(" 403"), "{header} {path}: {refused}");
        assert!(refused.contains(reason), "{header} {path}: {refused}");
    }
    assert_eq!(arrived(), 1, "a refused request arrived");
    let explained = stage.lanyard.explain_last("condition").unwrap();
    assert!(explained.contains("only for the two teams"), "{explained}");
}
