//! Load: this program again, as the client. It says when it is warm, begins when it is told to, says what it found,
//! and stays until nobody listens, so that what serves it can be looked at meanwhile.

mod connections;
mod events;
mod names;
mod requests;
mod sample;
mod wire;

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use lanyard_e2e::{scenes::TOKEN, service::NAME};
use serde::{Deserialize, Serialize};
use tokio::{runtime, time::timeout};

use crate::{cost::Cost, peer::Peer, place::Place};
use wire::Wire;

/// The argument by which this program is the client.
pub(crate) const VERB: &str = "load";

/// How long any load may take.
const LONGEST: Duration = Duration::from_mins(2);

/// Where a client goes for a service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Via {
    /// To that address.
    Address(SocketAddr),
    /// To what its name resolves to.
    Name,
    /// To a proxy, which it asks to connect it.
    Proxy(SocketAddr),
}

/// What a client does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Work {
    /// One request after another on each of so many connections.
    Requests {
        /// What is asked for.
        path: String,
        /// How long the reply is to be.
        length: usize,
        /// How many connections.
        connections: usize,
    },
    /// A connection for each request, so many at once.
    Connections {
        /// What is asked for.
        path: String,
        /// How many at once.
        at_once: usize,
    },
    /// A stream after another, each left at its first event.
    FirstEvents {
        /// How many.
        count: usize,
    },
    /// So many streams at once, which stay open.
    Streams {
        /// How many.
        count: usize,
    },
    /// The service's name, asked for by so many at once.
    Names {
        /// How many at once.
        at_once: usize,
    },
    /// One request, whose reply takes a while.
    Slowly {
        /// Seconds that it takes.
        seconds: f64,
    },
    /// Nothing at all.
    Nothing,
}

/// All that a client has to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    work: Work,
    via: Via,
    port: u16,
    /// PEM of whom it trusts.
    roots: PathBuf,
    token: Option<String>,
    http2: bool,
    /// How long, in seconds.
    seconds: f64,
}

/// What a client found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Found {
    /// How often it was done.
    pub(crate) count: u64,
    /// In how many seconds.
    pub(crate) seconds: f64,
    /// Of how long it took each time, in microseconds.
    pub(crate) median: f64,
    /// The same.
    pub p99: f64,
}

/// What one load came to.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    /// What the client found.
    pub(crate) found: Found,
    /// What that cost each part of who was measured.
    pub(crate) processor: Vec<Duration>,
    /// Kibibytes of each part afterwards.
    pub(crate) resident: Vec<u64>,
}

/// A client that waits to be told.
pub(crate) struct Client {
    child: Child,
    say: Option<ChildStdin>,
    hear: BufReader<ChildStdout>,
}

impl Client {
    /// Starts it on its way through `peer`, and waits until it is warm.
    pub(crate) fn start(
        place: &Place,
        peer: &Peer,
        (work, http2): (Work, bool),
        (port, seconds): (u16, f64),
    ) -> Result<Self> {
        let order = Order {
            work,
            via: peer.way(port),
            port,
            roots: trusted(place, peer),
            token: peer.needs_token.then(|| TOKEN.to_owned()),
            http2,
            seconds,
        };
        let order = serde_json::to_string(&order)?;
        let mut child = peer
            .client(place, &[VERB, &order])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start a client")?;
        let say = child.stdin.take();
        let hear = child.stdout.take().context("the client has a stdout")?;
        let mut client = Self {
            child,
            say,
            hear: BufReader::new(hear),
        };
        let said = client.listen()?;
        ensure!(said == "ready", "a client through {}: {said:?}", peer.name);
        Ok(client)
    }

    /// Tells it to begin, and waits for what it finds.
    pub(crate) fn measure(&mut self, peer: &Peer) -> Result<Measured> {
        let before = peer.cost()?;
        let say = self.say.as_mut().context("the client listens")?;
        say.write_all(b"go\n")?;
        let said = self.listen()?;
        let after = peer.cost()?;
        let found = serde_json::from_str(&said)
            .with_context(|| format!("a client through {} says {said:?}", peer.name))?;
        let used =
            |(before, after): (&Cost, &Cost)| after.processor.saturating_sub(before.processor);
        Ok(Measured {
            found,
            processor: before.iter().zip(&after).map(used).collect(),
            resident: after.iter().map(|cost| cost.resident).collect(),
        })
    }

    fn listen(&mut self) -> Result<String> {
        let mut line = String::new();
        self.hear.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.say.take());
        // Already gone is as good.
        let _ = self.child.wait();
    }
}

/// An agent is told whom to trust by the environment that it starts in.
fn trusted(place: &Place, peer: &Peer) -> PathBuf {
    if peer.is_lanyard() {
        PathBuf::new()
    } else {
        place.authority.roots.clone()
    }
}

/// What the program does that was started as a client.
pub(crate) fn obey(order: &str) -> Result<()> {
    let order: Order = serde_json::from_str(order).context("read the order")?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match timeout(LONGEST, work(&order)).await {
            Ok(done) => done,
            Err(_) => bail!("it took longer than {LONGEST:?}"),
        }
    })
}

async fn work(order: &Order) -> Result<()> {
    let wire = Wire::new(order)?;
    let limit = Duration::from_secs_f64(order.seconds);
    match &order.work {
        Work::Requests {
            path,
            length,
            connections,
        } => {
            let warm = requests::warm(&wire, path, *length, *connections).await?;
            told()?;
            say(&requests::run(warm, limit).await?)
        }
        Work::Connections { path, at_once } => {
            connections::one(&wire, path).await?;
            told()?;
            say(&connections::run(&wire, path, *at_once, limit).await?)
        }
        Work::FirstEvents { count } => {
            events::first(&wire).await?;
            told()?;
            say(&events::run(&wire, *count).await?)
        }
        Work::Streams { count } => {
            told()?;
            // They are open until nobody listens.
            let (found, _streams) = events::open(&wire, *count).await?;
            say(&found)
        }
        Work::Names { at_once } => {
            told()?;
            say(&names::run(NAME, *at_once, limit).await?)
        }
        Work::Slowly { seconds } => {
            told()?;
            say(&events::slowly(&wire, *seconds).await?)
        }
        Work::Nothing => {
            told()?;
            say(&Found::default())
        }
    }
}

/// Says that it is warm, and waits for the word.
fn told() -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "ready")?;
    out.flush()?;
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    ensure!(line.trim() == "go", "told {line:?}");
    Ok(())
}

/// Says what it found, and waits until nobody listens.
fn say(found: &Found) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(found)?)?;
    out.flush()?;
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}
