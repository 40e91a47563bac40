//! Connections that wait for the next request. Each belongs to one grant, and so to one identity and one
//! credential: nothing is ever shared between two.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lanyard_protocol::record::GrantRef;
use rustls::ClientConfig;
use tokio::time::Instant;

use super::{
    Wanted,
    roots::{Alpn, RootsError},
    service::Service,
};
use crate::{clock, scope::Scope};

/// How long a connection may wait: services close theirs after a minute or more.
const IDLE: Duration = Duration::from_secs(50);

/// How many connections of one grant wait.
const WAITING: usize = 256;

/// How many connections that take several requests one grant has.
const SHARED: usize = 4;

/// One at a time.
type Turn = Arc<tokio::sync::Mutex<()>>;

/// What there is for each grant.
#[derive(Default)]
pub(super) struct Pool(Mutex<BTreeMap<GrantRef, Kept>>);

#[derive(Default)]
struct Kept {
    /// Whether the service speaks HTTP/2, once that is known.
    http2: Option<bool>,
    /// With its tickets: what was resumed under one grant is never resumed under another.
    tls: BTreeMap<Alpn, Arc<ClientConfig>>,
    /// HTTP/1.1, the last used last.
    waiting: Vec<(Instant, Service)>,
    /// HTTP/2, with when each was last used.
    shared: Vec<(Instant, Service)>,
    turn: Turn,
}

impl Pool {
    fn grants(&self) -> MutexGuard<'_, BTreeMap<GrantRef, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that can be used now.
    pub(super) fn take(&self, grant: &GrantRef, wanted: Wanted) -> Option<Service> {
        let mut grants = self.grants();
        let kept = grants.get_mut(grant)?;
        if wanted.offers_http2()
            && let Some(service) = kept.share()
        {
            return Some(service);
        }
        // What the client cannot share, it may still use alone.
        while let Some((_, service)) = kept.waiting.pop() {
            if !service.is_closed() {
                return Some(service);
            }
        }
        None
    }

    /// Whose turn it is to connect, unless each needs a connection of its own anyway.
    pub(super) fn turn(&self, grant: &GrantRef, wanted: Wanted) -> Option<Turn> {
        if !wanted.offers_http2() {
            return None;
        }
        let mut grants = self.grants();
        let kept = grants.entry(grant.clone()).or_default();
        (kept.http2 != Some(false)).then(|| Arc::clone(&kept.turn))
    }

    /// Remembers what the service of a grant speaks.
    pub(super) fn learn(&self, grant: &GrantRef, http2: bool) {
        self.grants().entry(grant.clone()).or_default().http2 = Some(http2);
    }

    /// Whether the service of a grant speaks HTTP/2.
    pub(super) fn known(&self, grant: &GrantRef) -> Option<bool> {
        self.grants().get(grant)?.http2
    }

    /// Keeps a new connection for others, if it takes several requests.
    pub(super) fn share(&self, service: Service) -> Service {
        let Some(another) = service.another() else {
            return service;
        };
        let mut grants = self.grants();
        let kept = grants.entry(service.grant.clone()).or_default();
        kept.shared.retain(|(_, shared)| !shared.is_closed());
        if kept.shared.len() < SHARED {
            kept.shared.push((Instant::now(), service));
        }
        another
    }

    /// Takes back a connection that nobody uses now.
    pub(super) fn give_back(&self, service: Service) {
        if service.speaks_http2() || service.is_closed() {
            return;
        }
        let mut grants = self.grants();
        let kept = grants.entry(service.grant.clone()).or_default();
        if kept.waiting.len() < WAITING {
            kept.waiting.push((Instant::now(), service));
        } else {
            service.cut.let_go();
        }
    }

    /// How TLS is spoken under a grant; made once.
    pub(super) async fn tls<F>(
        &self,
        grant: &GrantRef,
        alpn: Alpn,
        make: impl FnOnce() -> F,
    ) -> Result<Arc<ClientConfig>, RootsError>
    where
        F: Future<Output = Result<ClientConfig, RootsError>>,
    {
        let known = |kept: &Kept| kept.tls.get(&alpn).cloned();
        if let Some(config) = self.grants().get(grant).and_then(known) {
            return Ok(config);
        }
        let config = Arc::new(make().await?);
        let mut grants = self.grants();
        let kept = grants.entry(grant.clone()).or_default();
        Ok(Arc::clone(kept.tls.entry(alpn).or_insert(config)))
    }

    /// Ends what waited too long, and forgets what belongs to grants that are gone.
    pub(super) fn sweep(&self, scope: &Scope) {
        let now = clock::boot_now();
        let mut grants = self.grants();
        grants.retain(|grant, kept| {
            let is_fresh =
                |since: &Instant, service: &Service| since.elapsed() < IDLE && !service.is_closed();
            kept.waiting.retain(|(since, service)| {
                let stays = is_fresh(since, service);
                if !stays {
                    service.cut.let_go();
                }
                stays
            });
            kept.shared.retain(|(since, service)| {
                service.load().0 > 0 && !service.is_closed() || is_fresh(since, service)
            });
            scope.holds(grant, now)
        });
    }
}

impl Kept {
    /// The least used of the connections that take another request.
    fn share(&mut self) -> Option<Service> {
        self.shared.retain(|(_, service)| !service.is_closed());
        let is_full = self.shared.len() >= SHARED;
        let free = self.shared.iter_mut().filter(|(_, service)| {
            let (open, most) = service.load();
            open < most || is_full
        });
        let (since, service) = free.min_by_key(|(_, service)| service.load().0)?;
        *since = Instant::now();
        service.another()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Pool({} grants)", self.grants().len())
    }
}
