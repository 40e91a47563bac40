//! Starts every task, and ends them.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, runtime::watcher};
use lanyard_access::pod;
use lanyard_daemon::shutdown::Shutdown;
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};
use tracing::{info, warn};

use crate::{
    apply::{
        election, http,
        hub::{Clock, Hub},
        server::{self, Service},
        status,
        tls::Tls,
    },
    args::Args,
    decide::{
        input::Input,
        state::{Source, State},
    },
    gather::{review::review, watch},
};

/// How often files are looked at.
const RELOAD: Duration = Duration::from_secs(5);
/// The longest time that nothing is compiled: time passes without anybody saying so.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Runs until a signal ends it.
pub async fn run(args: Args, clock: Clock) -> anyhow::Result<()> {
    let mut shutdown = Shutdown::watch()?;
    let client = Client::try_default().await.context("find the API server")?;
    let nodes = TcpListener::bind(args.listen).await;
    let nodes = nodes.with_context(|| format!("listen on {}", args.listen))?;
    let health = TcpListener::bind(args.health).await;
    let health = health.with_context(|| format!("listen on {}", args.health))?;
    let epoch =
        getrandom::u64().map_err(|error| anyhow::anyhow!("draw a random number: {error}"))?;
    let me = format!("{}_{epoch:016x}", args.name);
    let state = State::new(args.trust_domain.clone(), epoch, me.clone());
    let hub = Hub::new(state, clock);
    let leases: Api<Lease> = Api::namespaced(client.clone(), args.namespace.as_str());
    let lease = args.lease.to_string();

    let mut tasks = JoinSet::new();
    tasks.spawn(http::serve(hub.clone(), health));
    watch_all(&mut tasks, &hub, &client).await?;
    tasks.spawn(follow_time(hub.clone()));
    tasks.spawn(election::take_part(
        hub.clone(),
        leases.clone(),
        lease.clone(),
    ));
    tasks.spawn(status::write(hub.clone(), client.clone(), me));
    tasks.spawn(review(hub.clone(), client.clone()));
    let (end, ended) = oneshot::channel::<()>();
    let ended = async {
        // The other half is dropped when everything ends.
        let _ = ended.await;
    };
    let service = Service::new(hub.clone());
    let served = tokio::spawn(async move {
        tokio::pin!(ended);
        let tls = tokio::select! {
            tls = first_certificate(&args) => Arc::new(tls),
            () = &mut ended => return Ok(()),
        };
        service.hub().note_certificate();
        let reloads = tokio::spawn(reload(tls.clone()));
        let served = server::serve(service, nodes, tls, args.trust_domain, ended).await;
        reloads.abort();
        served
    });
    info!("the operator runs");

    tokio::select! {
        () = shutdown.signalled() => {}
        ended = tasks.join_next() => {
            ended.transpose().context("a task of the operator failed")?;
            anyhow::bail!("a task of the operator ended");
        }
    }
    tasks.abort_all();
    let drained = async {
        election::release(&hub, &leases, &lease).await;
        hub.state().followers.dismiss();
        hub.wake_all();
        drop(end);
        served.await
    };
    let drained = shutdown
        .drain(tokio::time::timeout(Duration::from_secs(10), drained))
        .await?;
    match drained {
        Ok(served) => served.context("serve nodes")?.context("serve nodes"),
        Err(_) => Ok(()),
    }
}

async fn watch_all(tasks: &mut JoinSet<()>, hub: &Arc<Hub>, client: &Client) -> anyhow::Result<()> {
    let streams = watch::can_stream_lists(client).await;
    let streams = streams.context("ask the API server for its version")?;
    let config = || {
        if streams {
            watcher::Config::default().streaming_lists()
        } else {
            watcher::Config::default()
        }
    };
    let pods = config().labels(pod::IDENTITY);
    let api = || Api::all(client.clone());
    tasks.spawn(watch::watch(
        hub.clone(),
        api(),
        config(),
        Source::Identities,
        Input::Identities,
    ));
    let api = || Api::all(client.clone());
    tasks.spawn(watch::watch(
        hub.clone(),
        api(),
        config(),
        Source::Grants,
        Input::Grants,
    ));
    let api = || Api::all(client.clone());
    tasks.spawn(watch::watch(
        hub.clone(),
        api(),
        config(),
        Source::Credentials,
        Input::Credentials,
    ));
    let api = || Api::all(client.clone());
    tasks.spawn(watch::watch(
        hub.clone(),
        api(),
        pods,
        Source::Pods,
        Input::Pods,
    ));
    Ok(())
}

/// Compiles when time alone changes something.
async fn follow_time(hub: Arc<Hub>) {
    loop {
        let (next, now) = {
            let state = hub.state();
            (state.world.next_change(), hub.now().wall)
        };
        let until = next.map(|next| next.duration_since(now).unsigned_abs().min(LONGEST_SLEEP));
        tokio::time::sleep(until.unwrap_or(LONGEST_SLEEP).max(Duration::from_millis(1))).await;
        hub.with(super::decide::state::State::follow);
        hub.tidy();
    }
}

/// Waits for the files: the authority that writes them may start later.
async fn first_certificate(args: &Args) -> Tls {
    loop {
        match Tls::load(&args.tls_dir, &args.trust_bundle) {
            Ok(tls) => return tls,
            Err(error) => warn!(%error, "no certificate to serve nodes with yet"),
        }
        tokio::time::sleep(RELOAD).await;
    }
}

async fn reload(tls: Arc<Tls>) {
    loop {
        tokio::time::sleep(RELOAD).await;
        match tls.reload() {
            Ok(true) => info!("the certificate or the trust bundle changed"),
            Ok(false) => {}
            Err(error) => {
                warn!(%error, "the certificate was not read anew; the last good one stays");
            }
        }
    }
}
