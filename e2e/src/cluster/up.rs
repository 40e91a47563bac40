//! Bringing a lab up, step by step. Each step leaves alone what is already as it should be, so that the same way leads
//! from nothing, from what a crash has left, and from a lab that is up.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};

use super::{
    Settings,
    certificates::Keys,
    cgroups, control_plane, dns, down, fake_nodes, holder,
    image::{self, Archive, Image},
    kubectl, network,
    part::Part,
    place::{Node, Place},
    programs::Programs,
    progress::Progress,
    status, worker,
};
use crate::lab;

/// How long a part may take until it answers. Far more than it does, for the machine may be busy.
const ANSWERS: Duration = Duration::from_mins(2);

/// Brings up what the settings say, and takes away what they do not.
pub(super) fn up(place: Place, settings: Settings, progress: &Progress) -> Result<()> {
    ensure!(
        (1..=Node::MOST).contains(&settings.nodes),
        "a lab has 1 to {} nodes",
        Node::MOST
    );
    let programs = Programs::ready(settings.fake_nodes > 0, progress)?;
    let _lock = Place::lock()?;
    network::check(place)?;
    programs.link(place)?;
    let keys = Keys::ready(place)?;
    let nodes: Vec<Node> = (1..=settings.nodes)
        .map(|index| place.node(index))
        .collect();
    namespaces(place, &nodes)?;
    progress.done("namespaces and links are there");

    let step = Step {
        place,
        keys,
        programs: &programs,
        progress,
    };
    let containers = step.containers(&nodes)?;
    step.control_plane()?;
    step.images(&containers)?;
    step.nodes(&nodes)?;
    step.names()?;
    step.no_more_nodes(settings.nodes)?;
    step.fake_nodes(settings.fake_nodes)?;
    step.settled()
}

fn namespaces(place: Place, nodes: &[Node]) -> Result<()> {
    network::ready(place)?;
    for node in nodes {
        cgroups::ready(*node)?;
        holder::ready(*node)?;
    }
    network::route(nodes)
}

/// What the steps have in common.
struct Step<'a> {
    place: Place,
    keys: Keys,
    programs: &'a Programs,
    progress: &'a Progress,
}

impl Step<'_> {
    /// Starts what runs containers, which is ready while the control plane is not.
    fn containers(&self, nodes: &[Node]) -> Result<Vec<Part>> {
        let parts: Vec<Part> = nodes
            .iter()
            .map(|node| worker::containerd(*node, &self.programs.networks))
            .collect();
        for part in &parts {
            part.start()?;
        }
        Ok(parts)
    }

    fn control_plane(&self) -> Result<()> {
        let (place, programs) = (self.place, self.programs);
        let etcd = control_plane::etcd(place, &programs.etcd);
        etcd.start()?;
        let api = control_plane::api_server(place, self.keys, &programs.api_server);
        api.start()?;
        let health = format!("{}/health", control_plane::ETCD);
        self.answers(&etcd, &health)?;
        let ready = format!("{}/readyz", place.api());
        self.answers(&api, &ready)?;

        let manager =
            control_plane::controller_manager(place, self.keys, &programs.controller_manager);
        manager.start()?;
        let scheduler = control_plane::scheduler(place, self.keys, &programs.scheduler);
        scheduler.start()?;
        self.answers(&manager, "https://127.0.0.1:10257/healthz")?;
        self.answers(&scheduler, "https://127.0.0.1:10259/readyz")
    }

    fn images(&self, containers: &[Part]) -> Result<()> {
        let images = [Image::pause(), Image::busybox(image::BUSYBOX)];
        let archives: Vec<Archive> = images.iter().map(Image::archive).collect::<Result<_>>()?;
        for part in containers {
            part.wait_until("answers", ANSWERS, || {
                let version = ctr(part.node)?.arg("version").output()?;
                Ok(version.status.success())
            })?;
            for archive in &archives {
                import(part.node, archive)?;
            }
        }
        self.progress.done("containerd answers and has its images");
        Ok(())
    }

    fn nodes(&self, nodes: &[Node]) -> Result<()> {
        let mut parts = Vec::new();
        for node in nodes {
            let kubelet = worker::kubelet(*node, self.keys, &self.programs.kubelet);
            kubelet.start()?;
            let proxy = worker::proxy(*node, self.keys, &self.programs.proxy);
            proxy.start()?;
            parts.push((kubelet, proxy));
        }
        for (kubelet, proxy) in &parts {
            let name = kubelet.node.name();
            // First by itself: of one that was started anew, the API tells for a while what the last one said.
            self.answers(kubelet, "http://127.0.0.1:10248/healthz")?;
            kubelet.wait_until("has made its node ready", ANSWERS, || {
                let arguments = ["get", "node", &name, "--ignore-not-found", "--output=json"];
                let node = kubectl::text(self.place, &arguments)?;
                Ok(serde_json::from_str(&node).is_ok_and(|node| status::is_ready(&node)))
            })?;
            self.progress.done(&format!("node {name} is ready"));
            self.answers(proxy, "http://127.0.0.1:10256/healthz")?;
        }
        Ok(())
    }

    fn names(&self) -> Result<()> {
        kubectl::apply(self.place, &dns::manifests(self.place))?;
        let part = dns::part(self.place, self.keys, &self.programs.coredns);
        part.start()?;
        self.answers(&part, dns::READY)
    }

    /// Ends nodes that are there and should not be.
    fn no_more_nodes(&self, count: u8) -> Result<()> {
        for node in (count + 1..=Node::MOST).map(|index| self.place.node(index)) {
            if node.folder().exists() {
                let name = node.name();
                self.drain(&name)?;
                down::end_node(node)?;
                kubectl::text(self.place, &["delete", "node", &name, "--ignore-not-found"])?;
                fs::remove_dir_all(node.folder())?;
                self.progress.done(&format!("node {name} is gone"));
            }
        }
        Ok(())
    }

    /// Ends the pods of a node while its kubelet can; afterwards the API would keep them for a while.
    fn drain(&self, node: &str) -> Result<()> {
        let selector = format!("--field-selector=spec.nodeName={node}");
        let delete = ["delete", "pods", "--all-namespaces", &selector];
        let gently = kubectl::command(self.place)
            .args(delete)
            .args(["--grace-period=1", "--timeout=20s"])
            .output()
            .context("start kubectl")?;
        if !gently.status.success() {
            let force = ["--force", "--grace-period=0", "--wait=false"];
            kubectl::text(self.place, &[&delete[..], &force].concat())?;
        }
        Ok(())
    }

    fn fake_nodes(&self, count: u32) -> Result<()> {
        fake_nodes::settle(self.place, count)?;
        let Some(program) = &self.programs.kwok else {
            return down::end_part(self.place.node(1), fake_nodes::NAME);
        };
        let part = fake_nodes::part(self.place, self.keys, program)?;
        part.start()?;
        fake_nodes::wait_until_ready(self.place, &part, count)?;
        self.progress
            .done(&format!("{count} nodes that are only objects are ready"));
        Ok(())
    }

    /// Pods need the service account of their namespace.
    fn settled(&self) -> Result<()> {
        let manager = control_plane::controller_manager(
            self.place,
            self.keys,
            &self.programs.controller_manager,
        );
        manager.wait_until("has made the first service account", ANSWERS, || {
            let account = kubectl::command(self.place)
                .args(["get", "serviceaccount", "default"])
                .output()
                .context("start kubectl")?;
            Ok(account.status.success())
        })
    }

    /// Waits until a part answers well, to whom is on its node.
    fn answers(&self, part: &Part, url: &str) -> Result<()> {
        part.wait_until(&format!("answers at {url}"), ANSWERS, || {
            let mut curl = holder::on(part.node, "curl")?;
            curl.args(["--silent", "--fail", "--insecure", "--noproxy", "*"]);
            let answer = curl.args(["--max-time", "2", url]).output()?;
            Ok(answer.status.success())
        })?;
        self.progress.done(&format!("{} answers", part.name));
        Ok(())
    }
}

/// `ctr` on a node, among the images and containers of pods.
pub(super) fn ctr(node: Node) -> Result<Command> {
    let mut ctr = holder::on(node, "ctr")?;
    ctr.args(["--address", worker::SOCKET, "--namespace", "k8s.io"]);
    Ok(ctr)
}

/// Gives a node an image, unless it has that very one.
pub(super) fn import(node: Node, archive: &Archive) -> Result<()> {
    let name = format!("name=={}", archive.reference);
    let listed = lab::run(ctr(node)?.args(["images", "ls", &name]))?;
    if String::from_utf8_lossy(&listed.stdout).contains(&archive.digest) {
        return Ok(());
    }
    let file = node.folder().join("image.tar");
    fs::write(&file, &archive.content).with_context(|| format!("write {}", file.display()))?;
    let imported = lab::run(ctr(node)?.args(["images", "import"]).arg(&file));
    remove(&file)?;
    imported.with_context(|| format!("import {}", archive.reference))?;
    Ok(())
}

fn remove(file: &Path) -> Result<()> {
    fs::remove_file(file).with_context(|| format!("remove {}", file.display()))
}
