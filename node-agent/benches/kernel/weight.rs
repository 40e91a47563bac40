//! What the programs and their maps weigh.

use std::{collections::BTreeMap, fs, os::fd::AsRawFd as _};

use anyhow::{Context as _, Result};
use aya::{maps::MapData, programs::loaded_programs};

use super::stage::Stage;

/// The programs, as `bpftool prog` names them: by fifteen letters.
const PROGRAMS: &[&str] = &[
    "bind4",
    "bind6",
    "connect4",
    "connect6",
    "connect_unix",
    "egress",
    "getpeername4",
    "getpeername6",
    "getsockopt",
    "ingress",
    "on_exec",
    "on_exit",
    "on_fork",
    "recvmsg4",
    "recvmsg6",
    "sendmsg4",
    "sendmsg6",
    "sendmsg_unix",
    "setsockopt",
    "socket_create",
    "tcp_events",
];

pub(crate) fn print(stage: &Stage) -> Result<()> {
    println!();
    let mut programs = BTreeMap::new();
    for program in loaded_programs() {
        let program = program?;
        let name = program.name_as_str().unwrap_or_default();
        if let (Some(known), Some(count)) = (
            PROGRAMS.iter().find(|known| **known == name),
            program.verified_instruction_count(),
        ) {
            // Of several nodes on one machine, the last that was loaded.
            programs.insert(*known, count);
        }
    }
    let counts: Vec<String> = programs
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    println!("verified instructions: {}", counts.join(", "));
    let mut all = 0_u64;
    let mut largest = Vec::new();
    for (name, bytes) in maps(stage)? {
        all += bytes;
        largest.push((bytes, name));
    }
    largest.sort_unstable_by(|one, other| other.cmp(one));
    let largest: Vec<String> = largest
        .iter()
        .take(6)
        .map(|(bytes, name)| format!("{name} {:.1} MiB", mebibytes(*bytes)))
        .collect();
    println!(
        "memory of the maps, as the kernel accounts it: {:.1} MiB; the largest: {}",
        mebibytes(all),
        largest.join(", ")
    );
    Ok(())
}

/// Every pinned map, and what the kernel accounts for it.
fn maps(stage: &Stage) -> Result<Vec<(String, u64)>> {
    let pins = stage.pins().map("PROC");
    let folder = pins.parent().context("a folder of pins")?;
    let mut maps = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(name) = name.strip_prefix("map_") else {
            continue;
        };
        let map = MapData::from_pin(&path)?;
        let descriptor = std::os::fd::AsFd::as_fd(map.fd()).as_raw_fd();
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}"))?;
        let bytes = info.lines().find_map(|line| line.strip_prefix("memlock:"));
        let bytes = bytes.context("the kernel accounts maps")?.trim().parse()?;
        maps.push((name.to_owned(), bytes));
    }
    Ok(maps)
}

fn mebibytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let bytes = bytes as f64;
    bytes / f64::from(1 << 20)
}
