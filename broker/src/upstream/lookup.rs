//! Names, looked up as this machine does it, and checked.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lanyard_access::{desired::LiveGrant, host::DnsName};
use tokio::{
    net::lookup_host,
    time::{Instant, timeout},
};

use super::{UpstreamError, address::is_public};

/// How long a name may take to resolve.
const LOOKUP: Duration = Duration::from_secs(10);

/// How long an answer is used: the system does not say how long it holds.
const FRESH: Duration = Duration::from_secs(5);

/// How many names are remembered.
const NAMES: usize = 1024;

/// How many addresses of a name are tried.
const ADDRESSES: usize = 4;

/// The addresses of a name as this machine resolves it; nothing when that takes too long.
pub(crate) async fn addresses(name: &DnsName) -> Option<io::Result<Vec<IpAddr>>> {
    let found = timeout(LOOKUP, lookup_host((name.as_str(), 0)))
        .await
        .ok()?;
    Some(found.map(|found| found.map(|address| address.ip()).collect()))
}

/// What was looked up a moment ago.
#[derive(Debug, Default)]
pub(super) struct Lookups(Mutex<BTreeMap<DnsName, (Instant, Vec<IpAddr>)>>);

impl Lookups {
    /// Where a grant's host may be connected to.
    pub(super) async fn of(
        &self,
        name: &DnsName,
        grant: &LiveGrant,
    ) -> Result<Vec<SocketAddr>, UpstreamError> {
        let found = match self.remembered(name) {
            Some(found) => found,
            None => match addresses(name).await {
                Some(Ok(found)) => {
                    self.remember(name, &found);
                    found
                }
                Some(Err(_)) | None => return Err(UpstreamError::Lookup(name.clone())),
            },
        };
        let port = grant.resource.port.get();
        let found = found
            .into_iter()
            .map(|address| SocketAddr::new(address, port));
        select(name, found, grant.resource.allow_private)
    }

    fn remembered(&self, name: &DnsName) -> Option<Vec<IpAddr>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, found) = known.get(name)?;
        (at.elapsed() < FRESH).then(|| found.clone())
    }

    fn remember(&self, name: &DnsName, found: &[IpAddr]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= NAMES {
            known.clear();
        }
        known.insert(name.clone(), (Instant::now(), found.to_vec()));
    }
}

/// Of the addresses a name leads to, those that may be connected to.
fn select(
    name: &DnsName,
    found: impl IntoIterator<Item = SocketAddr>,
    allow_private: bool,
) -> Result<Vec<SocketAddr>, UpstreamError> {
    let mut found = found.into_iter().peekable();
    if found.peek().is_none() {
        return Err(UpstreamError::Lookup(name.clone()));
    }
    let allowed = |address: IpAddr| allow_private || is_public(address);
    let selected: Vec<_> = found
        .filter(|address| allowed(address.ip()))
        .take(ADDRESSES)
        .collect();
    if selected.is_empty() {
        return Err(UpstreamError::NotPublic(name.clone()));
    }
    Ok(selected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(addresses: &[&str], allow_private: bool) -> Result<Vec<String>, UpstreamError> {
        let found = addresses.iter().map(|address| address.parse().unwrap());
        let selected = select(&"a.example".parse().unwrap(), found, allow_private)?;
        Ok(selected.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_public_name_that_leads_inside_is_refused() {
        for inside in ["10.0.0.1:443", "169.254.169.254:443", "[::1]:443"] {
            let error = selected(&[inside], false).unwrap_err();
            assert!(matches!(error, UpstreamError::NotPublic(_)));
            assert!(!error.to_string().contains("10.0"), "{error}");
            assert_eq!(selected(&[inside], true).unwrap(), [inside]);
        }
    }

    #[test]
    fn of_mixed_addresses_only_the_public_are_used() {
        let mixed = ["127.0.0.1:443", "8.8.8.8:443"];
        assert_eq!(selected(&mixed, false).unwrap(), ["8.8.8.8:443"]);
    }

    #[test]
    fn a_name_without_addresses_does_not_resolve() {
        assert!(matches!(selected(&[], true), Err(UpstreamError::Lookup(_))));
    }
}
