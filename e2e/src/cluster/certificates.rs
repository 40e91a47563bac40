//! The keys of a lab: one authority, what each server shows, and who each client is. Made once, all together.

mod authority;

use std::{fs, os::unix::fs::DirBuilderExt as _, path::PathBuf};

use anyhow::{Context as _, Result};

use super::place::{Node, Place};
use authority::Authority;

/// A lab's keys, in a folder for root alone.
#[derive(Clone, Copy)]
pub(super) struct Keys(Place);

/// Who speaks to the API: `system:` names are those that Kubernetes has rights for from the beginning.
#[derive(Clone, Copy)]
pub(super) enum User {
    /// May do everything.
    Admin,
    ControllerManager,
    Scheduler,
    Proxy,
    Dns,
    Kubelet(Node),
}

/// A certificate that is shown, by name of its file.
const API_SERVER: &str = "kube-apiserver";
/// What the API server shows to kubelets.
const TO_KUBELETS: &str = "to-kubelets";
/// What the API server shows to aggregated APIs.
const FRONT_PROXY: &str = "front-proxy";

impl Keys {
    /// Makes them if they are not there.
    pub(super) fn ready(place: Place) -> Result<Self> {
        let keys = Self(place);
        let folder = keys.folder();
        if folder.is_dir() {
            return Ok(keys);
        }
        let unfinished = folder.with_extension("unfinished");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&unfinished)
            .with_context(|| format!("make {}", unfinished.display()))?;
        let authority = Authority::make()?;
        for (name, content) in authority.files(place)? {
            fs::write(unfinished.join(&name), content).with_context(|| format!("write {name}"))?;
        }
        fs::rename(&unfinished, &folder).context("give the keys their name")?;
        Ok(keys)
    }

    /// Those of a lab that has them.
    pub(super) fn of(place: Place) -> Self {
        Self(place)
    }

    fn folder(self) -> PathBuf {
        self.0.folder().join("keys")
    }

    fn file(self, name: &str, kind: &str) -> String {
        let path = self.folder().join(format!("{name}.{kind}"));
        path.display().to_string()
    }

    /// The authority's certificate.
    pub(super) fn authority(self) -> String {
        self.file("authority", "crt")
    }

    /// The authority's key.
    pub(super) fn authority_key(self) -> String {
        self.file("authority", "key")
    }

    /// Certificate and key of the API server.
    pub(super) fn api_server(self) -> [String; 2] {
        self.pair(API_SERVER)
    }

    /// Certificate and key that the API server shows to kubelets.
    pub(super) fn to_kubelets(self) -> [String; 2] {
        self.pair(TO_KUBELETS)
    }

    /// Certificate and key that the API server shows to aggregated APIs.
    pub(super) fn front_proxy(self) -> [String; 2] {
        self.pair(FRONT_PROXY)
    }

    /// Certificate and key of a node's kubelet.
    pub(super) fn kubelet(self, node: Node) -> [String; 2] {
        self.pair(&kubelet(node))
    }

    /// The keys by which tokens of service accounts are known, and are signed.
    pub(super) fn service_accounts(self) -> [String; 2] {
        ["pub", "key"].map(|kind| self.file("service-accounts", kind))
    }

    /// What a client needs to be this user.
    pub(super) fn kubeconfig(self, user: User) -> String {
        self.file(&user.file(), "kubeconfig")
    }

    fn pair(self, name: &str) -> [String; 2] {
        [self.file(name, "crt"), self.file(name, "key")]
    }
}

fn kubelet(node: Node) -> String {
    format!("kubelet-{}", node.name())
}

impl User {
    fn all(place: Place) -> Vec<Self> {
        let mut all = vec![
            Self::Admin,
            Self::ControllerManager,
            Self::Scheduler,
            Self::Proxy,
            Self::Dns,
        ];
        all.extend((1..=Node::MOST).map(|index| Self::Kubelet(place.node(index))));
        all
    }

    fn file(self) -> String {
        match self {
            Self::Admin => "admin".into(),
            Self::ControllerManager => "controller-manager".into(),
            Self::Scheduler => "scheduler".into(),
            Self::Proxy => "proxy".into(),
            Self::Dns => "dns".into(),
            Self::Kubelet(node) => node.name(),
        }
    }

    /// The user's name, and a group.
    pub(super) fn name(self) -> (String, Option<&'static str>) {
        match self {
            Self::Admin => ("admin".into(), Some("system:masters")),
            Self::ControllerManager => ("system:kube-controller-manager".into(), None),
            Self::Scheduler => ("system:kube-scheduler".into(), None),
            Self::Proxy => ("system:kube-proxy".into(), None),
            Self::Dns => ("lanyard-lab:dns".into(), None),
            Self::Kubelet(node) => (format!("system:node:{}", node.name()), Some("system:nodes")),
        }
    }
}
