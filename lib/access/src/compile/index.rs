//! Who is touched when an object changes: the references of what is written, backwards.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use super::Written;
use crate::{approval::Approval, grant::Grant, host::Host, object::ObjectKey, policy::Policy};

type Referrers<K> = BTreeMap<K, BTreeSet<ObjectKey>>;

/// References backwards. It changes together with [`Written`], in the compiler alone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    grants_by_identity: Referrers<ObjectKey>,
    grants_by_credential: Referrers<ObjectKey>,
    grants_by_host: Referrers<Host>,
    approvals_by_grant: Referrers<ObjectKey>,
}

impl Index {
    pub(super) fn link_grant(&mut self, key: &ObjectKey, grant: &Grant) {
        link(&mut self.grants_by_identity, &grant.identity, key);
        link(&mut self.grants_by_host, &grant.resource.host, key);
        if let Some(credential) = &grant.credential {
            link(&mut self.grants_by_credential, credential, key);
        }
    }

    pub(super) fn unlink_grant(&mut self, key: &ObjectKey, grant: &Grant) {
        unlink(&mut self.grants_by_identity, &grant.identity, key);
        unlink(&mut self.grants_by_host, &grant.resource.host, key);
        if let Some(credential) = &grant.credential {
            unlink(&mut self.grants_by_credential, credential, key);
        }
    }

    pub(super) fn link_approval(&mut self, key: &ObjectKey, approval: &Approval) {
        link(&mut self.approvals_by_grant, &approval.grant, key);
    }

    pub(super) fn unlink_approval(&mut self, key: &ObjectKey, approval: &Approval) {
        unlink(&mut self.approvals_by_grant, &approval.grant, key);
    }

    /// Every agent that a grant names.
    pub(super) fn agents(&self) -> impl Iterator<Item = &ObjectKey> {
        self.grants_by_identity.keys()
    }

    pub(super) fn grants_of_agent(&self, agent: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        self.grants_by_identity.get(agent).into_iter().flatten()
    }

    pub(super) fn grants_of_credential(
        &self,
        credential: &ObjectKey,
    ) -> impl Iterator<Item = &ObjectKey> {
        self.grants_by_credential
            .get(credential)
            .into_iter()
            .flatten()
    }

    pub(super) fn approvals_of_grant(&self, grant: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        self.approvals_by_grant.get(grant).into_iter().flatten()
    }

    /// The grants for `host`; if it is an address or a network, those for all that have addresses in common
    /// with it, which are looked for among all addresses and networks.
    fn grants_that_meet<'a>(&'a self, host: &'a Host) -> impl Iterator<Item = &'a ObjectKey> {
        // In the order of hosts all names come first.
        const FIRST_ADDRESS: Host = Host::Address(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let same = match host {
            Host::Name(_) => self.grants_by_host.get(host),
            Host::Address(_) | Host::Network(_) => None,
        };
        let direct = host.prefix().into_iter().flat_map(move |_| {
            let direct = self.grants_by_host.range(FIRST_ADDRESS..);
            direct.filter(move |(other, _)| other.meets(host))
        });
        same.into_iter()
            .chain(direct.map(|(_, keys)| keys))
            .flatten()
    }

    /// The agents of the grants that `policy` applies to. Looks at the grants for its hosts, else at
    /// those in its namespaces, else at all: a policy for everybody concerns everybody.
    pub(super) fn agents_under(&self, policy: &Policy, written: &Written) -> BTreeSet<ObjectKey> {
        let agent_of = |grant: &Grant| policy.applies_to(grant).then(|| grant.identity.clone());
        if !policy.hosts.is_empty() {
            let hosts = policy.hosts.iter();
            let keys = hosts.flat_map(|host| self.grants_that_meet(host));
            let grants = keys.filter_map(|key| written.grants.get(key));
            return grants.filter_map(agent_of).collect();
        }
        if !policy.namespaces.is_empty() {
            let grants = policy.namespaces.iter().flat_map(|namespace| {
                let first = ObjectKey::first_in(namespace.clone());
                let grants = written.grants.range(first..).map(|(_, grant)| grant);
                grants.take_while(move |grant| grant.key.namespace == *namespace)
            });
            return grants.filter_map(agent_of).collect();
        }
        written.grants.values().filter_map(agent_of).collect()
    }
}

fn link<K: Ord + Clone>(index: &mut Referrers<K>, from: &K, key: &ObjectKey) {
    if let Some(keys) = index.get_mut(from) {
        keys.insert(key.clone());
    } else {
        index.insert(from.clone(), BTreeSet::from([key.clone()]));
    }
}

fn unlink<K: Ord>(index: &mut Referrers<K>, from: &K, key: &ObjectKey) {
    if let Some(keys) = index.get_mut(from) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(from);
        }
    }
}
