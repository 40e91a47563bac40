//! Promise 3 against the wall clock: whatever it is set to, no deadline moves later, and what has ended stays ended.
//!
//! These tests set the clock of the machine, for some seconds, and put it right again.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail the test, as the test itself does"
)]

use std::{
    process::{Child, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use lanyard_e2e::{manifest::DirectGrant, scenes::Stage, service, wait};
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

/// Sends a byte every few milliseconds until it cannot.
const FLOW: &str = r#"
import socket, sys, time
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
try:
    while True:
        connection.send(b"x")
        time.sleep(0.003)
except OSError as error:
    print(error.strerror, flush=True)
"#;
const CONNECT: &str =
    "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=15)";

/// Time between the kernel's check of a packet on its way out and its stamp where it comes in, and what a status
/// rounds off.
const ON_THE_WIRE: i128 = 2_000_000;
const HOUR: i64 = 3_600;

/// There is one clock, and one test that sets it.
static OF_ONE_TEST: Mutex<()> = Mutex::new(());

/// The clock of this machine. It is right again when this is dropped, however the test ends.
struct WallClock {
    ahead_of_boot: i128,
    _of_this_test: MutexGuard<'static, ()>,
}

impl WallClock {
    /// Before anything else, for all else of a test goes by it.
    fn keep() -> Self {
        let of_this_test = OF_ONE_TEST.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            ahead_of_boot: ahead_of_boot(),
            _of_this_test: of_this_test,
        }
    }

    /// Sets it so many seconds ahead of what is right.
    fn set_wrong(&self, by: i64) {
        let right = now(ClockId::Boottime) + self.ahead_of_boot;
        let wrong = right + i128::from(by) * 1_000_000_000;
        let time = Timespec {
            tv_sec: i64::try_from(wrong / 1_000_000_000).unwrap(),
            tv_nsec: i64::try_from(wrong % 1_000_000_000).unwrap(),
        };
        clock_settime(ClockId::Realtime, time).unwrap();
    }

    fn set_right(&self) {
        self.set_wrong(0);
    }
}

impl Drop for WallClock {
    fn drop(&mut self) {
        self.set_right();
    }
}

fn now(clock: ClockId) -> i128 {
    let time = clock_gettime(clock);
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

fn ahead_of_boot() -> i128 {
    now(ClockId::Realtime) - now(ClockId::Boottime)
}

fn grant(stage: &Stage, name: &str, duration: &str) -> String {
    DirectGrant {
        name,
        agent: "bot",
        requires: "Image",
        host: &stage.lab.address(),
        port: service::PEER_PORT,
        protocol: "TCP",
        duration,
    }
    .yaml()
}

/// The same, ending at a time.
fn grant_until(stage: &Stage, name: &str, end: Timestamp) -> String {
    grant(stage, name, "1h").replace("duration: 1h", &format!("notAfter: \"{end}\""))
}

fn write(stage: &Stage, name: &str, yaml: &str) {
    stage
        .lab
        .write(&format!("manifests/{name}.yaml"), yaml)
        .unwrap();
}

/// Why a grant stands as it does, and how long it lives, in milliseconds.
fn standing(stage: &Stage, name: &str) -> Option<(String, i128)> {
    let status = stage.lanyard.status().unwrap();
    let grants = status["grants"].as_array().unwrap();
    let name = format!("default/{name}");
    let grant = grants
        .iter()
        .find(|grant| grant["grant"] == name.as_str())?;
    let reason = grant["reason"].as_str().unwrap().to_owned();
    Some((reason, grant["leftMillis"].as_i64().unwrap().into()))
}

fn until_standing(stage: &Stage, name: &str, is_so: impl Fn(&str, i128) -> bool) {
    let what = format!("{name} stands as it should");
    wait::until(&what, Duration::from_secs(15), || {
        let found = standing(stage, name);
        Ok(found
            .filter(|(reason, left)| is_so(reason, *left))
            .map(drop))
    })
    .unwrap();
}

fn connects(stage: &Stage) -> bool {
    let port = service::PEER_PORT.to_string();
    let output = stage
        .python(&["-c", CONNECT, &stage.lab.address(), &port])
        .output();
    output.unwrap().status.success()
}

fn flow(stage: &Stage) -> Child {
    let port = service::PEER_PORT.to_string();
    let mut command = stage.python(&["-c", FLOW, &stage.lab.address(), &port]);
    let agent = command.stdout(Stdio::piped()).spawn().unwrap();
    wait::until("bytes arrive", Duration::from_secs(8), || {
        Ok((stage.service.arrivals()?.len() > 20).then_some(()))
    })
    .unwrap();
    agent
}

#[test]
fn a_clock_that_is_set_back_moves_no_deadline() {
    let clock = WallClock::keep();
    let mut stage = Stage::set().unwrap();
    write(&stage, "short", &grant(&stage, "short", "6s"));
    stage.lanyard.until_live("default/short").unwrap();
    let agent = flow(&stage);
    let (_, left) = standing(&stage, "short").unwrap();
    // Not before it: the status was made up before this moment.
    let ends_at_boot = now(ClockId::Boottime) + left * 1_000_000;
    clock.set_wrong(-HOUR);

    let output = agent.wait_with_output().unwrap();
    let last = *stage.service.arrivals().unwrap().last().unwrap();
    let last_at_boot = last - ahead_of_boot();
    assert!(
        last_at_boot <= ends_at_boot + ON_THE_WIRE,
        "a byte arrived {} ms after the end: {output:?}",
        (last_at_boot - ends_at_boot) / 1_000_000
    );
    assert!(!connects(&stage), "a new connection");
    // Nor does a node agent that starts with the wrong clock.
    stage.lanyard.kill_everything().unwrap();
    stage.lanyard.start(&stage.lab).unwrap();
    assert!(!connects(&stage), "after a restart");
    until_standing(&stage, "short", |reason, left| {
        reason != "Active" && left == 0
    });

    clock.set_right();
    write(&stage, "next", &grant(&stage, "next", "1h"));
    stage.lanyard.until_live("default/next").unwrap();
    assert!(connects(&stage), "{}", stage.lanyard.daemon_log());
    let (reason, _) = standing(&stage, "short").unwrap();
    assert_ne!(reason, "Active");
}

#[test]
fn what_a_clock_that_was_set_ahead_has_ended_stays_ended() {
    let clock = WallClock::keep();
    let stage = Stage::set().unwrap();
    write(&stage, "hour", &grant(&stage, "hour", "1h"));
    stage.lanyard.until_live("default/hour").unwrap();
    assert!(connects(&stage), "{}", stage.lanyard.daemon_log());
    clock.set_wrong(2 * HOUR);
    until_standing(&stage, "hour", |reason, _| reason != "Active");
    assert!(!connects(&stage), "while the clock is ahead");

    clock.set_right();
    assert!(!connects(&stage), "when it is right again");
    let (reason, _) = standing(&stage, "hour").unwrap();
    assert_ne!(reason, "Active");
    write(&stage, "other", &grant(&stage, "other", "1h"));
    stage.lanyard.until_live("default/other").unwrap();
    assert!(connects(&stage), "{}", stage.lanyard.daemon_log());
}

#[test]
fn a_clock_that_is_wrong_when_a_grant_is_written_gives_no_time_that_lasts() {
    let clock = WallClock::keep();
    let stage = Stage::set().unwrap();
    let in_half_an_hour = now(ClockId::Realtime) + 30 * 60 * 1_000_000_000;
    let half_an_hour = Timestamp::from_nanosecond(in_half_an_hour).unwrap();
    let millis = |minutes: i128| minutes * 60_000;

    clock.set_wrong(-HOUR);
    write(
        &stage,
        "behind",
        &grant_until(&stage, "behind", half_an_hour),
    );
    until_standing(&stage, "behind", |reason, left| {
        reason == "Active" && left > millis(80)
    });
    clock.set_right();
    until_standing(&stage, "behind", |reason, left| {
        reason == "Active" && left <= millis(30)
    });

    clock.set_wrong(HOUR);
    write(&stage, "ahead", &grant(&stage, "ahead", "10m"));
    until_standing(&stage, "ahead", |reason, left| {
        reason == "Active" && left <= millis(10)
    });
    clock.set_right();
    // Seen by the node agent by then: it looks at the clock and at the folder by turns.
    write(&stage, "witness", &grant(&stage, "witness", "1h"));
    stage.lanyard.until_live("default/witness").unwrap();
    let (reason, left) = standing(&stage, "ahead").unwrap();
    assert!(reason == "Active" && left <= millis(10), "{reason} {left}");
}
