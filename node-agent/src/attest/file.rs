//! Looks at an executed file: the very inode the kernel opened, hashed once.
//!
//! Everything here may wait for a disk, and for a FUSE file for ever; it runs on a thread of its own.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _},
    os::unix::ffi::OsStrExt as _,
    sync::Mutex,
};

use lanyard_access::{digest::Sha256Digest, process::ProcessSelector, reason::AttestationReason};
use lanyard_node_agent_abi::event::ExecEvent;
use rustix::fs::{Mode, OFlags, Stat, fstat, fstatfs, major, minor, open};
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};

use super::{FileFacts, is_candidate, refused_by_lineage};

/// The largest file that is hashed.
pub const LARGEST: u64 = 1 << 30;
/// How many digests are remembered.
const REMEMBERED: usize = 4096;

/// What tells one content of a file from another without reading it: the kernel changes the time of change
/// with every write, and nobody else can set it.
type Content = (u32, u64, u32, u64, u64, u32);

/// Digests of files as they were.
#[derive(Debug, Default)]
pub struct Digests(Mutex<BTreeMap<Content, Sha256Digest>>);

impl Digests {
    fn get(&self, content: &Content) -> Option<Sha256Digest> {
        self.0.lock().ok()?.get(content).copied()
    }

    fn put(&self, content: Content, digest: Sha256Digest) {
        if let Ok(mut digests) = self.0.lock() {
            if digests.len() >= REMEMBERED {
                digests.clear();
            }
            digests.insert(content, digest);
        }
    }
}

/// What the kernel would tell of the image that process `event.tgid` runs, for a node agent that was not
/// there when it was executed: the process's own link leads to the very inode. Nothing if it has ended.
pub fn observe(event: ExecEvent) -> Option<ExecEvent> {
    let executable = format!("/proc/{}/exe", event.tgid);
    let file = open(executable, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let stat = fstat(&file).ok()?;
    Some(ExecEvent {
        inode: stat.st_ino,
        size: u64::try_from(stat.st_size).ok()?,
        changed: u64::try_from(stat.st_ctime).ok()?,
        changed_nanos: u32::try_from(stat.st_ctime_nsec).ok()?,
        device: device(&stat),
        links: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        ..event
    })
}

/// The kernel keeps a device as major << 20 | minor (`include/linux/kdev_t.h`).
fn device(stat: &Stat) -> u32 {
    (major(stat.st_dev) << 20) | minor(stat.st_dev)
}

/// Gathers what [`super::decide`] needs of the image that `event` tells of.
pub fn gather(event: &ExecEvent, listed: &[ProcessSelector], digests: &Digests) -> FileFacts {
    let executable = format!("/proc/{}/exe", event.tgid);
    let path = fs::read_link(&executable)
        .ok()
        .map(|path| String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned());
    let skip = |reason| FileFacts {
        path: path.clone(),
        content: Err(reason),
    };
    if let Some(reason) = refused_by_lineage(event) {
        return skip(reason);
    }
    match &path {
        None => skip(AttestationReason::Unreadable),
        Some(known) if !is_candidate(known, listed) => skip(AttestationReason::NotListed),
        Some(_) => FileFacts {
            content: digest_of(&executable, event, digests),
            path,
        },
    }
}

fn digest_of(
    executable: &str,
    event: &ExecEvent,
    digests: &Digests,
) -> Result<Sha256Digest, AttestationReason> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = open(executable, flags, Mode::empty()).map_err(|_| AttestationReason::Unreadable)?;
    let stat = fstat(&file).map_err(|_| AttestationReason::Unreadable)?;
    if !is_the_executed(&stat, event) {
        return Err(AttestationReason::Changed);
    }
    if !keeps_its_content(&file) {
        return Err(AttestationReason::Filesystem);
    }
    if event.size > LARGEST {
        return Err(AttestationReason::TooLarge);
    }
    let content = (
        event.device,
        event.inode,
        event.generation,
        event.size,
        event.changed,
        event.changed_nanos,
    );
    if let Some(digest) = digests.get(&content) {
        return Ok(digest);
    }
    let mut file = File::from(file);
    let digest = hash(&mut file).map_err(|_| AttestationReason::Unreadable)?;
    let after = fstat(&file).map_err(|_| AttestationReason::Unreadable)?;
    if !is_the_executed(&after, event) {
        return Err(AttestationReason::Changed);
    }
    if is_settled(event) {
        digests.put(content, digest);
    }
    Ok(digest)
}

/// Whether the file was last changed long enough ago for its time of change to tell it from a later content:
/// older kernels count that time in ticks.
fn is_settled(event: &ExecEvent) -> bool {
    let now = clock_gettime(ClockId::Realtime).tv_sec;
    u64::try_from(now).is_ok_and(|now| now > event.changed.saturating_add(1))
}

/// Whether this is the inode the kernel opened, as it was then.
fn is_the_executed(stat: &Stat, event: &ExecEvent) -> bool {
    let is = |number: i64, known: u64| u64::try_from(number) == Ok(known);
    device(stat) == event.device
        && stat.st_ino == event.inode
        && is(stat.st_size, event.size)
        && is(stat.st_ctime, event.changed)
        && stat.st_ctime_nsec == u64::from(event.changed_nanos)
}

/// Whether the filesystem is one whose files change by this kernel's hand alone: a server or a FUSE
/// process could show one content to us and another to the program.
fn keeps_its_content(file: &impl std::os::fd::AsFd) -> bool {
    // include/uapi/linux/magic.h and the filesystems' own sources
    const ELSEWHERE: [u64; 9] = [
        0x6573_5546, // fuse
        0x6969,      // nfs
        0xff53_4d42, // cifs
        0xfe53_4d42, // smb3
        0x0102_1997, // 9p
        0x00c3_6400, // ceph
        0x5346_414f, // openafs
        0x6b41_4653, // afs
        0x7461_636f, // ocfs2
    ];
    fstatfs(file).is_ok_and(|stat| {
        let magic = u64::try_from(stat.f_type).unwrap_or(u64::MAX) & 0xffff_ffff;
        !ELSEWHERE.contains(&magic)
    })
}

fn hash(file: &mut File) -> io::Result<Sha256Digest> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(Sha256Digest::new(digest.finalize().into()));
        }
        digest.update(&buffer[..read]);
    }
}
