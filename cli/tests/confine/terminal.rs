//! A terminal of one's own, and a program that has it as its controlling terminal.

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::fs::chown,
    process::{Child, Command, ExitStatus},
    time::Instant,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

use crate::sandbox::{DEADLINE, Sandbox};

/// The side of a person.
pub(crate) struct Terminal {
    master: File,
    child: Child,
    seen: String,
}

impl Terminal {
    /// Starts what `command` is in a session of its own.
    pub(crate) fn start(sandbox: &Sandbox, command: &Command) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        chown(name.to_str().unwrap(), Some(sandbox.user), None).unwrap();
        let side = || {
            open(
                &name,
                OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
                Mode::empty(),
            )
            .unwrap()
        };
        // What a shell starts in the background ignores SIGINT (POSIX, Shell Command Language, 2.11), and so would
        // all that these tests start.
        let mut words = vec!["env", "--default-signal", "setsid", "--ctty", "--wait"];
        words.push(command.get_program().to_str().unwrap());
        words.extend(command.get_args().map(|word| word.to_str().unwrap()));
        let child = sandbox
            .outside(&words)
            .env("TERM", "dumb")
            .env("PS1", "ready> ")
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .unwrap();
        Self {
            master: master.into(),
            child,
            seen: String::new(),
        }
    }

    /// Types it.
    pub(crate) fn send(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this was printed, and forgets all up to there.
    pub(crate) fn expect(&mut self, text: &str) {
        let end = Instant::now() + DEADLINE;
        while !self.seen.contains(text) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && self.read(left),
                "no {text:?} in {:?}",
                self.seen
            );
        }
        let after = self.seen.find(text).unwrap() + text.len();
        self.seen.drain(..after);
    }

    fn read(&mut self, left: std::time::Duration) -> bool {
        let left = Timespec::try_from(left).unwrap();
        let mut waiting = [PollFd::new(&self.master, PollFlags::IN)];
        if poll(&mut waiting, Some(&left)).unwrap() == 0 {
            return false;
        }
        let mut bytes = [0; 4096];
        // EIO: everybody has closed the other side.
        let Ok(length) = self.master.read(&mut bytes) else {
            return false;
        };
        self.seen
            .push_str(&String::from_utf8_lossy(&bytes[..length]));
        length > 0
    }

    /// How it ended.
    pub(crate) fn wait(mut self) -> ExitStatus {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "it has not ended: {:?}", self.seen);
            self.read(std::time::Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}
