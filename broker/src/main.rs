//! The broker's process: started by the node agent, with their socket pair as standard input.

use std::{
    io,
    os::{fd::AsFd, unix::net::UnixStream as StdStream},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Parser;
use lanyard_broker::{
    agent::{self, LinkError},
    args::Args,
    broker::{Broker, KernelTags},
    confinement,
    handover::{self, Handover},
    resolver::Families,
    server,
};
use lanyard_daemon::{hardening, log, shutdown::Shutdown};
use lanyard_protocol::frame::FrameError;
use tokio::{runtime, time::timeout};

/// How long what is open may take to be recorded as ended.
const FAREWELL: Duration = Duration::from_secs(1);

fn main() -> Result<()> {
    let args = Args::parse();
    log::start(&args.log)?;
    // It was executed by descriptor, whose number would be its name.
    rustix::thread::set_name(c"lanyard-broker").context("name this process")?;
    hardening::harden()?;
    let link = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .context("take the link to the node agent from standard input")?;
    let link = StdStream::from(link);
    let handover = handover::receive(&link)?;
    // Whoever started it had until now to lift the limit.
    hardening::lock_memory();
    confinement::confine()?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        // They only look names up.
        .max_blocking_threads(4)
        .build()
        .context("start the runtime")?;
    let result = runtime.block_on(run(link, handover));
    runtime.shutdown_background();
    result
}

async fn run(link: StdStream, handover: Handover) -> Result<()> {
    let mut shutdown = Shutdown::watch()?;
    let (agent, link, scope) = agent::connect(link).await?;
    let families = match handover.v6 {
        Some(_) => Families::Both,
        None => Families::V4,
    };
    let tags = Box::new(KernelTags);
    let broker = Arc::new(Broker::new(agent, scope.subscribe(), tags, families)?);
    // A task of its own: what wakes the future that the runtime blocks on goes through the kernel.
    let mut link = tokio::spawn(link.run());
    tracing::info!(scope = scope.borrow().reference.name, "ready");
    {
        let served = pin!(server::serve(Arc::clone(&broker), handover, scope));
        tokio::select! {
            ended = &mut link => return farewell(ended.context("carry the link to the node agent")?),
            failed = served => return Err(failed.into()),
            () = shutdown.signalled() => {
                tracing::info!("ended by a signal");
                broker.set_ending();
            }
        }
    }
    // What was open is dropped by now; its end is on the way to the record.
    tokio::select! {
        _ = &mut link => {}
        _ = timeout(FAREWELL, broker.farewell()) => {}
    }
    Ok(())
}

/// That the node agent goes away is the ordinary end: it says so by closing the link.
fn farewell(ended: LinkError) -> Result<()> {
    match ended {
        LinkError::Frame(FrameError::Closed) => {
            tracing::info!("the node agent closed the link");
            Ok(())
        }
        LinkError::Frame(_) | LinkError::Scope(_) | LinkError::Unexpected(_) => Err(ended.into()),
    }
}
