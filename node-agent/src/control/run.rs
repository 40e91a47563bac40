//! `lanyard run`: moves the caller into a scope of its own, where what it executes next is attested.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::fd::{AsRawFd, OwnedFd},
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::Arc,
};

use lanyard_access::{identity::ProcessAccess, object::ObjectKey};
use lanyard_node_agent_abi::{
    process::ArmedFile,
    unix::{self, UnixKey},
};
use lanyard_protocol::control::{Admitted, Run, reply};
use rustix::fs::{FileType, Mode, OFlags, fstat, major, minor, open};
use tokio::net::UnixStream;
use tracing::warn;

use super::{Denied, Outcome, caller, denied, peer::Peer, say, trust};
use crate::{
    attest::{
        Rules,
        file::{self, Digests},
        number_of_rule,
    },
    broker,
    callers::{Allowance, Callers},
    desired::number,
    kernel::clock::Moment,
    node::{Node, NodeError, Shared},
    scope::inherited::InheritedError,
};

pub(super) async fn run(
    stream: &mut UnixStream,
    node: &Shared,
    callers: &dyn Callers,
    peer: &Peer,
    asked: Run,
    descriptor: Option<OwnedFd>,
) -> Outcome {
    let agent = match check(node, callers, peer, &asked) {
        Ok(agent) => agent,
        Err(refused) => return Ok(Err(refused)),
    };
    let Some(descriptor) = descriptor else {
        return Ok(Err(denied(
            "no command was shown",
            "use the `lanyard` of the same version",
        )));
    };
    // A file of FUSE may never answer: nobody else waits for it.
    let (rules, digests) = {
        let node = node.borrow();
        let rules = Rules::of(node.compiler.desired().agents.get(&agent));
        (rules, Arc::clone(&node.digests))
    };
    let looked = tokio::task::spawn_blocking(move || {
        let (path, armed) = file_that_runs(&descriptor)?;
        Ok::<_, io::Error>(looked_at(armed, Path::new(&path), &rules, &digests))
    });
    let looked = looked.await;
    let file = match looked {
        Ok(Ok(file)) => file,
        Ok(Err(error)) => {
            return Ok(Err(denied(
                format!("look at the command {}: {error}", asked.path),
                "",
            )));
        }
        Err(error) => return Err(io::Error::other(error).into()),
    };
    let allowance = callers.allowance(&caller(node, peer), &agent);
    match admit(node, peer, agent, file, asked, allowance) {
        Ok((scope, admitted)) => {
            broker::keep_running(node, scope);
            say(stream, reply::Reply::Admitted(admitted)).await?;
            Ok(Ok(()))
        }
        Err(refused) => Ok(Err(refused)),
    }
}

fn check(
    node: &Shared,
    callers: &dyn Callers,
    peer: &Peer,
    asked: &Run,
) -> Result<ObjectKey, Denied> {
    let agent: ObjectKey = asked.agent.parse().map_err(|error| {
        denied(
            format!(
                "`{}` is not the name of an AgentIdentity: {error}",
                asked.agent
            ),
            "",
        )
    })?;
    let caller = caller(node, peer);
    let node = node.borrow();
    if caller.scope.is_some() {
        return Err(denied(
            "a process inside a scope cannot start another one",
            "run it from outside the scope",
        ));
    }
    if !callers.may_run(&caller, &agent) {
        return Err(denied(
            format!("you may not run the agent {agent}"),
            format!(
                "root can allow it in the local policy: identities: [{{name: {agent}, allowedUsers: [...]}}]"
            ),
        ));
    }
    if node.draining {
        return Err(denied(
            "the node agent is being ended",
            "start it again with `lanyard up`",
        ));
    }
    if !node.compiler.desired().agents.contains_key(&agent) {
        let known: Vec<String> = node
            .compiler
            .desired()
            .agents
            .keys()
            .map(ToString::to_string)
            .collect();
        let hint = if known.is_empty() {
            "no AgentIdentity is written; write one with `lanyard apply -f`".to_owned()
        } else {
            format!("there are: {}", known.join(", "))
        };
        return Err(denied(format!("there is no AgentIdentity {agent}"), hint));
    }
    Ok(agent)
}

fn admit(
    node: &Shared,
    peer: &Peer,
    agent: ObjectKey,
    file: ArmedFile,
    asked: Run,
    allowance: Allowance,
) -> Result<(u32, Admitted), Denied> {
    let now = Moment::now();
    let mut node = node.borrow_mut();
    let failed = |error: NodeError| {
        if let NodeError::Inherited(why @ InheritedError::LeadsOut { number, .. }) = &error {
            let hint = format!("close it for the command: lanyard run ... {number}>&-");
            return denied(why.to_string(), hint);
        }
        denied(format!("make a scope: {error}"), "see the node agent's log")
    };
    let id = node.make_scope(agent, peer.uid, now).map_err(failed)?;
    let admitted = allow_sockets(&mut node, id, &allowance.unix_sockets)
        .and_then(|()| node.trust(id, &asked.trusted))
        .and_then(|()| node.admit(id, peer.pid, peer.process(), file, asked.path, now));
    if let Err(error) = admitted {
        if let Err(error) = node.forget_scope(id, now) {
            warn!(%error, "a scope that nothing runs in could not be removed yet");
        }
        return Err(failed(error));
    }
    let scope = node
        .scopes
        .get(&id)
        .ok_or_else(|| denied("the scope is gone", ""))?;
    let variables = trust::variables(scope);
    let agent = node.compiler.desired().agents.get(&scope.agent);
    let access = agent.map(|agent| agent.process_access);
    Ok((
        id,
        Admitted {
            scope: scope.name.clone(),
            variables,
            observed: node.is_observed(scope),
            debug: access == Some(ProcessAccess::Debug),
            allowed_paths: allowance.paths,
            minimum_landlock: allowance.minimum_landlock,
        },
    ))
}

/// Before the scope has a process: what the policy lists, and the node agent itself, which an agent may ask why it
/// was refused something. A path that does not fit into an address is in no policy.
fn allow_sockets(node: &mut Node, scope: u32, sockets: &[String]) -> Result<(), NodeError> {
    let own = node.place.control_socket().display().to_string();
    for socket in sockets.iter().chain([&own]) {
        let mut path = [0; unix::PATH];
        // The last byte stays 0: it ends the path.
        let fits = path[..unix::SUN_PATH - 1].get_mut(..socket.len());
        let Some(place) = fits else { continue };
        place.copy_from_slice(socket.as_bytes());
        node.maps.allow_unix_socket(UnixKey { scope, path })?;
    }
    Ok(())
}

/// With what the file is, if it is what it was a moment ago.
fn looked_at(armed: ArmedFile, path: &Path, rules: &Rules, digests: &Digests) -> ArmedFile {
    match file::look_ahead(path, rules, digests) {
        Some((inode, level, children)) if inode == (armed.device, armed.inode) => ArmedFile {
            level: number(level),
            children: number_of_rule(children),
            ..armed
        },
        _ => armed,
    }
}

/// The file the kernel will open, and its path: the command's own, or its interpreter's for a script.
fn file_that_runs(command: &OwnedFd) -> io::Result<(String, ArmedFile)> {
    let mut path = format!("/proc/self/fd/{}", command.as_raw_fd());
    // The kernel follows no more than this many interpreters of interpreters (fs/exec.c, bprm depth).
    for _ in 0..5 {
        match interpreter(&path)? {
            Some(interpreter) => path = interpreter,
            None => break,
        }
    }
    let metadata = fs::metadata(&path)?;
    let device = (major(metadata.dev()) << 20) | minor(metadata.dev());
    let armed = ArmedFile {
        inode: metadata.ino(),
        device,
        level: 0,
        children: 0,
        reserved: 0,
    };
    Ok((path, armed))
}

/// What a script names behind `#!` on its first line.
fn interpreter(path: &str) -> io::Result<Option<String>> {
    // BINPRM_BUF_SIZE, include/uapi/linux/binfmts.h
    let mut first = Vec::new();
    // A look first: opening a pipe waits, and opening a device may act.
    let looked = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if FileType::from_raw_mode(fstat(&looked)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a plain file",
        ));
    }
    let file = File::open(format!("/proc/self/fd/{}", looked.as_raw_fd()))?;
    file.take(256).read_to_end(&mut first)?;
    let Some(line) = first
        .strip_prefix(b"#!")
        .and_then(|rest| rest.split(|byte| *byte == b'\n').next())
    else {
        return Ok(None);
    };
    let words = String::from_utf8_lossy(line).into_owned();
    Ok(words.split_ascii_whitespace().next().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn armed(content: &[u8]) -> ArmedFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file_that_runs(&OwnedFd::from(File::open(file.path()).unwrap()))
            .unwrap()
            .1
    }

    fn of(path: &str) -> ArmedFile {
        file_that_runs(&OwnedFd::from(File::open(path).unwrap()))
            .unwrap()
            .1
    }

    #[test]
    fn a_scripts_interpreter_is_what_runs() {
        assert_eq!(armed(b"#!/bin/sh\necho"), of("/bin/sh"));
        assert_eq!(armed(b"#! /bin/sh -e"), of("/bin/sh"));
    }

    #[test]
    fn any_other_file_runs_itself() {
        assert_ne!(armed(b"\x7fELF"), of("/bin/sh"));
    }

    #[test]
    fn what_is_no_plain_file_is_refused_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::RWXU).unwrap();
        for path in [pipe.as_path(), folder.path(), "/dev/zero".as_ref()] {
            let shown = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
            assert!(file_that_runs(&shown).is_err(), "{}", path.display());
        }
    }

    #[test]
    fn a_missing_interpreter_is_an_error() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"#!/no/such/file\n").unwrap();
        assert!(file_that_runs(&OwnedFd::from(File::open(file.path()).unwrap())).is_err());
    }
}
