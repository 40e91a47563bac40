//! Conditions of a grant: asked of what is carried on, and of nothing else.

use lanyard_access::reason::RefusalReason;
use lanyard_protocol::broker::{Condition, McpRule, Protocol};

use crate::world::{World, within};

async fn world(expressions: &[&str]) -> World {
    let conditions: Vec<Condition> = expressions
        .iter()
        .map(|expression| Condition {
            expression: (*expression).to_owned(),
            message: "as the payments team demands".to_owned(),
        })
        .collect();
    let mut world = World::start().await;
    world
        .change(|state| {
            state.grants[0].protocol = Protocol::Mcp.into();
            state.grants[0].mcp = Some(McpRule {
                methods: Vec::new(),
                tools: Vec::new(),
                any_tool: true,
            });
            state.grants[0].conditions.clone_from(&conditions);
        })
        .await;
    world
}

fn request(world: &World, start: &str, headers: &str, body: &str) -> String {
    format!(
        "{start} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        world.host(),
        body.len()
    )
}

fn pay(arguments: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"pay","arguments":{arguments}}}}}"#
    )
}

#[tokio::test]
async fn headers_and_query_decide_as_they_are_carried_on() {
    within(async {
        let world = world(&["request.headers['x-team'] == 'red' && request.query == 'n=1'"]).await;
        let mut client = world.client().await;
        let granted = "X-Team: red\r\n";
        client.send(request(&world, "GET /?n=1", granted, "")).await;
        let reply = client.reply().await;
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        let count = || world.service.seen.borrow().requests.len();
        assert_eq!(count(), 1);
        for (start, headers, reason) in [
            ("GET /?n=1", "X-Team: blue\r\n", "ConditionNotMet"),
            (
                "GET /?n=1",
                "X-Team: red\r\nX-Team: blue\r\n",
                "ConditionNotMet",
            ),
            ("GET /?n=2", granted, "ConditionNotMet"),
            ("GET /?n=1", "", "ConditionNotDecided"),
            // A header of this connection alone never arrives.
            (
                "GET /?n=1",
                "X-Team: red\r\nConnection: x-team\r\n",
                "ConditionNotDecided",
            ),
            (
                "GET /?n=1",
                "X-Team: red\r\nX-Other: \u{e4}\r\n",
                "ConditionNotDecided",
            ),
        ] {
            client.send(request(&world, start, headers, "")).await;
            let reply = client.reply().await;
            assert!(reply.starts_with("HTTP/1.1 403"), "{headers}: {reply}");
            assert!(reply.contains(reason), "{headers}: {reply}");
            assert!(reply.contains("as the payments team demands"), "{reply}");
        }
        assert_eq!(count(), 1, "a refused request arrived");
        let (_, reason) = world.agent.refused().await;
        assert_eq!(reason, RefusalReason::ConditionNotMet);
    })
    .await;
}

#[tokio::test]
async fn the_arguments_of_a_tool_decide_and_cannot_be_said_in_two_ways() {
    within(async {
        let world = world(&["mcp.tool != 'pay' || mcp.arguments.amount <= 100"]).await;
        let mut client = world.client().await;
        let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        for granted in [pay(r#"{"amount":100}"#), list.to_owned()] {
            client
                .send(request(&world, "POST /mcp", "", &granted))
                .await;
            let reply = client.reply().await;
            assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
            assert!(!reply.contains("-32003"), "{reply}");
        }
        let count = || world.service.seen.borrow().requests.len();
        assert_eq!(count(), 2);
        let long = format!(r#"{{"amount":1,"note":"{}"}}"#, "a".repeat(64 << 10));
        for (arguments, reason) in [
            (r#"{"amount":101}"#, "ConditionNotMet"),
            (r#"{"amount":1,"amount":101}"#, "ConditionNotDecided"),
            (r#"{"amount":1,"Amount":101}"#, "ConditionNotDecided"),
            (r#"{"amount":"1"}"#, "ConditionNotDecided"),
            ("{}", "ConditionNotDecided"),
            (long.as_str(), "ConditionNotDecided"),
        ] {
            client
                .send(request(&world, "POST /mcp", "", &pay(arguments)))
                .await;
            let reply = client.reply().await;
            assert!(
                reply.contains("-32003") && reply.contains(reason),
                "{reply}"
            );
        }
        assert_eq!(count(), 2, "a refused call arrived");
    })
    .await;
}
