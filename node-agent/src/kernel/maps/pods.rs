//! Cgroups that a container runtime makes: which are a pod's, and which process of a pod is its broker.

use lanyard_node_agent_abi::{pod::CGROUP_NAME, process::ExecId};

use super::{MapError, Maps, failed, ignore_missing};

impl Maps {
    /// From now on every cgroup of that name is a pod's, and what is made in it a container's of its scope. False for a
    /// name that is too long to be compared.
    pub fn expect_pod(&mut self, name: &str, scope: u32) -> Result<bool, MapError> {
        let Some(key) = key_of(name) else {
            return Ok(false);
        };
        let written = self.pods.insert(key, scope, 0);
        written.map(|()| true).map_err(failed("write", "POD"))
    }

    /// Takes back [`Self::expect_pod`].
    pub fn expect_no_pod(&mut self, name: &str) -> Result<(), MapError> {
        let Some(key) = key_of(name) else {
            return Ok(());
        };
        ignore_missing(self.pods.remove(&key)).map_err(failed("write", "POD"))
    }

    /// Marks a cgroup that was there before its pod was expected; `kind` is one of
    /// [`lanyard_node_agent_abi::pod::container`]. What the kernel has marked stays as it is.
    pub fn mark_cgroup(&mut self, cgroup: u64, scope: u32, kind: u32) -> Result<(), MapError> {
        self.scope
            .insert(cgroup, scope, 0)
            .map_err(failed("write", "SCOPE"))?;
        if self.containers.get(&cgroup, 0).is_ok() {
            return Ok(());
        }
        self.containers
            .insert(cgroup, kind, 0)
            .map_err(failed("write", "CONTAINER"))
    }

    /// The scope that a cgroup is of, and what it is there; see [`lanyard_node_agent_abi::pod::container`].
    pub fn cgroup(&self, cgroup: u64) -> Option<(u32, u32)> {
        let scope = self.scope.get(&cgroup, 0).ok()?;
        Some((scope, self.containers.get(&cgroup, 0).ok()?))
    }

    /// Lets a process leave the scope of its pod for as long as it runs that image.
    pub fn except_broker(&mut self, tgid: u32, image: ExecId) -> Result<(), MapError> {
        self.brokers
            .insert(tgid, image, 0)
            .map_err(failed("write", "BROKER"))
    }

    /// Takes back [`Self::except_broker`].
    pub fn except_no_broker(&mut self, tgid: u32) -> Result<(), MapError> {
        ignore_missing(self.brokers.remove(&tgid)).map_err(failed("write", "BROKER"))
    }

    /// The image with which a process is a pod's broker.
    pub fn broker(&self, tgid: u32) -> Option<ExecId> {
        self.brokers.get(&tgid, 0).ok()
    }

    /// Forgets every cgroup of a scope.
    pub(super) fn forget_cgroups(&mut self, scope: u32) -> Result<(), MapError> {
        let names = self.pods.iter().filter_map(Result::ok);
        let names: Vec<_> = names.filter(|(_, of)| *of == scope).collect();
        for (name, _) in names {
            ignore_missing(self.pods.remove(&name)).map_err(failed("write", "POD"))?;
        }
        let cgroups = self.scope.iter().filter_map(Result::ok);
        let cgroups: Vec<_> = cgroups.filter(|(_, of)| *of == scope).collect();
        for (cgroup, _) in cgroups {
            ignore_missing(self.containers.remove(&cgroup))
                .map_err(failed("write", "CONTAINER"))?;
            ignore_missing(self.scope.remove(&cgroup)).map_err(failed("write", "SCOPE"))?;
        }
        Ok(())
    }
}

/// As the kernel keeps it: filled up with zeros, the last of which always is one.
fn key_of(name: &str) -> Option<[u8; CGROUP_NAME]> {
    let mut key = [0; CGROUP_NAME];
    key[..CGROUP_NAME - 1]
        .get_mut(..name.len())?
        .copy_from_slice(name.as_bytes());
    Some(key)
}
