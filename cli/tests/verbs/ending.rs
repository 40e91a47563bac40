//! `lanyard down`.

use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
};

use lanyard_protocol::control::{Done, Draining, Refused, reply::Reply, request::Verb};
use rustix::process::{Pid, Signal, kill_process};

use crate::fake::{Asked, FakeNodeAgent, text};

fn draining(scopes: u32, processes: u32) -> Reply {
    Reply::Draining(Draining { scopes, processes })
}

#[test]
fn down_shows_what_it_waits_for_and_then_that_it_is_done() {
    let fake = FakeNodeAgent::start(|mut asked: Asked| {
        asked.answer(draining(1, 2));
        asked.answer(draining(1, 2));
        asked.answer(draining(1, 1));
        asked.answer(Reply::Done(Done {}));
        asked.verb
    });
    let (output, verb) = fake.when(&["down", "--kill"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        text(&output.stdout),
        "draining: 2 processes in 1 scope still run\n\
         draining: 1 process in 1 scope still run\n\
         down: nothing is enforced any more on node local\n"
    );
    assert!(matches!(verb, Verb::Down(down) if down.kill));
}

#[test]
fn a_refused_down_fails_and_a_plain_one_kills_nothing() {
    let fake = FakeNodeAgent::start(|mut asked: Asked| {
        asked.answer(Reply::Refused(Refused {
            message: "only root and admins may do that".into(),
            hint: String::new(),
        }));
        asked.verb
    });
    let (output, verb) = fake.when(&["down"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "error: only root and admins may do that\n"
    );
    assert!(matches!(verb, Verb::Down(down) if !down.kill));
}

#[test]
fn a_node_agent_that_dies_meanwhile_is_not_taken_for_done() {
    let fake = FakeNodeAgent::start(|mut asked: Asked| {
        asked.answer(draining(1, 1));
        asked.hang_up();
    });
    let (output, ()) = fake.when(&["down"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("error: the node agent closed the connection"));
}

#[test]
fn interrupted_it_says_that_the_drain_goes_on() {
    let fake = FakeNodeAgent::start(|mut asked: Asked| {
        asked.answer(draining(2, 3));
        asked.is_left()
    });
    let mut child = fake
        .command()
        .arg("down")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "draining: 3 processes in 2 scopes still run\n");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(1), "{status}");
    let mut told = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut told)
        .unwrap();
    assert!(
        told.starts_with("error: you stopped waiting while 3 processes in 2 scopes still run\n"),
        "{told}"
    );
    assert!(told.contains("the drain goes on by itself"), "{told}");
    assert!(fake.end());
}
