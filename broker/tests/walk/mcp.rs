//! Messages of the Model Context Protocol: decided one by one, with the list of tools as it is granted.

use lanyard_access::reason::RefusalReason;
use lanyard_protocol::{
    broker::{McpRule, Protocol},
    record::Event,
};

use crate::world::{World, within};

pub(crate) async fn world() -> World {
    let mut world = World::start().await;
    world
        .change(|state| {
            state.grants[0].protocol = Protocol::Mcp.into();
            state.grants[0].mcp = Some(McpRule {
                methods: vec!["tools/*".into(), "initialize".into()],
                tools: vec!["get_*".into()],
                any_tool: false,
            });
        })
        .await;
    world
}

pub(crate) fn post(world: &World, path: &str, body: &str, headers: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        world.host(),
        body.len()
    )
}

pub(crate) const CALL: &str = r#"{"jsonrpc":"2.0","id":"a-1","method":"tools/call","params":{"name":"get_issue","arguments":{"n":7}}}"#;

#[tokio::test]
async fn a_tool_that_is_granted_is_called_and_recorded() {
    within(async {
        let world = world().await;
        let mut client = world.client().await;
        client.send(post(&world, "/mcp", CALL, "")).await;
        let reply = client.reply().await;
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        assert_eq!(world.service.seen.borrow().uploaded, CALL.as_bytes());
        let call = world
            .agent
            .event(|event| {
                let Event::RequestIntended { request, .. } = event else {
                    return None;
                };
                request.mcp.clone()
            })
            .await;
        assert_eq!(
            (call.method.as_str(), call.tool.as_deref()),
            ("tools/call", Some("get_issue"))
        );
    })
    .await;
}

#[tokio::test]
async fn what_is_refused_is_answered_in_the_clients_own_protocol_and_never_arrives() {
    within(async {
        let world = world().await;
        let mut client = world.client().await;
        let delete = CALL.replace("get_issue", "delete_repo");
        let read = r#"{"jsonrpc":"2.0","id":5,"method":"resources/read","params":{}}"#;
        for (body, id, reason) in [
            (delete.as_str(), r#""id":"a-1""#, "ToolNotGranted"),
            (read, r#""id":5"#, "McpMethodNotGranted"),
        ] {
            client.send(post(&world, "/mcp", body, "")).await;
            let reply = client.reply().await;
            assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
            assert!(
                reply.contains(id) && reply.contains(r#""code":-32003"#),
                "{reply}"
            );
            assert!(reply.contains(reason), "{reply}");
        }
        let (_, reason) = world.agent.refused().await;
        assert_eq!(reason, RefusalReason::ToolNotGranted);
        // What can be read in two ways is not read.
        let twice = CALL.replace("\"name\"", "\"name\":\"delete_repo\",\"name\"");
        let disguised = delete.replace("method", "Method");
        let batch = format!("[{CALL}]");
        for (body, headers) in [
            (twice.as_str(), ""),
            (batch.as_str(), ""),
            (disguised.as_str(), ""),
            ("not JSON", ""),
            (CALL, "Content-Encoding: gzip\r\n"),
        ] {
            client.send(post(&world, "/mcp", body, headers)).await;
            let reply = client.reply().await;
            assert!(
                reply.starts_with("HTTP/1.1 403"),
                "{body} {headers}: {reply}"
            );
            assert!(reply.contains("McpNotUnderstood"), "{reply}");
        }
        // What says something else in its headers is refused as servers do it.
        for headers in ["Mcp-Method: tools/list\r\n", "Mcp-Name: delete_repo\r\n"] {
            client.send(post(&world, "/mcp", CALL, headers)).await;
            let reply = client.reply().await;
            assert!(reply.starts_with("HTTP/1.1 400"), "{headers}: {reply}");
            for word in [r#""id":"a-1""#, r#""code":-32020"#, "McpNotUnderstood"] {
                assert!(reply.contains(word), "{headers}: {reply}");
            }
        }
        assert!(world.service.seen.borrow().requests.is_empty());
    })
    .await;
}

/// Some servers read what comes with a method that has no message.
#[tokio::test]
async fn only_a_post_carries_a_message() {
    within(async {
        let world = world().await;
        let mut client = world.client().await;
        for method in ["GET", "DELETE", "OPTIONS", "PUT", "PATCH", "QUERY"] {
            for headers in ["", "X-HTTP-Method-Override: POST\r\n"] {
                let request = post(&world, "/mcp", CALL, headers).replacen("POST", method, 1);
                client.send(request).await;
                let reply = client.reply().await;
                assert!(reply.starts_with("HTTP/1.1 403"), "{method}: {reply}");
                assert!(reply.contains("McpNotUnderstood"), "{method}: {reply}");
            }
        }
        let empty = |method| post(&world, "/mcp", "", "").replacen("POST", method, 1);
        client.send(empty("PUT")).await;
        assert!(client.reply().await.contains("McpNotUnderstood"));
        assert!(world.service.seen.borrow().requests.is_empty());
        for method in ["GET", "DELETE", "OPTIONS"] {
            client.send(empty(method)).await;
            let reply = client.reply().await;
            assert!(reply.starts_with("HTTP/1.1 200"), "{method}: {reply}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_list_of_tools_shows_what_is_granted() {
    within(async {
        let world = world().await;
        let mut client = world.client().await;
        let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        // A single text is there as a whole before it goes on; its length is known.
        for (path, end) in [("/tools-json", "]}}"), ("/tools-events", "\r\n0\r\n\r\n")] {
            client.send(post(&world, path, list, "")).await;
            client.until("get_issue").await;
            client.until(end).await;
            assert!(!client.has("delete_repo"), "{}", client.text());
            client.received.clear();
        }
        // A stream that the server sends on is opened without a message.
        let host = world.host();
        client
            .send(format!(
                "GET /tools-events HTTP/1.1\r\nHost: {host}\r\n\r\n"
            ))
            .await;
        client.until("get_issue").await;
        assert!(!client.has("delete_repo"), "{}", client.text());
    })
    .await;
}

#[tokio::test]
async fn no_websocket_is_opened_where_messages_are_read() {
    within(async {
        let world = world().await;
        let host = world.host();
        let mut client = world.client().await;
        let get = format!("GET /mcp HTTP/1.1\r\nHost: {host}\r\n");
        client
            .send(format!(
                "{get}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            ))
            .await;
        let reply = client.reply().await;
        assert!(reply.starts_with("HTTP/1.1 403"), "{reply}");
        assert!(reply.contains(r#""reason":"UpgradeNotCarried""#), "{reply}");
        assert!(world.service.seen.borrow().requests.is_empty());
        // Without the change it is a stream of events that is asked for.
        client.send(format!("{get}\r\n")).await;
        let reply = client.reply().await;
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    })
    .await;
}
