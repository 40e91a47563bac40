//! What a lab is run with: the tools that are built, and what the machine has.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    place::Place,
    progress::Progress,
    tool::{self, Program},
};

/// Programs of the machine, each with Debian's package.
const OF_THE_MACHINE: [(&str, &str); 13] = [
    ("containerd", "containerd"),
    ("containerd-shim-runc-v2", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("busybox", "busybox-static"),
    ("ip", "iproute2"),
    ("sysctl", "procps"),
    ("curl", "curl"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
];

/// Where the programs of container networks may be.
const NETWORKS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

/// The programs of container networks that a node uses.
const OF_NETWORKS: [&str; 4] = ["bridge", "host-local", "loopback", "portmap"];

/// Where all of them are.
pub(super) struct Programs {
    pub(super) etcd: Program,
    pub(super) api_server: Program,
    pub(super) controller_manager: Program,
    pub(super) scheduler: Program,
    pub(super) kubelet: Program,
    pub(super) proxy: Program,
    pub(super) kubectl: Program,
    pub(super) coredns: Program,
    pub(super) helm: Program,
    /// Where there are to be nodes that are only objects.
    pub(super) kwok: Option<Program>,
    /// The folder with the programs of container networks.
    pub(super) networks: PathBuf,
}

impl Programs {
    /// Builds what is to be built, once it is known that the machine has the rest.
    pub(super) fn ready(has_fake_nodes: bool, progress: &Progress) -> Result<Self> {
        let networks = of_the_machine()?;
        let built = tool::ready(&tool::OF_EVERY_LAB, progress)?;
        let built: [Program; tool::OF_EVERY_LAB.len()] = built
            .try_into()
            .map_err(|_| anyhow::anyhow!("a tool was not built"))?;
        // In the order of the list.
        let [
            api_server,
            controller_manager,
            kubelet,
            kubectl,
            scheduler,
            proxy,
            etcd,
            coredns,
            helm,
        ] = built;
        let kwok = has_fake_nodes.then(|| tool::ready(&[&tool::KWOK], progress));
        Ok(Self {
            etcd,
            api_server,
            controller_manager,
            scheduler,
            kubelet,
            proxy,
            kubectl,
            coredns,
            helm,
            kwok: kwok.transpose()?.and_then(|mut built| built.pop()),
            networks,
        })
    }

    /// Puts what people call into the lab's folder, so that it is found without asking Go.
    pub(super) fn link(&self, place: Place) -> Result<()> {
        for (name, program) in [("kubectl", &self.kubectl), ("helm", &self.helm)] {
            let link = linked(place, name);
            let folder = link.parent().context("a link is in a folder")?;
            fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
            let new = link.with_extension("new");
            let _ = fs::remove_file(&new);
            symlink(program.path(), &new)?;
            fs::rename(&new, &link).with_context(|| format!("link {}", link.display()))?;
        }
        Ok(())
    }
}

/// A program of a lab that people call.
pub(super) fn linked(place: Place, name: &str) -> PathBuf {
    place.folder().join("bin").join(name)
}

/// Names all that is missing at once. Says where the programs of container networks are.
fn of_the_machine() -> Result<PathBuf> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "a lab needs root, for namespaces, mounts and cgroups"
    );
    let mut missing: Vec<(&str, &str)> = OF_THE_MACHINE
        .into_iter()
        .filter(|(program, _)| !is_there(program))
        .collect();
    let networks = NETWORKS.iter().map(Path::new).find(|folder| {
        let has = |program: &&str| folder.join(program).is_file();
        OF_NETWORKS.iter().all(has)
    });
    if networks.is_none() {
        missing.push(("bridge", "containernetworking-plugins"));
    }
    match networks {
        Some(folder) if missing.is_empty() => Ok(folder.to_owned()),
        _ => bail!("{}", told(&missing)),
    }
}

fn told(missing: &[(&str, &str)]) -> String {
    let names: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.sort_unstable();
    packages.dedup();
    format!(
        "these programs are missing: {}\nOn Debian, type:\n    apt-get install --no-install-recommends {}",
        names.join(" "),
        packages.join(" ")
    )
}

fn is_there(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    // Some are where only root looks.
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders
        .into_iter()
        .any(|folder: PathBuf| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_package_is_named_once() {
        let text = told(&[
            ("ctr", "containerd"),
            ("runc", "runc"),
            ("containerd", "containerd"),
        ]);
        assert!(text.starts_with("these programs are missing: ctr runc containerd\n"));
        assert!(text.ends_with("--no-install-recommends containerd runc"));
    }
}
