//! Conditions as a grant's author writes them, and requests as an agent makes them.

use super::{Condition, ParseExpressionError, evaluate::Facts, refusal_of};
use crate::{
    evidence::EvidenceLevel,
    http::{HttpRequest, Mcp},
    mcp::McpMessage,
    path::RequestPath,
    reason::RefusalReason,
    sample::{host, key, port},
};

fn condition(text: &str) -> Condition {
    Condition {
        expression: text
            .parse()
            .unwrap_or_else(|error| panic!("{text}: {error}")),
        message: None,
    }
}

const GET: HttpRequest<'static> = HttpRequest {
    is_encrypted: true,
    method: "GET",
    path: Err(crate::path::AmbiguousPath::Dots),
    query: "page=2&all",
    headers: Some(&[
        ("Content-Type", "application/json"),
        ("x-team", "red"),
        ("X-Team", "blue"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
    ]),
    mcp: Mcp::Unread,
};

fn asked(text: &str, request: &HttpRequest<'_>) -> Option<RefusalReason> {
    let conditions = [condition(text)];
    let facts = Facts {
        agent: &key("team/deployer"),
        level: EvidenceLevel::Lineage,
        host: &host("api.example.com"),
        port: port(443),
        request,
    };
    refusal_of(&conditions, facts).map(|(reason, _)| reason)
}

fn get(path: &str) -> HttpRequest<'static> {
    HttpRequest {
        path: RequestPath::parse(path),
        ..GET
    }
}

fn call(arguments: &str) -> McpMessage {
    McpMessage {
        method: Some("tools/call".into()),
        tool: Some("pay".into()),
        arguments: Some(arguments.into()),
    }
}

fn of_call(text: &str, arguments: &str) -> Option<RefusalReason> {
    let message = call(arguments);
    let request = HttpRequest {
        mcp: Mcp::Message(&message),
        ..get("/mcp")
    };
    asked(text, &request)
}

const NOT_MET: Option<RefusalReason> = Some(RefusalReason::ConditionNotMet);
const NOT_DECIDED: Option<RefusalReason> = Some(RefusalReason::ConditionNotDecided);

#[test]
fn a_condition_is_asked_of_what_the_request_says() {
    let request = get("/orders/caf%C3%A9/7");
    for (text, expected) in [
        ("request.method == 'GET'", None),
        ("request.method in ['PUT', 'POST']", NOT_MET),
        ("request.path == '/orders/café/7'", None),
        ("request['path'].startsWith('/users')", NOT_MET),
        ("request.path.matches('^/orders/[^/]+/[0-9]+$')", None),
        ("request.path.matches('^/orders/[0-9]+$')", NOT_MET),
        (
            "request.query.contains('page=') && size(request.query) < 20",
            None,
        ),
        (
            "request.headers['content-type'] == 'application/json'",
            None,
        ),
        ("request.headers['x-team'] == 'red, blue'", None),
        ("request.headers.cookie == 'a=1; b=2'", None),
        ("'x-other' in request.headers", NOT_MET),
        ("has(request.headers.accept)", NOT_MET),
        (
            "!has(request.headers.accept) || request.headers.accept == 'a'",
            None,
        ),
        ("request.headers['accept'] == 'a'", NOT_DECIDED),
        (
            "request.host == 'api.example.com' && request.port == 443",
            None,
        ),
        (
            "agent.namespace == 'team' && agent.name == 'deployer'",
            None,
        ),
        ("agent.level == 'Image'", NOT_MET),
        (
            "request.host.lowerAscii().endsWith('.example.com') ? true : false",
            None,
        ),
        ("['GET', 'HEAD'].exists(m, m == request.method)", None),
        ("request.path.size() % 2 == 0 || 1 + 1 == 3", NOT_MET),
    ] {
        assert_eq!(asked(text, &request), expected, "{text}");
    }
}

#[test]
fn what_is_not_known_decides_nothing() {
    let hidden = get("/orders/../users");
    assert_eq!(asked("request.path != '/users'", &hidden), NOT_DECIDED);
    assert_eq!(asked("request.method == 'GET'", &hidden), None);
    let unseen = HttpRequest {
        headers: None,
        ..get("/")
    };
    let text = "!('x-evil' in request.headers)";
    assert_eq!(asked(text, &unseen), NOT_DECIDED);
    // Of requests that are no messages of MCP, nothing is known of messages.
    assert_eq!(asked("mcp.tool != 'pay'", &get("/")), NOT_DECIDED);
}

#[test]
fn a_condition_about_a_call_is_asked_of_calls_alone() {
    let text = "mcp.tool != 'pay' || mcp.arguments.amount <= 100";
    assert_eq!(of_call(text, r#"{"amount":100}"#), None);
    assert_eq!(of_call(text, r#"{"amount":99.5}"#), None);
    for over in [
        r#"{"amount":101}"#,
        r#"{"amount":100.5}"#,
        r#"{"amount":1e6}"#,
    ] {
        assert_eq!(of_call(text, over), NOT_MET, "{over}");
    }
    for unclear in [
        "{}",
        r#"{"amount":"5"}"#,
        r#"{"amount":null}"#,
        r#"{"amount":1,"amount":1000}"#,
        r#"{"amount":1,"Amount":1000}"#,
        r#"{"amount":1e400}"#,
        r#"{"amount":18446744073709551616}"#,
        "[]",
    ] {
        assert_eq!(of_call(text, unclear), NOT_DECIDED, "{unclear}");
    }
    let with = |method: Option<&str>| McpMessage {
        method: method.map(str::to_owned),
        tool: None,
        arguments: None,
    };
    let of = |text: &str, message: &McpMessage| {
        let request = HttpRequest {
            mcp: Mcp::Message(message),
            ..get("/mcp")
        };
        asked(text, &request)
    };
    assert_eq!(of("mcp.tool == 'pay'", &with(Some("tools/list"))), None);
    assert_eq!(
        of("mcp.method == 'tools/call'", &with(Some("tools/list"))),
        NOT_MET
    );
    assert_eq!(of("mcp.method == 'tools/call'", &with(None)), None);
    let stream = HttpRequest {
        mcp: Mcp::NoMessage,
        ..get("/mcp")
    };
    assert_eq!(asked("mcp.method == 'tools/call'", &stream), None);
    assert_eq!(asked("request.path == '/x'", &stream), NOT_MET);
}

#[test]
fn a_number_is_the_same_however_an_agent_writes_it() {
    for same in [r#"{"id":5}"#, r#"{"id":5.0}"#, r#"{"id":50e-1}"#] {
        assert_eq!(of_call("mcp.arguments.id != 5", same), NOT_MET, "{same}");
        assert_eq!(of_call("mcp.arguments.id in [4, 5]", same), None, "{same}");
    }
    let all = "mcp.arguments.to.all(t, t.endsWith('@example.com'))";
    assert_eq!(
        of_call(all, r#"{"to":["a@example.com","b@example.com"]}"#),
        None
    );
    assert_eq!(
        of_call(all, r#"{"to":["a@example.com","b@example.org"]}"#),
        NOT_MET
    );
    assert_eq!(of_call(all, r#"{"to":["a@example.com",5]}"#), NOT_DECIDED);
}

/// A condition that lets a call pass without an argument must not pass one in which some reader finds it.
#[test]
fn an_argument_in_another_case_is_not_taken_for_none() {
    for text in [
        "!has(mcp.arguments.path) || mcp.arguments.path.startsWith('/tmp/')",
        "!('path' in mcp.arguments) || mcp.arguments['path'].startsWith('/tmp/')",
        "mcp.arguments.all(key, key != 'path')",
    ] {
        assert_eq!(of_call(text, r#"{"other":1,"Other2":2}"#), None, "{text}");
        for disguised in [r#"{"Path":"/etc"}"#, r#"{"a":{"PATH":"/etc"}}"#] {
            assert_eq!(
                of_call(text, disguised),
                Some(RefusalReason::ConditionNotDecided),
                "{text} {disguised}"
            );
        }
    }
    // What a condition asks of the request has nothing to do with arguments.
    let request =
        "request.method == 'POST' && request.headers['x-kind'] == 'a' || size(mcp.arguments) == 1";
    assert_eq!(of_call(request, r#"{"Post":1}"#), None);
    assert_eq!(of_call(request, r#"{"X-Kind":1}"#), None);
}

#[test]
fn the_first_condition_that_is_in_the_way_is_named() {
    let conditions = [
        "request.method == 'GET'",
        "request.port == 1",
        "request.port == 2",
    ];
    let conditions = conditions.map(condition);
    let facts = Facts {
        agent: &key("team/deployer"),
        level: EvidenceLevel::Image,
        host: &host("api.example.com"),
        port: port(443),
        request: &get("/"),
    };
    let (_, found) = refusal_of(&conditions, facts).unwrap();
    assert_eq!(found, &conditions[1]);
}

#[test]
fn an_author_is_told_what_is_wrong() {
    for (text, says) in [
        ("", "from 1 to"),
        ("request.path ==", "not an expression of CEL"),
        ("request.path = '/'", "not an expression of CEL"),
        ("path == '/'", "nothing is named `path`"),
        ("request == 'x'", "say what of `request` is meant"),
        ("request.body == 'x'", "`request.body` is nothing"),
        ("request['body'] == 'x'", "`request.body` is nothing"),
        ("mcp.params.x == 1", "`mcp.params` is nothing"),
        ("request.path", "gives string"),
        ("size(request.path)", "gives int"),
        ("now() < 5", "there is no function `now`"),
        (
            "request.path.matches(request.query)",
            "has to stand there as a text",
        ),
        ("request.path.matches('(')", "is not a pattern"),
        (
            "request.path.matches('(\\\\w{900}){900}')",
            "is not a pattern",
        ),
        ("mcp.arguments.x == 5.0", "without a fraction"),
        ("mcp.arguments.x == 5u", "without `u`"),
        ("Foo{a: 1} == 1", "makes an object"),
        (
            "mcp.arguments.a.all(x, mcp.arguments.b.all(y, x == y))",
            "a macro within another",
        ),
    ] {
        let error = text.parse::<super::Expression>().unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
    let chained = "mcp.arguments.a.filter(x, x > 1).all(x, x < 9)";
    assert!(chained.parse::<super::Expression>().is_ok());
}

#[test]
fn what_is_deep_or_long_neither_overflows_nor_panics() {
    let repeated = |text: &str, times: usize, end: &str| text.repeat(times) + end;
    for text in [
        repeated("(", 1000, "true"),
        repeated("!", 1000, "true"),
        repeated("-", 1000, "1"),
        repeated("true?true:", 100, "true"),
        repeated("true||", 160, "true"),
        repeated("a.", 500, "a"),
        repeated("1+", 500, "1 == 1"),
        repeated("[", 15, &"]".repeat(15)),
        repeated("'", 1001, ""),
        repeated("[0]", 300, ""),
        repeated("{", 1000, ""),
        repeated("\u{0}", 1000, ""),
        repeated("?", 1000, ""),
        repeated("a?", 500, ""),
        "true ".repeat(205),
    ] {
        let _ = text.parse::<super::Expression>();
    }
    let long = format!("'{}' == ''", "a".repeat(1024));
    let error = long.parse::<super::Expression>().unwrap_err();
    assert_eq!(error, ParseExpressionError::Length);
}
