//! Searches everything a process holds for a secret.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
};

use anyhow::{Context as _, Result};

use crate::forms::Forms;

/// How much is read at once.
const PIECE: usize = 1 << 20;
/// What the kernel counts memory in, on every machine that these tests run on.
const PAGE: usize = 4096;

/// Where forms of a secret were found in process `pid`: in its memory, its environment, its arguments.
pub fn find(pid: u32, forms: &Forms) -> Result<Vec<String>> {
    let mut places = Vec::new();
    for part in ["environ", "cmdline"] {
        let content = fs::read(format!("/proc/{pid}/{part}"))
            .with_context(|| format!("read the {part} of {pid}"))?;
        let found = forms.found_in(&content).into_iter();
        places.extend(found.map(|form| format!("{part}: {form}")));
    }
    let memory = Memory::open(pid)?;
    let maps =
        fs::read_to_string(format!("/proc/{pid}/maps")).context("read the maps of a process")?;
    let readable = maps.lines().filter(|line| {
        let mut words = line.split(' ');
        words.nth(1).is_some_and(|rights| rights.starts_with('r'))
    });
    for map in readable {
        let Some((start, end)) = range(map) else {
            continue;
        };
        let found = memory.search(start, end, forms)?.into_iter();
        places.extend(found.map(|form| format!("{map}: {form}")));
    }
    Ok(places)
}

/// Where they were found in any process of a cgroup.
pub fn find_in_all(cgroup: &Path, forms: &Forms) -> Result<Vec<String>> {
    let path = cgroup.join("cgroup.procs");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let mut places = Vec::new();
    for line in text.lines() {
        let name = fs::read_to_string(format!("/proc/{line}/comm")).unwrap_or_default();
        let found = match find(line.parse()?, forms) {
            // Ended since.
            Err(_) if !Path::new("/proc").join(line).exists() => continue,
            found => found?.into_iter(),
        };
        places.extend(found.map(|place| format!("{line} {}: {place}", name.trim())));
    }
    Ok(places)
}

struct Memory {
    content: File,
    pages: File,
}

impl Memory {
    fn open(pid: u32) -> Result<Self> {
        let open = |name: &str| File::open(format!("/proc/{pid}/{name}"));
        Ok(Self {
            content: open("mem").context("open the memory of a process")?,
            pages: open("pagemap").context("open the pages of a process")?,
        })
    }

    /// What is found from `start` to `end`, across the borders of pieces too.
    fn search(&self, start: u64, end: u64, forms: &Forms) -> Result<Vec<&'static str>> {
        let overlap = forms.longest().saturating_sub(1);
        let mut found = Vec::new();
        let mut content = Vec::new();
        for at in (start..end).step_by(PIECE) {
            let length = usize::try_from(end - at)?.min(PIECE);
            content.drain(..content.len().saturating_sub(overlap));
            if self.read(at, length, &mut content)? {
                found.extend(forms.found_in(&content));
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Reads behind what is there already, and says whether there was anything. What was never touched is not
    /// read: runtimes reserve far more than there is.
    fn read(&self, at: u64, length: usize, content: &mut Vec<u8>) -> Result<bool> {
        let mut entries = vec![0; length.div_ceil(PAGE) * 8];
        // The kernel's own pages at the end of the address space have no entries.
        let known = self.pages.read_at(&mut entries, at / PAGE as u64 * 8)?;
        let is_there = |entry: &[u8]| entry.last().is_some_and(|flags| flags & IS_THERE != 0);
        let known = known - known % 8;
        if !entries[..known].chunks(8).any(is_there) {
            content.clear();
            return Ok(false);
        }
        let behind = content.len();
        content.resize(behind + length, 0);
        if self
            .content
            .read_exact_at(&mut content[behind..], at)
            .is_ok()
        {
            return Ok(true);
        }
        // Some page cannot be read, as behind the end of a file: it stays empty.
        for (number, page) in content[behind..].chunks_mut(PAGE).enumerate() {
            let place = at + (number * PAGE) as u64;
            match self.content.read_exact_at(page, place) {
                Ok(()) => {}
                Err(error) if is_unreadable(&error) => page.fill(0),
                Err(error) => return Err(error).context("read the memory of a process"),
            }
        }
        Ok(true)
    }
}

/// In the last byte of an entry of `/proc/PID/pagemap`: in memory, or swapped out
/// (Documentation/admin-guide/mm/pagemap.rst).
const IS_THERE: u8 = 0b1100_0000;

fn is_unreadable(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
        || error.raw_os_error() == Some(rustix::io::Errno::FAULT.raw_os_error())
        || error.kind() == io::ErrorKind::UnexpectedEof
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
        let (forms, sleep) = (Forms::plain(&held), Forms::plain("sleep"));
        assert!(!find(std::process::id(), &forms).unwrap().is_empty());
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        let found = find(other.id(), &forms).unwrap();
        let own = find(other.id(), &sleep).unwrap();
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(found.is_empty() && !own.is_empty(), "{found:?} {own:?}");
    }

    /// Pieces have borders, and memory has none.
    #[test]
    fn what_lies_across_the_border_of_two_pieces_is_found() {
        let word = hex::encode(std::process::id().to_be_bytes());
        let forms = Forms::plain(&format!("{word}{word}"));
        let mut large = vec![b'.'; 4 * PIECE];
        let place = large.as_ptr() as u64;
        let begin = place.next_multiple_of(PAGE as u64);
        let border = usize::try_from(begin - place).unwrap() + PIECE;
        large[border - 8..border].copy_from_slice(word.as_bytes());
        large[border..border + 8].copy_from_slice(word.as_bytes());
        let memory = Memory::open(std::process::id()).unwrap();
        let end = begin + 2 * PIECE as u64;
        assert_eq!(memory.search(begin, end, &forms).unwrap(), ["plain"]);
        let behind = border as u64 + place;
        assert!(memory.search(behind, end, &forms).unwrap().is_empty());
    }
}
