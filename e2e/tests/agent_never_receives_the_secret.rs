//! Promise 4: the agent never receives a brokered secret.

use lanyard_e2e::scenes::{Stage, TOKEN, granted};

#[test]
fn the_token_is_in_the_request_and_nowhere_in_the_agent() {
    let stage = Stage::set().unwrap();
    granted::curl_gets_through(&stage).unwrap();
    granted::python_never_holds_the_token(&stage).unwrap();
}

/// A service that sends back what it got would hand the token over.
#[test]
fn a_token_that_comes_back_is_taken_out_of_the_reply() {
    let stage = Stage::set().unwrap();
    let output = stage
        .curl(&["--include", &stage.url("/echo")])
        .output()
        .unwrap();
    let reply = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        reply.contains("you sent Bearer"),
        "the service did not answer: {output:?}"
    );
    assert!(!reply.contains(TOKEN), "{reply}");
}

/// What the agent itself sends as its authorization does not reach the service.
#[test]
fn the_agents_own_authorization_is_replaced() {
    let stage = Stage::set().unwrap();
    let header = "Authorization: Bearer of-the-agent";
    let output = stage
        .curl(&["--header", header, &stage.url("/")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let last = stage.service.requests().unwrap().pop().unwrap();
    assert!(
        last.contains(TOKEN) && !last.contains("of-the-agent"),
        "{last}"
    );
}
