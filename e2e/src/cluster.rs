//! A real Kubernetes on this machine, without Docker and without a registry: etcd, the control plane, and nodes with
//! containerd and a kubelet, each node in namespaces of its own. `cargo xtask lab` is this module for a person.
//!
//! From outside, the API is at [`Place::api`], and pods and Services are reached at their addresses. `docs/lab.md` says
//! what a lab has and has not.

mod certificates;
mod cgroups;
mod control_plane;
mod dns;
mod down;
mod fake_nodes;
mod holder;
pub mod image;
mod kubectl;
mod network;
mod part;
mod place;
mod process;
mod programs;
mod progress;
mod status;
mod table;
pub mod tool;
mod up;
mod worker;

use std::{path::Path, process::Command};

use anyhow::{Result, ensure};
use serde_json::Value;

use image::Image;
pub use place::{Node, Place};
pub use progress::Progress;
pub use status::{State, Status};

/// What a lab is to be like.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Nodes that run pods.
    pub nodes: u8,
    /// Nodes that are only objects.
    pub fake_nodes: u32,
}

/// A lab that is up.
#[derive(Debug)]
pub struct Cluster {
    place: Place,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            nodes: 1,
            fake_nodes: 0,
        }
    }
}

impl Cluster {
    /// Brings up the lab of the tests, with one node. One that is up is that one.
    pub fn up() -> Result<Self> {
        Self::up_at(Place::OF_TESTS, Settings::default(), &Progress::start())
    }

    /// Brings up a lab. What is already as it should be stays as it is.
    pub fn up_at(place: Place, settings: Settings, progress: &Progress) -> Result<Self> {
        up::up(place, settings, progress)?;
        Ok(Self { place })
    }

    /// A lab that is up already.
    pub fn at(place: Place) -> Result<Self> {
        let is_up = holder::running(place.node(1))?.is_some();
        ensure!(is_up, "the lab is not up: type `cargo xtask lab up`");
        Ok(Self { place })
    }

    /// What of it is there.
    pub fn status(place: Place) -> Result<Status> {
        status::look(place)
    }

    /// Ends all of it and removes what it left. Pods are asked to end before, unless that is to be quick.
    pub fn down(place: Place, ends_pods: bool, progress: &Progress) -> Result<()> {
        down::down(place, ends_pods, progress)
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The file that leads its administrator to the API.
    pub fn kubeconfig(&self) -> String {
        kubectl::kubeconfig(self.place)
    }

    /// `kubectl`, as its administrator.
    pub fn kubectl(&self) -> Command {
        kubectl::command(self.place)
    }

    /// What `kubectl` prints. That it fails is an error.
    pub fn text(&self, arguments: &[&str]) -> Result<String> {
        kubectl::text(self.place, arguments)
    }

    /// What `kubectl --output=json` prints.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        kubectl::json(self.place, arguments)
    }

    /// Applies manifests.
    pub fn apply(&self, manifests: &str) -> Result<()> {
        kubectl::apply(self.place, manifests)
    }

    /// `helm`, as its administrator.
    pub fn helm(&self) -> Command {
        kubectl::helm(self.place)
    }

    /// `ctr`, among the images and containers of a node's pods.
    pub fn ctr(&self, node: u8) -> Result<Command> {
        up::ctr(self.place.node(node))
    }

    /// A program in the namespaces of a node, counted from one, and in its cgroup. It ends with the lab.
    pub fn in_node(&self, node: u8, program: impl AsRef<Path>) -> Result<Command> {
        holder::on(self.place.node(node), program)
    }

    /// Gives an image to a node, for pods with `imagePullPolicy: Never`.
    pub fn import(&self, node: u8, image: &Image) -> Result<()> {
        up::import(self.place.node(node), &image.archive()?)
    }
}
