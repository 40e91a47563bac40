//! A grant ends on time, even when every process of Lanyard is dead.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;

use super::{Evidence, Stage};
use crate::{manifest, service, wait};

/// Sends a byte every few milliseconds for so many seconds or until it cannot, then tries once more from the
/// start.
const SENDING: &str = r#"
import socket, sys, time
address = (sys.argv[1], int(sys.argv[2]))
sys.stdin.readline()
connection = socket.create_connection(address)
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
end = time.monotonic() + float(sys.argv[3])
try:
    while time.monotonic() < end:
        connection.send(b"x")
        time.sleep(0.003)
    print("the open connection: no answer", flush=True)
except OSError as error:
    print("the open connection:", error, flush=True)
try:
    socket.create_connection(address, timeout=5)
    print("a new connection: accepted", flush=True)
except OSError as error:
    print("a new connection:", error, flush=True)
"#;

/// The same with datagrams: the first refused one says that the grant has ended.
const SENDING_DATAGRAMS: &str = r#"
import socket, sys, time
address = (sys.argv[1], int(sys.argv[2]))
sys.stdin.readline()
flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
flow.connect(address)
end = time.monotonic() + float(sys.argv[3])
refused = None
while time.monotonic() < end:
    try:
        flow.send(b"x")
    except ConnectionRefusedError:
        pass
    except OSError as error:
        refused = refused or error
    time.sleep(0.003)
print("the open flow:", refused, flush=True)
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(address)
    print("a new connection: accepted", flush=True)
except OSError as error:
    print("a new connection:", error, flush=True)
"#;

/// Time between the kernel's check of a packet on its way out and its stamp where it comes in.
const ON_THE_WIRE: i128 = 1_000_000;

/// How Lanyard is put out of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dead {
    /// By SIGKILL.
    Killed,
    /// By SIGSTOP: everything is there, and does nothing.
    Stopped,
}

impl Dead {
    fn make(self, stage: &mut Stage) -> Result<usize> {
        match self {
            Self::Killed => stage.lanyard.kill_everything(),
            Self::Stopped => stage.lanyard.stop_everything(),
        }
    }
}

/// What the agent sends over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// One connection.
    Tcp,
    /// One connected socket.
    Udp,
}

/// A grant of ten seconds ends when it should although everything was killed in between.
pub fn grant_ends_although_everything_was_killed(stage: &mut Stage) -> Result<Evidence> {
    grant_ends_although_everything_is_dead(stage, Dead::Killed, Over::Tcp)
}

/// A grant of ten seconds ends when it should although nothing of Lanyard does anything any more.
pub fn grant_ends_although_everything_is_dead(
    stage: &mut Stage,
    dead: Dead,
    over: Over,
) -> Result<Evidence> {
    let (address, port) = (stage.lab.address(), service::PEER_PORT.to_string());
    let (protocol, sending) = match over {
        Over::Tcp => ("TCP", SENDING),
        Over::Udp => ("UDP", SENDING_DATAGRAMS),
    };
    let grant = manifest::DirectGrant {
        name: "ten-seconds",
        agent: "bot",
        requires: "Image",
        host: &address,
        port: service::PEER_PORT,
        protocol,
        duration: "10s",
    };
    stage.lab.write("manifests/short.yaml", grant.yaml())?;
    stage.lanyard.until_live("default/ten-seconds")?;
    let ends_at = ends_at(stage, "default/ten-seconds")?;
    let mut command = stage.python(&["-c", sending, &address, &port, "12"]);
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // Before that its connection would be held at the broker, and end with it.
    stage.lanyard.until_attested(process.id())?;
    drop(process.stdin.take());
    wait::until("bytes arrive", Duration::from_secs(8), || {
        ensure!(process.try_wait()?.is_none(), "the agent could not connect");
        Ok((stage.service.arrivals()?.len() > 20).then_some(()))
    })?;
    let killed = dead.make(stage)?;
    let killed_at = *stage
        .service
        .arrivals()?
        .last()
        .context("bytes arrived before the kill")?;
    wait::until("the agent gives up", Duration::from_mins(1), || {
        Ok(process.try_wait()?)
    })?;
    let output = process.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let arrivals = stage.service.arrivals()?;
    let last = *arrivals.last().context("bytes arrived")?;
    let end = ends_at.as_nanosecond();
    check(killed_at, last, end, &said)?;
    Ok(vec![
        format!("the grant ends at {ends_at}"),
        format!(
            "{killed} processes of Lanyard were {} {} ms before",
            match dead {
                Dead::Killed => "ended with SIGKILL",
                Dead::Stopped => "stopped with SIGSTOP",
            },
            (end - killed_at) / 1_000_000
        ),
        format!(
            "{} bytes arrived at the peer, the last one {} us before the end",
            arrivals.len(),
            (end - last) / 1000
        ),
        format!("the agent said: {}", said.trim().replace('\n', "; ")),
    ])
}

fn check(killed_at: i128, last: i128, end: i128, said: &str) -> Result<()> {
    ensure!(
        killed_at < end,
        "the grant ended before everything was out of the way"
    );
    ensure!(
        last > killed_at,
        "nothing arrived after that: the grant ended with the daemon"
    );
    check_last(last, end)?;
    ensure!(
        said.contains("a new connection:") && !said.contains("accepted"),
        "a new connection was accepted: {said}"
    );
    Ok(())
}

/// The last byte came before the end, and not long before it.
pub(super) fn check_last(last: i128, end: i128) -> Result<()> {
    ensure!(
        last <= end + ON_THE_WIRE,
        "a byte arrived {} us after the end",
        (last - end) / 1000
    );
    ensure!(
        last > end - 1_000_000_000,
        "the last byte came {} ms before the end: it ended too early",
        (end - last) / 1_000_000
    );
    Ok(())
}

/// When a grant ends.
pub(super) fn ends_at(stage: &Stage, grant: &str) -> Result<Timestamp> {
    let status = stage.lanyard.status()?;
    let grants = status["grants"]
        .as_array()
        .context("the status lists grants")?;
    let grant = grants
        .iter()
        .find(|known| known["grant"] == grant)
        .context("the grant is listed")?;
    let text = grant["endsAt"].as_str().context("the grant has an end")?;
    text.parse()
        .with_context(|| format!("read the end {text:?}"))
}
