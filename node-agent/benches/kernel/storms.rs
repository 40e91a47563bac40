//! What executions and forks cost, and whether any is lost.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use lanyard_node_agent_abi::event::exec;

use super::{
    figures::{Table, Unit},
    stage::Stage,
    worker::Worker,
};

/// Where nothing is followed.
pub(crate) fn without(
    worker: &mut Worker,
    calls: usize,
    where_it_is: &str,
    table: &mut Table,
) -> Result<()> {
    for (order, name) in [("execute", "vfork and exec"), ("fork", "fork and exit")] {
        let taken = worker.measure(&format!("{order} {calls}"))?;
        let name = format!("{name}, {where_it_is}");
        table.add(&name, Unit::Nanoseconds, taken);
    }
    Ok(())
}

/// In a scope, with somebody who listens to what is told of it, as the node agent does.
pub(crate) fn within(
    stage: &mut Stage,
    worker: &mut Worker,
    calls: usize,
    table: &mut Table,
) -> Result<()> {
    let rings = stage.rings()?;
    let is_over = AtomicBool::new(false);
    let (measured, executed) = thread::scope(|scope| {
        let listening = scope.spawn(|| {
            let mut executed = 0_usize;
            loop {
                // Asked before the ring is read: what is told until then is in it.
                let last = is_over.load(Ordering::SeqCst);
                while let Some(record) = rings.execs.next_exec() {
                    executed += usize::from(record.event.kind == exec::EXECUTED);
                }
                if last {
                    return executed;
                }
                thread::sleep(Duration::from_millis(5));
            }
        });
        let measured = without(worker, calls, "in a scope", table);
        is_over.store(true, Ordering::SeqCst);
        (measured, listening.join())
    });
    measured?;
    let executed = executed.unwrap_or_default();
    ensure!(
        executed == calls,
        "{executed} of {calls} executions were told"
    );
    let lost = stage.maps()?.counters()?["LostExecs"];
    table.add(
        "events lost in the storms",
        Unit::Count,
        [f64::from(u32::try_from(lost)?)],
    );
    Ok(())
}
