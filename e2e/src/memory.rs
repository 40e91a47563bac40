//! Searches everything a process holds for a secret.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
};

use anyhow::{Context as _, Result};
use memchr::memmem::Finder;

/// Where `needle` was found in process `pid`: its memory, its environment, its arguments.
pub fn find(pid: u32, needle: &[u8]) -> Result<Vec<String>> {
    find_any(pid, &[needle.to_vec()])
}

/// Where any of `needles` was found in process `pid`.
pub fn find_any(pid: u32, needles: &[Vec<u8>]) -> Result<Vec<String>> {
    let finders: Vec<Finder<'_>> = needles.iter().map(Finder::new).collect();
    let contains = |content: &[u8]| finders.iter().any(|finder| finder.find(content).is_some());
    let mut places = Vec::new();
    for part in ["environ", "cmdline"] {
        let content = fs::read(format!("/proc/{pid}/{part}"))
            .with_context(|| format!("read the {part} of {pid}"))?;
        if contains(&content) {
            places.push(part.to_owned());
        }
    }
    let memory = File::open(format!("/proc/{pid}/mem")).context("open the memory of a process")?;
    let maps =
        fs::read_to_string(format!("/proc/{pid}/maps")).context("read the maps of a process")?;
    for map in maps.lines().filter(|line| {
        line.split(' ')
            .nth(1)
            .is_some_and(|rights| rights.starts_with('r'))
    }) {
        let Some((start, end)) = range(map) else {
            continue;
        };
        let mut content = vec![0; usize::try_from(end - start)?];
        // The kernel's own pages at the end of the address space cannot be read this way.
        if memory.read_exact_at(&mut content, start).is_ok() && contains(&content) {
            places.push(map.to_owned());
        }
    }
    Ok(places)
}

fn range(map: &str) -> Option<(u64, u64)> {
    let (start, end) = map.split(' ').next()?.split_once('-')?;
    Some((
        u64::from_str_radix(start, 16).ok()?,
        u64::from_str_radix(end, 16).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_a_process_holds_is_found_and_what_it_does_not_hold_is_not() {
        let held = format!("held-{}", std::process::id() * 7);
        assert!(
            !find(std::process::id(), held.as_bytes())
                .unwrap()
                .is_empty()
        );
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        let found = find(other.id(), held.as_bytes()).unwrap();
        let own = find(other.id(), b"sleep").unwrap();
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(found.is_empty() && !own.is_empty(), "{found:?} {own:?}");
    }
}
