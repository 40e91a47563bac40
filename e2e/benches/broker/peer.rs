//! Who is measured: each in a file of its own that says how it is set up.

mod direct;
mod haproxy;
mod hudsucker;
pub(crate) mod lanyard;
mod mitmproxy;
mod nginx;
mod squid;

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use lanyard_e2e::wait;

use crate::{
    cost::{self, Cost},
    load::Via,
    origin,
    place::{EVENTS, Place},
};

/// Something between the client and the service, or nothing.
pub(crate) struct Peer {
    /// What it is called in the tables.
    pub(crate) name: &'static str,
    /// Where clients go for the services at [`origin::PORT`] and [`EVENTS`].
    ways: [Via; 2],
    /// Whether it speaks HTTP/2 with clients.
    pub speaks_http2: bool,
    /// Whether the client has to bring the token.
    pub(crate) needs_token: bool,
    /// Whether it hands a reply on as it comes.
    pub(crate) streams: bool,
    process: Process,
}

/// What of the machine it is.
enum Process {
    None,
    Own(Child),
    /// The node agent and its brokers.
    Lanyard(u32),
}

impl Peer {
    /// Where clients go for the service at that port.
    pub(crate) fn way(&self, port: u16) -> Via {
        self.ways[usize::from(port == EVENTS)].clone()
    }

    /// Whether clients are agents in a scope.
    pub(crate) fn is_lanyard(&self) -> bool {
        matches!(self.process, Process::Lanyard(_))
    }

    /// Whether there is nothing of it that could be measured.
    pub(crate) fn cost_is_nothing(&self) -> bool {
        matches!(self.process, Process::None)
    }

    /// What it has used of the machine so far, one part after another.
    pub(crate) fn cost(&self) -> Result<Vec<Cost>> {
        match &self.process {
            Process::None => Ok(Vec::new()),
            Process::Own(child) => Ok(vec![cost::of_tree(child.id())?]),
            Process::Lanyard(daemon) => lanyard::cost(*daemon),
        }
    }

    /// A client that goes its way.
    pub(crate) fn client(&self, place: &Place, arguments: &[&str]) -> Command {
        if self.is_lanyard() {
            return lanyard::client(place, arguments);
        }
        let mut command = Command::new(&place.program);
        command.args(arguments);
        command
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Process::Own(child) = &mut self.process {
            let below = cost::tree(child.id()).unwrap_or_default();
            // Already gone is as good. Its helpers end with it or, like squid's, by themselves.
            let _ = child.kill();
            let _ = child.wait();
            cost::end(&below);
        }
    }
}

type Start = fn(&Place) -> Result<Peer>;

const ALL: [(&str, Start); 7] = [
    ("direct", direct::peer),
    (LANYARD, lanyard::peer),
    (NGINX, nginx::start),
    ("haproxy", haproxy::start),
    ("hudsucker", hudsucker::start),
    ("squid", squid::start),
    ("mitmproxy", mitmproxy::start),
];

/// Whom others are compared with.
pub(crate) const NGINX: &str = "nginx";
const LANYARD: &str = "Lanyard";

/// Those that are named, or all of them, set up; without the bench only those that cost nothing to have.
pub(crate) fn chosen(place: &Place, is_bench: bool, names: &[String]) -> Result<Vec<Peer>> {
    let is_named = |(name, _): &&(&str, Start)| names.iter().any(|argument| argument == name);
    let wanted: Vec<_> = ALL.iter().filter(is_named).collect();
    let chosen = match (wanted.is_empty(), is_bench) {
        (false, _) => wanted,
        (true, true) => ALL.iter().collect(),
        (true, false) => ALL.iter().take(3).collect(),
    };
    chosen.into_iter().map(|(_, start)| start(place)).collect()
}

/// Ports on the loopback that nothing has now.
fn free_ports() -> Result<[u16; 2]> {
    let free = || TcpListener::bind("127.0.0.1:0").context("find a free port");
    let taken = [free()?, free()?];
    Ok([taken[0].local_addr()?.port(), taken[1].local_addr()?.port()])
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// One that ends TLS for the service's name, at a port for each service.
fn reverse(name: &'static str, ports: [u16; 2], process: Child) -> Result<Peer> {
    ready(Peer {
        name,
        ways: ports.map(|port| Via::Address(loopback(port))),
        speaks_http2: true,
        needs_token: false,
        streams: true,
        process: Process::Own(process),
    })
}

/// One that clients ask to connect them, and that intercepts.
fn proxy(name: &'static str, port: u16, process: Child) -> Result<Peer> {
    ready(Peer {
        name,
        ways: [Via::Proxy(loopback(port)), Via::Proxy(loopback(port))],
        speaks_http2: true,
        needs_token: false,
        streams: true,
        process: Process::Own(process),
    })
}

/// Waits until it listens.
fn ready(mut peer: Peer) -> Result<Peer> {
    let (Via::Address(address) | Via::Proxy(address)) = peer.ways[0] else {
        return Ok(peer);
    };
    let name = peer.name;
    wait::until(&format!("{name} listens"), Duration::from_secs(30), || {
        if let Process::Own(child) = &mut peer.process
            && let Some(status) = child.try_wait()?
        {
            bail!("{name} ended at once: {status}");
        }
        Ok(TcpStream::connect(address).ok())
    })?;
    Ok(peer)
}

/// Starts a peer's program, for which the service's name leads to the lab; what it says goes into a file there.
fn spawn(place: &Place, name: &str, command: &Command) -> Result<Child> {
    let log = place.write(&format!("peers/{name}.log"), "")?;
    let log = fs::File::options().append(true).open(log)?;
    Command::new("unshare")
        .args(["--mount", "--propagation", "slave", "sh", "-c"])
        .arg("mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"")
        .arg("sh")
        .arg(place.path("hosts"))
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("start {name}"))
}

/// The services, as the machine's own names do not know them.
fn upstreams(place: &Place) -> [SocketAddr; 2] {
    let address = place.stage.lab.address();
    [origin::PORT, EVENTS].map(|port| {
        let text = format!("{address}:{port}");
        text.parse().unwrap_or_else(|_| loopback(port))
    })
}
