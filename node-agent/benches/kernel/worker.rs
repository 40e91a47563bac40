//! A process that does what is measured, and measures it itself: this program, started again.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::OwnedFd,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::{
    net::{AddressFamily, SocketType, connect, socket},
    process::{Pid, PidfdFlags, pidfd_open},
};

use super::place::{self, SINK_PORT};

/// The first argument of such a process.
pub(crate) const MODE: &str = "worker";

/// What a process is started for.
pub(crate) enum Task {
    /// To do what it is told.
    Work,
    /// To take what comes.
    Sink,
    /// The same, in a network of its own.
    SinkElsewhere,
}

impl Task {
    const fn word(&self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Sink => "sink",
            Self::SinkElsewhere => "sink-elsewhere",
        }
    }
}

/// Such a process, told what to do by its standard input. It ends with this value.
pub(crate) struct Worker {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts one, ready for work.
    pub(crate) fn start(task: &Task) -> Result<Self> {
        let mut worker = Self::at_gate(task)?;
        worker.open()?;
        Ok(worker)
    }

    /// Starts a shell that executes one when it is opened. Until then it can be put where it belongs.
    pub(crate) fn at_gate(task: &Task) -> Result<Self> {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "echo gate; read _ && exec \"$0\" \"$@\""])
            .arg(std::env::current_exe()?)
            .args([MODE, task.word()])
            .env_remove("LD_LIBRARY_PATH")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start a shell")?;
        let stdin = child.stdin.take().context("its standard input")?;
        let stdout = child.stdout.take().context("its standard output")?;
        let mut worker = Self {
            child,
            stdin,
            stdout: BufReader::new(stdout),
        };
        ensure!(worker.line()? == "gate", "the shell is at the gate");
        Ok(worker)
    }

    /// Lets the shell execute it.
    pub(crate) fn open(&mut self) -> Result<()> {
        ensure!(self.ask("")? == "ready", "the worker is ready");
        Ok(())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn pidfd(&self) -> Result<OwnedFd> {
        let pid = Pid::from_raw(self.pid().cast_signed()).context("the number of a process")?;
        Ok(pidfd_open(pid, PidfdFlags::empty())?)
    }

    /// What it measured.
    pub(crate) fn measure(&mut self, order: &str) -> Result<Vec<f64>> {
        let answer = self.ask(order)?;
        if let Some(error) = answer.strip_prefix("error ") {
            bail!("{order}: {error}");
        }
        let values = answer.split_ascii_whitespace().map(str::parse);
        Ok(values.collect::<Result<_, _>>()?)
    }

    /// Gives an order whose answer is read later.
    pub(crate) fn begin(&mut self, order: &str) -> Result<()> {
        writeln!(self.stdin, "{order}").context("give an order to a worker")
    }

    pub(crate) fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn ask(&mut self, order: &str) -> Result<String> {
        self.begin(order)?;
        self.line()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the process started again does.
pub(crate) fn serve(arguments: &[String]) -> Result<()> {
    match arguments.first().map(String::as_str) {
        Some("work") => work(),
        Some("sink") => sink(),
        Some("sink-elsewhere") => {
            place::unshare_network()?;
            sink()
        }
        other => bail!("no such task: {other:?}"),
    }
}

fn work() -> Result<()> {
    println!("ready");
    for order in io::stdin().lines() {
        let order = order?;
        let words: Vec<&str> = order.split_ascii_whitespace().collect();
        match obey(&words) {
            Ok(values) => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                println!("{}", values.join(" "));
            }
            Err(error) => println!("error {error:#}"),
        }
    }
    Ok(())
}

fn obey(words: &[&str]) -> Result<Vec<u128>> {
    match words {
        ["udp", address, calls] => udp_connects(address.parse()?, calls.parse()?),
        ["tcp", address, calls] => tcp_attempts(address.parse()?, calls.parse()?),
        ["handshake", address, calls] => handshakes(address.parse()?, calls.parse()?),
        ["send", address, calls] => sends(address.parse()?, calls.parse()?),
        ["stream", address, size, millis] => {
            stream(address.parse()?, size.parse()?, millis.parse()?)
        }
        ["execute", calls] => executions(calls.parse()?),
        ["fork", calls] => forks(calls.parse()?),
        other => bail!("no such order: {other:?}"),
    }
}

/// `connect(2)` of one UDP socket, again and again: it makes no packet.
fn udp_connects(to: SocketAddr, calls: usize) -> Result<Vec<u128>> {
    let flow = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    Ok(times(calls, || {
        let _ = connect(&flow, &to); // a refusal is a figure too
    }))
}

/// `connect(2)` of one TCP socket to where no route leads, or what is refused: no packet either.
fn tcp_attempts(to: SocketAddr, calls: usize) -> Result<Vec<u128>> {
    let attempt = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    ensure!(connect(&attempt, &to).is_err(), "a route leads to {to}");
    Ok(times(calls, || {
        let _ = connect(&attempt, &to);
    }))
}

/// `connect(2)` of new TCP sockets to a host that accepts.
fn handshakes(to: SocketAddr, calls: usize) -> Result<Vec<u128>> {
    let mut taken = Vec::with_capacity(calls);
    for _ in 0..calls {
        let connection = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        let start = Instant::now();
        connect(&connection, &to)?;
        taken.push(start.elapsed().as_nanos());
    }
    Ok(taken)
}

/// `send(2)` of small datagrams.
fn sends(to: SocketAddr, calls: usize) -> Result<Vec<u128>> {
    let flow = UdpSocket::bind("0.0.0.0:0")?;
    flow.connect(to)?;
    flow.send(&[0; 64])?;
    Ok(times(calls, || {
        let _ = flow.send(&[0; 64]);
    }))
}

/// Bytes that were sent in that time, and the nanoseconds it took.
fn stream(to: SocketAddr, size: usize, millis: u64) -> Result<Vec<u128>> {
    let mut connection = TcpStream::connect(to)?;
    connection.set_nodelay(size < 4_096)?;
    let bytes = vec![0; size];
    let (start, until) = (Instant::now(), Duration::from_millis(millis));
    let mut sent = 0_u128;
    while start.elapsed() < until {
        connection.write_all(&bytes)?;
        sent += size as u128;
    }
    Ok(vec![sent, start.elapsed().as_nanos()])
}

/// Processes that execute a small program and end, one after the other.
fn executions(calls: usize) -> Result<Vec<u128>> {
    let mut taken = Vec::with_capacity(calls);
    for _ in 0..calls {
        let start = Instant::now();
        let status = Command::new("/bin/true").env_clear().status()?;
        taken.push(start.elapsed().as_nanos());
        ensure!(status.success(), "/bin/true says no");
    }
    Ok(taken)
}

/// Processes that do nothing and end, one after the other.
fn forks(calls: usize) -> Result<Vec<u128>> {
    let mut taken = Vec::with_capacity(calls);
    for _ in 0..calls {
        let start = Instant::now();
        fork_and_wait()?;
        taken.push(start.elapsed().as_nanos());
    }
    Ok(taken)
}

fn fork_and_wait() -> Result<()> {
    #[expect(unsafe_code, reason = "no safe call forks")]
    // SAFETY: this process has one thread, and the child does nothing but end.
    let ended = unsafe {
        match libc::fork() {
            0 => libc::_exit(0),
            child => child > 0 && libc::waitpid(child, std::ptr::null_mut(), 0) == child,
        }
    };
    ensure!(ended, "fork: {}", io::Error::last_os_error());
    Ok(())
}

/// How long each of so many calls took, in nanoseconds.
fn times(calls: usize, mut call: impl FnMut()) -> Vec<u128> {
    let mut taken = Vec::with_capacity(calls);
    for _ in 0..calls {
        let start = Instant::now();
        call();
        taken.push(start.elapsed().as_nanos());
    }
    taken
}

fn sink() -> Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", SINK_PORT))?;
    println!("ready");
    for connection in listener.incoming() {
        let mut connection = connection?;
        thread::spawn(move || {
            let mut bytes = vec![0; 1 << 20];
            while connection.read(&mut bytes).is_ok_and(|length| length > 0) {}
        });
    }
    Ok(())
}

/// The address of a port, as orders have it.
pub(crate) fn at(address: &str, port: u16) -> String {
    format!("{address}:{port}")
}
