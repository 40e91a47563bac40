//! Looks at an executed file: the very inode the kernel opened, hashed once.
//!
//! Everything here may wait for a disk, and for a FUSE file for ever; it runs on a thread of its own.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
    sync::Mutex,
};

use lanyard_access::{
    digest::Sha256Digest,
    evidence::EvidenceLevel,
    process::{ChildrenRule, ProcessSelector},
    reason::AttestationReason,
};
use lanyard_node_agent_abi::{event::ExecEvent, process::flags};
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, fstatfs, major, minor, open};
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};

use super::{FileFacts, Origin, Rules, candidates, decide, script};
use crate::kernel::ExecRecord;

/// The largest file that is hashed.
pub const LARGEST: u64 = 1 << 30;
/// How many digests are remembered.
const REMEMBERED: usize = 4096;

/// What tells one content of a file from another without reading it: the kernel changes the time of change
/// with every write, and nobody else can set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Content {
    device: u32,
    inode: u64,
    size: u64,
    changed: u64,
    changed_nanos: u32,
}

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

/// The path of the file that a process executes, as the kernel shows it.
pub fn path_of(tgid: u32) -> Option<String> {
    let path = fs::read_link(format!("/proc/{tgid}/exe")).ok()?;
    Some(String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned())
}

/// Gathers what [`super::decide`] needs of an image whose file is listed at `path`.
pub fn gather(
    record: &ExecRecord,
    path: String,
    listed: &[ProcessSelector],
    digests: &Digests,
) -> FileFacts {
    let event = &record.event;
    let has_script = candidates(&path, listed).any(|selector| selector.script.is_some());
    FileFacts {
        content: digest_of_image(event, digests),
        script: if has_script {
            script::gather(event, &record.arguments, digests)
        } else {
            Err(AttestationReason::ScriptMismatch)
        },
        path: Some(path),
    }
}

/// The level of the file that a scope's root is about to execute, and what its executions inherit: the kernel
/// takes them up at that execution, if no loader variable lowers them. Nothing for a file that needs more than
/// its content, or that is not listed.
pub fn look_ahead(
    path: &Path,
    rules: &Rules,
    digests: &Digests,
) -> Option<(ExecutedInode, EvidenceLevel, ChildrenRule)> {
    let path = fs::canonicalize(path).ok()?;
    let shown = String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned();
    let _ = candidates(&shown, &rules.processes).next()?;
    let how = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = open(&path, how, Mode::empty()).ok()?;
    let content = content_of(&file).ok()?;
    let facts = FileFacts {
        content: hash_once(file, content, digests),
        path: Some(shown),
        script: Err(AttestationReason::ScriptMismatch),
    };
    let event = ExecEvent {
        flags: flags::ROOTED,
        links: 1,
        ..ExecEvent::ZERO
    };
    let nobody = Origin::of(&event);
    let verdict = decide(&event, &facts, rules, nobody);
    let inode = (content.device, content.inode);
    (verdict.level == Ok(EvidenceLevel::Image)).then_some((
        inode,
        EvidenceLevel::Image,
        verdict.children,
    ))
}

/// Device and number of an inode, as the kernel keeps them.
pub type ExecutedInode = (u32, u64);

/// The digest of the file that a process executes.
pub fn digest_of_image(
    event: &ExecEvent,
    digests: &Digests,
) -> Result<Sha256Digest, AttestationReason> {
    digest_of(&format!("/proc/{}/exe", event.tgid), event, digests)
}

/// The digest of a program of this machine's own.
pub fn digest_of_program(
    path: &Path,
    digests: &Digests,
) -> Result<Sha256Digest, AttestationReason> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = open(path, flags, Mode::empty()).map_err(|_| AttestationReason::Unreadable)?;
    let content = content_of(&file)?;
    hash_once(file, content, digests)
}

fn digest_of(
    executable: &str,
    event: &ExecEvent,
    digests: &Digests,
) -> Result<Sha256Digest, AttestationReason> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = open(executable, flags, Mode::empty()).map_err(|_| AttestationReason::Unreadable)?;
    let content = content_of(&file)?;
    // The very inode that the kernel opened, as it was then.
    if content != content_told(event) {
        return Err(AttestationReason::Changed);
    }
    hash_once(file, content, digests)
}

/// The digest of a script, which is opened by its path: nothing else than its path says which one it is.
pub(super) fn digest_of_script(
    path: &Path,
    digests: &Digests,
) -> Result<Sha256Digest, AttestationReason> {
    let flags =
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let file = open(path, flags, Mode::empty()).map_err(|_| AttestationReason::Unreadable)?;
    let content = content_of(&file)?;
    hash_once(file, content, digests)
}

/// Hashes a file that is `content`, unless that is known already.
fn hash_once(
    file: OwnedFd,
    content: Content,
    digests: &Digests,
) -> Result<Sha256Digest, AttestationReason> {
    if !keeps_its_content(&file) {
        return Err(AttestationReason::Filesystem);
    }
    if content.size > LARGEST {
        return Err(AttestationReason::TooLarge);
    }
    if let Some(digest) = digests.get(&content) {
        return Ok(digest);
    }
    let mut file = File::from(file);
    let digest = hash(&mut file).map_err(|_| AttestationReason::Unreadable)?;
    let after = content_of(&file)?;
    if after != content {
        return Err(AttestationReason::Changed);
    }
    if is_settled(&content) {
        digests.put(content, digest);
    }
    Ok(digest)
}

fn content_told(event: &ExecEvent) -> Content {
    Content {
        device: event.device,
        inode: event.inode,
        size: event.size,
        changed: event.changed,
        changed_nanos: event.changed_nanos,
    }
}

/// What an open file is now.
fn content_of(file: &impl AsFd) -> Result<Content, AttestationReason> {
    let stat = fstat(file).map_err(|_| AttestationReason::Unreadable)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(AttestationReason::Unreadable);
    }
    let number = |number: i64| u64::try_from(number).map_err(|_| AttestationReason::Unreadable);
    Ok(Content {
        device: device(&stat),
        inode: stat.st_ino,
        size: number(stat.st_size)?,
        changed: number(stat.st_ctime)?,
        changed_nanos: u32::try_from(stat.st_ctime_nsec).unwrap_or(u32::MAX),
    })
}

/// Whether the file was last changed long enough ago for its time of change to tell it from a later content:
/// older kernels count that time in ticks.
fn is_settled(content: &Content) -> bool {
    let now = clock_gettime(ClockId::Realtime).tv_sec;
    u64::try_from(now).is_ok_and(|now| now > content.changed.saturating_add(1))
}

/// Whether the filesystem is one whose files change by this kernel's hand alone: a server or a FUSE
/// process could show one content to us and another to the program.
fn keeps_its_content(file: &impl AsFd) -> bool {
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn open_file(path: &Path) -> OwnedFd {
        open(path, OFlags::RDONLY, Mode::empty()).unwrap()
    }

    fn look(path: &Path, digests: &Digests) -> Result<Sha256Digest, AttestationReason> {
        let file = open_file(path);
        let content = content_of(&file).unwrap();
        hash_once(file, content, digests)
    }

    #[test]
    fn a_content_whose_digest_is_known_is_not_read_again() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"one").unwrap();
        let digests = Digests::default();
        let real = look(file.path(), &digests).unwrap();
        let told_apart = Sha256Digest::new([7; 32]);
        digests.put(content_of(&open_file(file.path())).unwrap(), told_apart);
        assert_eq!(look(file.path(), &digests), Ok(told_apart), "from memory");

        file.write_all(b", and more").unwrap();
        let changed = look(file.path(), &digests).unwrap();
        assert!(changed != told_apart && changed != real, "read again");
    }

    #[test]
    fn what_was_just_written_is_not_remembered() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"one").unwrap();
        let digests = Digests::default();
        look(file.path(), &digests).unwrap();
        let content = content_of(&open_file(file.path())).unwrap();
        assert_eq!(
            digests.get(&content),
            None,
            "its time of change may stand for two contents"
        );
    }

    #[test]
    fn a_file_of_a_size_that_nobody_waits_for_is_not_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(LARGEST + 1).unwrap();
        let looked = look(file.path(), &Digests::default());
        assert_eq!(looked, Err(AttestationReason::TooLarge));
    }
}
