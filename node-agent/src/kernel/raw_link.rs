//! `bpf(2)` for links of cgroups: aya cannot pin each of them, and replace none.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

/// Attaches `program` to `cgroup` and pins the link at `path`.
pub(super) fn attach_pinned(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    attach_type: u32,
    path: &Path,
) -> io::Result<()> {
    let link = create(program, cgroup, attach_type)?;
    pin(link.as_fd(), path)
}

/// Puts `program` in the place of the one that the link pinned at `path` has, in one step.
pub(super) fn replace(path: &Path, program: BorrowedFd<'_>) -> io::Result<()> {
    const BPF_LINK_UPDATE: libc::c_int = 29;
    #[repr(C)]
    struct LinkUpdate {
        link: i32,
        program: i32,
        flags: u32,
        old_program: u32,
    }
    let link = open(path)?;
    let attributes = LinkUpdate {
        link: link.as_raw_fd(),
        program: program.as_raw_fd(),
        flags: 0,
        old_program: 0,
    };
    bpf(BPF_LINK_UPDATE, &attributes).map(drop)
}

fn create(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    attach_type: u32,
) -> io::Result<OwnedFd> {
    const BPF_LINK_CREATE: libc::c_int = 28;
    #[repr(C)]
    struct LinkCreate {
        program: i32,
        target: i32,
        attach_type: u32,
        flags: u32,
    }
    let attributes = LinkCreate {
        program: program.as_raw_fd(),
        target: cgroup.as_raw_fd(),
        attach_type,
        flags: 0,
    };
    let fd = bpf(BPF_LINK_CREATE, &attributes)?;
    #[expect(unsafe_code, reason = "the kernel hands out a bare number")]
    // SAFETY: a descriptor the kernel just made for this call, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    const BPF_OBJ_GET: libc::c_int = 7;
    #[repr(C)]
    struct ObjectGet {
        path: u64,
        object: i32,
        flags: u32,
    }
    let path = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let attributes = ObjectGet {
        path: path.as_ptr() as u64,
        object: 0,
        flags: 0,
    };
    let fd = bpf(BPF_OBJ_GET, &attributes)?;
    #[expect(unsafe_code, reason = "the kernel hands out a bare number")]
    // SAFETY: a descriptor the kernel just made for this call, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn pin(link: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    const BPF_OBJ_PIN: libc::c_int = 6;
    #[repr(C)]
    struct ObjectPin {
        path: u64,
        object: i32,
        flags: u32,
    }
    let path = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let attributes = ObjectPin {
        path: path.as_ptr() as u64,
        object: link.as_raw_fd(),
        flags: 0,
    };
    bpf(BPF_OBJ_PIN, &attributes).map(drop)
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<i32> {
    #[expect(unsafe_code, reason = "aya has no call for it, and libc no wrapper")]
    // SAFETY: `attributes` is a struct of the layout that `command` takes (include/uapi/linux/bpf.h), lives
    // through the call, and its own length is passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(io::Error::other)
}
