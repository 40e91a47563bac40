//! Numbers for Prometheus. None has a label that grows with what users write.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
};

/// What was counted since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Deltas that were handed to streams.
    pub deltas: AtomicU64,
    /// Streams that nodes began.
    pub streams: AtomicU64,
    /// Connections that were refused for their certificate or handshake.
    pub refused_connections: AtomicU64,
    /// Status that was written.
    pub writes: AtomicU64,
    /// Status that could not be written.
    pub failed_writes: AtomicU64,
    /// Requesters that were looked up.
    pub reviews: AtomicU64,
    /// And could not be.
    pub failed_reviews: AtomicU64,
}

/// What is so now.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gauges {
    /// Nodes that listen.
    pub nodes: usize,
    /// Pods that have an identity.
    pub pods: usize,
    /// Objects whose status waits.
    pub waiting: usize,
    /// Whether this replica leads.
    pub leads: bool,
    /// Whether what it knows is fresh.
    pub fresh: bool,
}

/// Counts one more.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The text that Prometheus reads.
pub fn text(counters: &Counters, gauges: Gauges) -> String {
    let mut text = String::new();
    let mut row = |kind: &str, name: &str, help: &str, value: u64| {
        let _ = writeln!(
            text,
            "# HELP lanyard_operator_{name} {help}\n# TYPE lanyard_operator_{name} {kind}\nlanyard_operator_{name} {value}"
        );
    };
    let gauge = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    row("gauge", "nodes", "Nodes that listen.", gauge(gauges.nodes));
    row(
        "gauge",
        "pods",
        "Pods that have an identity.",
        gauge(gauges.pods),
    );
    row(
        "gauge",
        "status_waiting",
        "Objects whose status waits.",
        gauge(gauges.waiting),
    );
    row(
        "gauge",
        "leads",
        "Whether this replica leads.",
        gauges.leads.into(),
    );
    row(
        "gauge",
        "fresh",
        "Whether the API server is heard.",
        gauges.fresh.into(),
    );
    for (name, help, counter) in [
        ("deltas_total", "Deltas sent to nodes.", &counters.deltas),
        (
            "streams_total",
            "Streams begun by nodes.",
            &counters.streams,
        ),
        (
            "connections_refused_total",
            "Connections refused for their certificate or handshake.",
            &counters.refused_connections,
        ),
        ("status_writes_total", "Status written.", &counters.writes),
        (
            "status_writes_failed_total",
            "Status not written.",
            &counters.failed_writes,
        ),
        ("reviews_total", "Requesters looked up.", &counters.reviews),
        (
            "reviews_failed_total",
            "Requesters not looked up.",
            &counters.failed_reviews,
        ),
    ] {
        row("counter", name, help, counter.load(Ordering::Relaxed));
    }
    text
}
