//! Rounds: in each, everybody who is measured takes a turn.

use anyhow::Result;

use crate::{
    load::{Client, Measured, Work},
    origin,
    peer::{NGINX, Peer},
    place::{EVENTS, Place},
    table::{self, median, ratio, whole},
};

/// How much is measured.
pub(crate) struct Length {
    rounds: usize,
    seconds: f64,
    connections: &'static [usize],
    streams: usize,
    firsts: usize,
    /// How many requests the residency of a secret is seen at.
    pub(crate) secrets: usize,
    /// Whether it is waited until the last of them rests no more.
    pub(crate) rests: bool,
}

impl Length {
    /// For figures.
    pub(crate) const WHOLE: Self = Self {
        rounds: 3,
        seconds: 0.7,
        connections: &[1, 32, 256],
        streams: 1000,
        firsts: 5,
        secrets: 20,
        rests: true,
    };
    /// To see that it works.
    pub(crate) const GLIMPSE: Self = Self {
        rounds: 1,
        seconds: 0.1,
        connections: &[1, 8],
        streams: 20,
        firsts: 1,
        secrets: 1,
        rests: false,
    };
}

/// How many connections are made at once.
const AT_ONCE: usize = 16;

/// What each of the peers came to, a run for each of its rounds.
type Runs = Vec<Vec<Measured>>;

/// Lets everybody take a turn in each round; who begins moves on. The slowest has one round: it would be most of the
/// time.
fn take_turns(
    peers: &[Peer],
    rounds: usize,
    runs: &mut Runs,
    mut measure: impl FnMut(&Peer) -> Result<Option<Measured>>,
) -> Result<()> {
    runs.resize_with(peers.len(), Vec::new);
    for round in 0..rounds {
        for turn in 0..peers.len() {
            let index = (turn + round) % peers.len();
            let peer = &peers[index];
            if !peer.streams && !runs[index].is_empty() {
                continue;
            }
            runs[index].extend(measure(peer)?);
        }
    }
    Ok(())
}

fn load(
    place: &Place,
    peer: &Peer,
    what: (Work, bool),
    port: u16,
    length: &Length,
) -> Result<Measured> {
    Client::start(place, peer, what, (port, length.seconds))?.measure(peer)
}

/// Requests with a credential over warm connections.
pub(crate) fn requests(place: &Place, peers: &[Peer], length: &Length) -> Result<()> {
    for (http2, version) in [(false, "HTTP/1.1"), (true, "HTTP/2")] {
        for (path, size) in origin::FILES {
            println!("\n{version}, replies of {} KB", size >> 10);
            table::columns(&[
                "requests/s",
                "to nginx",
                "requests per CPU second",
                "p50",
                "p99",
                "resident, MiB",
            ]);
            for connections in length.connections {
                eprintln!("{version}, {path}, {connections} connections");
                let work = Work::Requests {
                    path: path.to_owned(),
                    length: size,
                    connections: *connections,
                };
                let mut runs = Runs::new();
                take_turns(peers, length.rounds, &mut runs, |peer| {
                    if http2 && !peer.speaks_http2 {
                        return Ok(None);
                    }
                    let work = (work.clone(), http2);
                    load(place, peer, work, origin::PORT, length).map(Some)
                })?;
                let plural = if *connections == 1 { "" } else { "s" };
                rows(peers, &runs, &format!("{connections} connection{plural}"));
            }
        }
    }
    Ok(())
}

/// Connections that carry one request each.
pub(crate) fn connections(place: &Place, peers: &[Peer], length: &Length) -> Result<()> {
    println!("\nA connection for each request, HTTP/1.1");
    table::columns(&[
        "connections/s",
        "to nginx",
        "connections per CPU second",
        "p50",
        "p99",
        "resident, MiB",
    ]);
    for at_once in [1, AT_ONCE] {
        eprintln!("new connections, {at_once} at once");
        let work = Work::Connections {
            path: origin::FILES[0].0.to_owned(),
            at_once,
        };
        let mut runs = Runs::new();
        take_turns(peers, length.rounds, &mut runs, |peer| {
            load(place, peer, (work.clone(), false), origin::PORT, length).map(Some)
        })?;
        rows(peers, &runs, &format!("{at_once} at once"));
    }
    Ok(())
}

fn rows(peers: &[Peer], runs: &Runs, what: &str) {
    let rate = |runs: &Vec<Measured>| median(runs.iter().map(table::rate));
    let measure = peers.iter().position(|peer| peer.name == NGINX);
    let measure = measure.and_then(|index| rate(&runs[index]));
    for (peer, runs) in peers.iter().zip(runs) {
        if runs.is_empty() {
            continue;
        }
        table::row(
            &format!("{}, {what}", peer.name),
            &[
                whole(rate(runs)),
                ratio(rate(runs), measure),
                whole(median(runs.iter().filter_map(table::rate_of_processor))),
                whole(median(runs.iter().map(|run| run.found.median))),
                whole(median(runs.iter().map(|run| run.found.p99))),
                table::resident(runs),
            ],
        );
    }
}

/// How soon the first event of a stream arrives.
pub(crate) fn first_events(place: &Place, peers: &[Peer], length: &Length) -> Result<()> {
    println!("\nFrom a request to the first of three events, which are a fifth of a second apart");
    table::columns(&["runs", "median", "p99"]);
    let work = Work::FirstEvents {
        count: length.firsts,
    };
    let mut runs = Runs::new();
    take_turns(peers, length.rounds, &mut runs, |peer| {
        load(place, peer, (work.clone(), false), EVENTS, length).map(Some)
    })?;
    for (peer, runs) in peers.iter().zip(&runs) {
        let count: u64 = runs.iter().map(|run| run.found.count).sum();
        table::row(
            peer.name,
            &[
                count.to_string(),
                whole(median(runs.iter().map(|run| run.found.median))),
                whole(median(runs.iter().map(|run| run.found.p99))),
            ],
        );
    }
    Ok(())
}

/// What they hold in memory: with nothing to do, and with many streams.
pub(crate) fn streams(place: &Place, peers: &[Peer], length: &Length) -> Result<()> {
    println!("\nMemory, with nothing to do and with open streams of events");
    table::columns(&["idle, MiB", "streams", "MiB with them"]);
    for peer in peers.iter().filter(|peer| !peer.cost_is_nothing()) {
        eprintln!("streams, {}", peer.name);
        let idle = load(place, peer, (Work::Nothing, false), EVENTS, length)?;
        let count = length.streams;
        let work = (Work::Streams { count }, false);
        let streams = if peer.streams {
            Some(load(place, peer, work, EVENTS, length)?)
        } else {
            None
        };
        let opened = streams.as_ref().map_or(0, |run| run.found.count);
        table::row(
            peer.name,
            &[
                table::resident(&[idle]),
                opened.to_string(),
                table::resident(&streams.into_iter().collect::<Vec<_>>()),
            ],
        );
    }
    println!(
        "\nIn the memory of the others there are traces of what was measured before; each client of Lanyard has a broker of its own. Of Lanyard, the second figure is the node agent."
    );
    Ok(())
}

/// How fast the scope's resolver is.
pub(crate) fn names(place: &Place, peers: &[Peer], length: &Length) -> Result<()> {
    println!("\nNames, answered by the broker");
    table::columns(&["answers/s", "answers per CPU second", "p50", "p99"]);
    for peer in peers.iter().filter(|peer| peer.is_lanyard()) {
        for at_once in [1, AT_ONCE] {
            let mut runs = Runs::new();
            take_turns(
                std::slice::from_ref(peer),
                length.rounds,
                &mut runs,
                |peer| {
                    let work = (Work::Names { at_once }, false);
                    load(place, peer, work, origin::PORT, length).map(Some)
                },
            )?;
            let runs = &runs[0];
            table::row(
                &format!("{at_once} at once"),
                &[
                    whole(median(runs.iter().map(table::rate))),
                    whole(median(runs.iter().filter_map(table::rate_of_processor))),
                    whole(median(runs.iter().map(|run| run.found.median))),
                    whole(median(runs.iter().map(|run| run.found.p99))),
                ],
            );
        }
    }
    Ok(())
}
