//! What packets cost.

use anyhow::{Context as _, Result};

use super::{
    figures::{Table, Unit},
    place::{HERE, HOST, NOWHERE, SINK_PORT},
    worker::{Worker, at},
};

const LARGE: usize = 128 << 10;
const SMALL: usize = 1 << 10;

/// Small datagrams to nobody, and streams over veth and loopback.
pub(crate) fn measure(
    worker: &mut Worker,
    calls: usize,
    millis: u64,
    where_it_is: &str,
    table: &mut Table,
) -> Result<()> {
    let taken = worker.measure(&format!("send {} {calls}", at(NOWHERE, 443)))?;
    let name = format!("send() UDP, {where_it_is}");
    table.add(&name, Unit::Nanoseconds, taken);
    for (address, over) in [(HOST, "veth with GSO"), (HERE, "loopback")] {
        for (size, told) in [(LARGE, "128 KiB"), (SMALL, "1 KiB")] {
            let order = format!("stream {} {size} {millis}", at(address, SINK_PORT));
            let rate = rate(&worker.measure(&order)?)?;
            let name = format!("stream over {over}, writes of {told}, {where_it_is}");
            table.add(&name, Unit::MebibytesPerSecond, [rate]);
        }
    }
    Ok(())
}

fn rate(measured: &[f64]) -> Result<f64> {
    let [bytes, nanos] = measured.first_chunk().context("bytes and their time")?;
    Ok(bytes / f64::from(1 << 20) / (nanos / 1e9))
}
