//! From the kernel's rings to the node.

use std::{collections::BTreeMap, io, rc::Rc, sync::Arc};

use lanyard_node_agent_abi::event::exec;
use tokio::{io::unix::AsyncFd, sync::Semaphore, task::spawn_local};
use tracing::error;

use crate::{
    attest::file,
    kernel::{ExecRecord, Ring, Rings, clock::Moment},
    node::{Look, Shared},
};

/// How many files of one scope are looked at at once: a scope full of slow files delays itself alone.
const LOOKS: usize = 4;

/// How many events of one ring are taken before the other tasks have their turn.
const AT_ONCE: usize = 256;

/// Takes up the images that were executed while no node agent was there to be told, or that an earlier one
/// knew. Until each is looked at again, the kernel goes by what it was told before.
pub fn adopt(node: &Shared, looks: &mut Looks) {
    for event in node.borrow().unknown_images() {
        let (node, look) = (Rc::clone(node), looks.of(event.scope));
        spawn_local(async move {
            // It may wait for a file, as the look itself.
            let Ok(turn) = look.acquire().await else {
                return;
            };
            let observed = tokio::task::spawn_blocking(move || file::observe(event)).await;
            drop(turn);
            let Ok(Some(observed)) = observed else { return };
            let record = ExecRecord {
                event: observed,
                arguments: Vec::new(),
            };
            let next = node.borrow_mut().on_found(&record, Moment::now());
            if let Some(next) = next {
                attest(node, look, record, next).await;
            }
        });
    }
}

/// Carries every event to the node for as long as the process lives.
pub fn watch(node: &Shared, rings: Rings, mut looks: Looks) -> io::Result<()> {
    let Rings {
        execs,
        refusals,
        flows,
    } = rings;
    let (execs, refusals, flows) = (execs.watch()?, refusals.watch()?, flows.watch()?);
    let of_execs = Rc::clone(node);
    spawn_local(drain(execs, move |ring| {
        let event = ring.next_exec();
        event.map(|event| on_exec(&of_execs, &mut looks, event))
    }));
    let of_refusals = Rc::clone(node);
    spawn_local(drain(refusals, move |ring| {
        let event = ring.next_refusal();
        event.map(|event| {
            of_refusals.borrow_mut().on_refusal(&event, Moment::now());
        })
    }));
    let of_flows = Rc::clone(node);
    spawn_local(drain(flows, move |ring| {
        let event = ring.next_flow();
        event.map(|event| of_flows.borrow_mut().on_flow(event, Moment::now()))
    }));
    Ok(())
}

/// Takes the events of a ring, one at a time, as they come.
async fn drain(mut ring: AsyncFd<Ring>, mut take: impl FnMut(&mut Ring) -> Option<()>) {
    loop {
        match ring.readable_mut().await {
            Ok(mut ready) => {
                let ring = ready.get_inner_mut();
                let is_empty = (0..AT_ONCE).any(|_| take(ring).is_none());
                if is_empty {
                    ready.clear_ready();
                }
            }
            Err(error) => {
                error!(%error, "events of the kernel cannot be read any more; nothing new is attested");
                return;
            }
        }
        // A flood of events, which may come faster than they are taken, lets the other tasks have their turn.
        tokio::task::yield_now().await;
    }
}

/// One queue of looks for each scope.
#[derive(Default)]
pub struct Looks(BTreeMap<u32, Arc<Semaphore>>);

impl Looks {
    fn of(&mut self, scope: u32) -> Arc<Semaphore> {
        Arc::clone(
            self.0
                .entry(scope)
                .or_insert_with(|| Arc::new(Semaphore::new(LOOKS))),
        )
    }
}

fn on_exec(node: &Shared, looks: &mut Looks, record: ExecRecord) {
    let event = &record.event;
    match event.kind {
        exec::EXECUTED => {
            let next = node.borrow_mut().on_executed(event, Moment::now());
            if let Some(next) = next {
                let look = looks.of(event.scope);
                spawn_local(attest(Rc::clone(node), look, record, next));
            }
        }
        exec::ENDED => node.borrow_mut().on_ended(event.exec_id),
        _ => {}
    }
}

async fn attest(node: Shared, look: Arc<Semaphore>, record: ExecRecord, next: Look) {
    let Ok(_turn) = look.acquire().await else {
        return;
    };
    let exec_id = record.event.exec_id;
    if node.borrow().images.get(exec_id).is_none() {
        return; // it ended while it waited
    }
    let digests = Arc::clone(&node.borrow().digests);
    let looked = tokio::task::spawn_blocking(move || {
        file::gather(&record, next.path, &next.listed, &digests)
    });
    match looked.await {
        Ok(facts) => node.borrow_mut().on_attested(exec_id, facts, Moment::now()),
        Err(error) => error!(%error, "a look at an executed file failed; it has no identity"),
    }
}
