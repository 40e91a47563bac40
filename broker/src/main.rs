//! The broker's process: started by the node agent, with their socket pair as standard input, or by a kubelet in a pod.

use std::{
    future::Future,
    io,
    os::{fd::AsFd, unix::net::UnixStream as StdStream},
    path::Path,
    pin::pin,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Parser;
use lanyard_broker::{
    agent::{self, LinkError},
    args::{Args, Verb},
    broker::{Broker, KernelTags},
    confinement,
    handover::{self, Handover},
    resolver::Families,
    server, sidecar,
};
use lanyard_daemon::{hardening, log, shutdown::Shutdown};
use lanyard_protocol::frame::FrameError;
use tokio::{runtime, time::timeout};

/// How long what is open may take to be recorded as ended.
const FAREWELL: Duration = Duration::from_secs(1);

/// The most memory that it takes where nobody else has set a limit. With a request under way on each of 2,000
/// connections it has a fifth of that.
const MOST_MEMORY: u64 = 1 << 30;

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    match &args.verb {
        None => started(&args.log)?,
        Some(Verb::Sidecar(place)) => sidecar(&args.log, &place.socket)?,
        Some(Verb::Ready(place)) if !sidecar::is_ready(&place.socket) => {
            return Ok(ExitCode::FAILURE);
        }
        Some(Verb::Ready(_)) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Serves the node agent that has started it.
fn started(filter: &str) -> Result<()> {
    log::start(filter)?;
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
    block_on(async {
        let mut shutdown = Shutdown::watch()?;
        run(link, handover, &mut shutdown).await.map(drop)
    })
}

/// Serves one node agent of its node after the other.
fn sidecar(filter: &str, socket: &Path) -> Result<()> {
    log::start(filter)?;
    hardening::harden()?;
    hardening::lock_memory();
    hardening::bound_memory(MOST_MEMORY).context("bound the memory of this process")?;
    confinement::confine()?;
    block_on(async {
        let mut shutdown = Shutdown::watch()?;
        loop {
            let (link, handover) = tokio::select! {
                link = sidecar::link(socket) => link,
                () = shutdown.signalled() => return Ok(()),
            };
            match run(link, handover, &mut shutdown).await {
                Ok(Ended::Signalled) => return Ok(()),
                Ok(Ended::ByNodeAgent) => {}
                Err(error) => tracing::warn!(error = format!("{error:#}"), "a link was given up"),
            }
        }
    })
}

fn block_on(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        // They only look names up.
        .max_blocking_threads(4)
        .build()
        .context("start the runtime")?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

/// Why a broker serves no more.
enum Ended {
    /// The node agent closed the link.
    ByNodeAgent,
    /// It was told to.
    Signalled,
}

async fn run(link: StdStream, handover: Handover, shutdown: &mut Shutdown) -> Result<Ended> {
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
            ended = &mut link => {
                farewell(ended.context("carry the link to the node agent")?)?;
                return Ok(Ended::ByNodeAgent);
            }
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
    Ok(Ended::Signalled)
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
