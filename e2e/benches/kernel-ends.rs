//! How soon an end is an end: from a deadline, and from a call of `lanyard revoke`, to the last byte at the peer and to
//! the agent's error; and what a node weighs.
//!
//! `cargo bench -p lanyard-e2e --bench kernel-ends` prints one line for each figure. It needs root and the programs in
//! `LANYARD_BIN_DIR`. Without `--bench`, as under `cargo test --benches`, one run of each shows that it works.

#![expect(clippy::print_stdout, reason = "the table is what a bench is for")]

use std::{
    fmt::Write as _,
    fs,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use lanyard_e2e::{manifest::DirectGrant, scenes::Stage, service, wait};
use rustix::time::{ClockId, clock_gettime};

/// Sends a byte every millisecond until it cannot; then says when that was, in nanoseconds since 1970.
const FLOW: &str = r#"
import socket, sys, time
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
try:
    while True:
        connection.send(b"x")
        time.sleep(0.001)
except OSError:
    print(time.time_ns(), flush=True)
"#;
/// How long a grant lives that ends by itself.
const DURATION: &str = "3s";

fn main() -> Result<()> {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let runs = if is_bench { 30 } else { 1 };
    let stage = Stage::set()?;
    let (mut deadlines, mut revocations) = (Ends::default(), Ends::default());
    let mut returned = Vec::new();
    for run in 0..runs {
        eprintln!("run {} of {runs}", run + 1);
        deadline(&stage, run, &mut deadlines)?;
        revocation(&stage, run, &mut revocations, &mut returned)?;
    }
    println!("name | runs | median | p99");
    row(
        "deadline to the last byte at the peer",
        &mut deadlines.last_byte,
    );
    row("deadline to the agent's socket error", &mut deadlines.error);
    row("call of revoke to its return", &mut returned);
    row(
        "call of revoke to the last byte at the peer",
        &mut revocations.last_byte,
    );
    row(
        "call of revoke to the agent's socket error",
        &mut revocations.error,
    );
    println!("\nless than nothing is before the deadline");
    weight(&stage, if is_bench { 10_000 } else { 100 })
}

/// Nanoseconds from an end.
#[derive(Default)]
struct Ends {
    last_byte: Vec<i128>,
    error: Vec<i128>,
}

fn deadline(stage: &Stage, run: usize, ends: &mut Ends) -> Result<()> {
    let name = format!("deadline-{run}");
    let agent = open(stage, &name, DURATION)?;
    let end = ends_at(stage, &name)?;
    close(stage, &name, agent, end, ends)
}

fn revocation(stage: &Stage, run: usize, ends: &mut Ends, returned: &mut Vec<i128>) -> Result<()> {
    let name = format!("revoked-{run}");
    let agent = open(stage, &name, "1h")?;
    let time = clock_gettime(ClockId::Realtime);
    let called = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    let start = Instant::now();
    stage.lanyard.revoke(&format!("default/{name}"))?;
    returned.push(i128::try_from(start.elapsed().as_nanos())?);
    close(stage, &name, agent, called, ends)
}

/// A grant, and an agent whose bytes arrive under it.
fn open(stage: &Stage, name: &str, duration: &str) -> Result<Child> {
    let grant = DirectGrant {
        name,
        agent: "bot",
        requires: "Image",
        host: &stage.lab.address(),
        port: service::PEER_PORT,
        protocol: "TCP",
        duration,
    };
    let before = stage.service.arrivals()?.len();
    stage.lab.write(&manifest(name), grant.yaml())?;
    stage.lanyard.until_live(&format!("default/{name}"))?;
    let port = service::PEER_PORT.to_string();
    let mut command = stage.python(&["-c", FLOW, &stage.lab.address(), &port]);
    let agent = command.stdout(Stdio::piped()).spawn()?;
    wait::until("bytes arrive", Duration::from_secs(10), || {
        Ok((stage.service.arrivals()?.len() > before + 20).then_some(()))
    })?;
    Ok(agent)
}

/// Waits for the agent's error, and takes the grant away.
fn close(stage: &Stage, name: &str, agent: Child, end: i128, ends: &mut Ends) -> Result<()> {
    let output = agent.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let error: i128 = said
        .trim()
        .parse()
        .with_context(|| format!("the agent said {said:?}"))?;
    let arrivals = stage.service.arrivals()?;
    let last = *arrivals.last().context("bytes arrived")?;
    ends.last_byte.push(last - end);
    ends.error.push(error - end);
    fs::remove_file(stage.lab.path(&manifest(name)))?;
    stage.lanyard.until_gone(&format!("default/{name}"))
}

fn manifest(name: &str) -> String {
    format!("manifests/{name}.yaml")
}

fn ends_at(stage: &Stage, name: &str) -> Result<i128> {
    let status = stage.lanyard.status()?;
    let grants = status["grants"]
        .as_array()
        .context("the status lists grants")?;
    let name = format!("default/{name}");
    let grant = grants.iter().find(|grant| grant["grant"] == name.as_str());
    let text = grant.and_then(|grant| grant["endsAt"].as_str());
    let end: Timestamp = text.context("the grant has an end")?.parse()?;
    Ok(end.as_nanosecond())
}

/// What the node agent and a broker hold in memory, with so many grants in force.
fn weight(stage: &Stage, grants: usize) -> Result<()> {
    let few = resident(stage)?;
    let mut files = vec![String::new(); grants.div_ceil(500)];
    for number in 0..grants {
        let grant = DirectGrant {
            name: &format!("many-{number}"),
            agent: "bot",
            requires: "Image",
            host: &format!("10.200.{}.{}", number / 250, number % 250 + 1),
            port: 443,
            protocol: "TCP",
            duration: "1h",
        };
        writeln!(files[number / 500], "---\n{}", grant.yaml())?;
    }
    let start = Instant::now();
    for (number, text) in files.iter().enumerate() {
        stage
            .lab
            .write(&format!("manifests/many-{number}.yaml"), text)?;
    }
    let last = format!("default/many-{}", grants - 1);
    wait::until("all grants are live", Duration::from_mins(2), || {
        let status = stage.lanyard.status()?;
        let known = status["grants"].as_array().cloned().unwrap_or_default();
        let is_live = |grant: &serde_json::Value| {
            grant["grant"] == last.as_str() && grant["reason"] == "Active"
        };
        Ok(known.iter().any(is_live).then_some(()))
    })?;
    let took = start.elapsed();
    let many = resident(stage)?;
    println!(
        "\n{grants} grants are live {:.1} s after the first of their manifests was written; resident memory of the node agent: {few} KiB with 2 grants, {many} KiB with {grants}",
        took.as_secs_f64()
    );
    Ok(())
}

/// Kibibytes of the node agent.
fn resident(stage: &Stage) -> Result<u64> {
    let pid = stage.lanyard.daemon().context("the node agent runs")?;
    let told = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident = told.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.context("the kernel tells resident memory")?;
    let (number, _) = resident
        .trim()
        .split_once(' ')
        .context("a number and its unit")?;
    ensure!(!number.is_empty(), "a number");
    Ok(number.parse()?)
}

fn row(name: &str, values: &mut [i128]) {
    values.sort_unstable();
    let told = |percent: usize| {
        let at = (values.len() * percent).div_ceil(100).max(1) - 1;
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let micros = values[at] as f64 / 1_000.0;
        format!("{micros:.0}")
    };
    println!("{name} | {} | {} | {}", values.len(), told(50), told(99));
}
