//! What `connect(2)` costs.

use anyhow::Result;

use super::{
    figures::{Table, Unit},
    place::{HERE, HOST, NOWHERE, SINK_PORT, UNREACHABLE},
    stage::Stage,
    worker::{Worker, at},
};

const TCP: u8 = 6;
const UDP: u8 = 17;
/// A port that is granted where it is.
const PORT: u16 = 443;
/// A port that is never granted.
const OTHER_PORT: u16 = 444;

/// Where nothing is decided.
pub(crate) fn without(
    worker: &mut Worker,
    calls: usize,
    where_it_is: &str,
    table: &mut Table,
) -> Result<()> {
    all(worker, calls, where_it_is, PORT, table)?;
    handshakes(worker, calls / 4, where_it_is, table)
}

/// In a scope, with few grants and with many.
pub(crate) fn within(
    stage: &mut Stage,
    worker: &mut Worker,
    calls: usize,
    table: &mut Table,
) -> Result<()> {
    for (address, protocol) in [(NOWHERE, UDP), (UNREACHABLE, TCP)] {
        stage.grant(address, PORT, protocol)?;
    }
    for grants in [2, 1_000, 10_000] {
        stage.fill(grants)?;
        let told = if grants == 2 { 1 } else { grants };
        all(
            worker,
            calls,
            &format!("granted, {told} grants"),
            PORT,
            table,
        )?;
    }
    all(worker, calls, "refused, 10000 grants", OTHER_PORT, table)?;
    for address in [HOST, HERE] {
        stage.grant(address, SINK_PORT, TCP)?;
    }
    handshakes(worker, calls / 4, "granted", table)
}

fn all(
    worker: &mut Worker,
    calls: usize,
    where_it_is: &str,
    port: u16,
    table: &mut Table,
) -> Result<()> {
    for (order, address, name) in [("udp", NOWHERE, "UDP"), ("tcp", UNREACHABLE, "TCP")] {
        let taken = worker.measure(&format!("{order} {} {calls}", at(address, port)))?;
        let name = format!("connect() {name}, no packet, {where_it_is}");
        table.add(&name, Unit::Nanoseconds, taken);
    }
    Ok(())
}

fn handshakes(
    worker: &mut Worker,
    calls: usize,
    where_it_is: &str,
    table: &mut Table,
) -> Result<()> {
    let taken = worker.measure(&format!("handshake {} {calls}", at(HOST, SINK_PORT)))?;
    let name = format!("connect() TCP over veth, {where_it_is}");
    table.add(&name, Unit::Nanoseconds, taken);
    Ok(())
}
