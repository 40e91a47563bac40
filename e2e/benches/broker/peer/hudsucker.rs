//! hudsucker, a library for interception in Rust, as its own example uses it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;
use lanyard_e2e::{lab, peers, scenes::TOKEN};

use super::{Peer, free_ports, proxy, spawn};
use crate::place::Place;

/// Here, so that what lint knows of is all that there is.
const SOURCE: &str = include_str!("../../../peers/hudsucker/main.rs");
const FILES: [&str; 3] = [
    "hudsucker/main.rs",
    "hudsucker/Cargo.toml",
    "hudsucker/Cargo.lock",
];

pub(super) fn start(place: &Place) -> Result<Peer> {
    let [port, _] = free_ports()?;
    let mut command = Command::new(program()?);
    command
        .args([&place.authority.certificate, &place.authority.key])
        .arg(place.service_roots()?)
        .arg(port.to_string())
        .arg(format!("Bearer {TOKEN}"));
    proxy("hudsucker", port, spawn(place, "hudsucker", &command)?)
}

fn program() -> Result<PathBuf> {
    let folder = peers::installed("hudsucker", &FILES, build)?;
    Ok(folder.join("hudsucker-peer"))
}

fn build(folder: &Path) -> Result<()> {
    let source = folder.join("source");
    fs::create_dir_all(source.join("src"))?;
    fs::write(source.join("src/main.rs"), SOURCE)?;
    for name in ["Cargo.toml", "Cargo.lock"] {
        fs::write(
            source.join(name),
            peers::file(&format!("hudsucker/{name}"))?,
        )?;
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--release", "--locked", "--target-dir"])
        .arg(folder.join("target"))
        // The workspace's own are not for others.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .current_dir(source);
    lab::run(&mut cargo)?;
    let built = folder.join("target/release/hudsucker-peer");
    fs::copy(built, folder.join("hudsucker-peer"))?;
    Ok(fs::remove_dir_all(folder.join("target"))?)
}
