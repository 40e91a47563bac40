//! The kernel programs on this kernel, through the library: each test plays the node agent, for none runs.
//! Needs root, BPF and cgroup v2.
//!
//! Every test has pins, a scope, a cgroup and a network of its own, so that tests may run beside each other
//! and beside a real node agent.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail the test, as the test itself does"
)]

mod kernel {
    mod actor;
    mod destination;
    mod network;
    mod node;
    mod peer;
    mod wait;

    mod armed;
    mod bind;
    mod causes;
    mod connect;
    mod containers;
    mod create;
    mod datagram;
    mod deadline;
    mod evidence;
    mod fail_closed;
    mod fast_open;
    mod handover;
    mod held;
    mod inbound;
    mod inherit;
    mod io_uring;
    mod lease;
    mod listing;
    mod networks;
    mod observe;
    mod other_peer;
    mod pins;
    mod process;
    mod quota;
    mod races;
    mod resolver;
    mod revocation;
    mod serving;
    mod slot;
    mod socket_option;
    mod sticky;
    mod storm;
    mod takeover;
    mod traced;
    mod transfer;
    mod unix_socket;
}
