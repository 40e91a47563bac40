//! A process that tries what it is told to try.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        OnceLock,
        mpsc::{Receiver, channel},
    },
    thread,
};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::{Value, json};

use super::{destination::Destination, wait::LIMIT};

const SCRIPT: &str = include_str!("actor.py");

/// The file that an actor executes; its own path, for what is found on the `PATH` may be a script.
pub(crate) fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let question = "import os, sys; print(os.path.realpath(sys.executable))";
        let output = Command::new("python3")
            .args(["-I", "-S", "-c", question])
            .output();
        let output = output.expect("run python3");
        PathBuf::from(
            String::from_utf8(output.stdout)
                .expect("a path in UTF-8")
                .trim_end(),
        )
    })
}

/// A shell that executes an actor when it is told to. Until then it can be put where it belongs.
pub(crate) struct Gate {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl Gate {
    pub(crate) fn start() -> Self {
        Self::of(&mut Self::shell())
    }

    /// One under a seccomp filter, and without a way to gain privileges, as `lanyard run` leaves its command.
    pub(crate) fn start_confined() -> Self {
        let mut shell = Self::shell();
        #[expect(unsafe_code, reason = "only the child itself can confine itself")]
        // SAFETY: the function calls the kernel and allocates nothing.
        unsafe {
            shell.pre_exec(confine);
        }
        Self::of(&mut shell)
    }

    /// One whose actor is the first process of a namespace of processes, as a container's is. What it executes itself
    /// before is outside of that, as what a container runtime executes is.
    pub(crate) fn start_runtime() -> Self {
        Self::of(&mut Self::shell_of(&[
            "unshare",
            "--pid",
            "--fork",
            "--kill-child",
        ]))
    }

    fn shell() -> Command {
        Self::shell_of(&[])
    }

    fn shell_of(runtime: &[&str]) -> Command {
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", "echo; read _ && exec \"$@\"", "sh"])
            .args(runtime)
            .arg(python())
            .args(["-I", "-S", "-u", "-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        shell
    }

    fn of(shell: &mut Command) -> Self {
        let mut child = shell.spawn().expect("start a shell");
        let stdin = child.stdin.take().expect("its standard input");
        let mut stdout = child.stdout.take().expect("its standard output");
        // A process exists before its execution is over: put into a scope in between, it would have executed
        // the shell there.
        stdout.read_exact(&mut [0]).expect("a sign of life");
        Self {
            child,
            stdin,
            stdout,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A descriptor of the process.
    pub(crate) fn pidfd(&self) -> OwnedFd {
        pidfd(self.pid())
    }

    /// Ends it before it has executed anything.
    pub(crate) fn end(mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Executes the actor and waits until it listens.
    pub(crate) fn open(mut self) -> Actor {
        self.stdin.write_all(b"\n").expect("open the gate");
        let (sender, answers) = channel();
        thread::spawn(move || {
            for line in BufReader::new(self.stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut actor = Actor {
            pid: self.child.id(),
            exec_id: 0,
            child: self.child,
            commands: self.stdin,
            answers,
        };
        assert_eq!(actor.finish(), Ok(json!("ready")));
        actor
    }
}

/// `no_new_privs`, and a filter that refuses nothing: that there is one is what the kernel programs see.
fn confine() -> io::Result<()> {
    /// `BPF_RET | BPF_K`
    const RETURN: u16 = 0x06;
    let mut allow = libc::sock_filter {
        code: RETURN,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_ALLOW,
    };
    let filter = libc::sock_fprog {
        len: 1,
        filter: &raw mut allow,
    };
    #[expect(unsafe_code, reason = "no safe wrapper")]
    // SAFETY: integers, and a filter of one instruction that lives through the call.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                0,
                &raw const filter,
            ) == 0
    };
    if done {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// A process that runs Python code. Names are kept from one piece of code to the next.
pub(crate) struct Actor {
    /// Its thread group.
    pub(crate) pid: u32,
    /// The image it runs, if it is in a scope.
    pub(crate) exec_id: u64,
    child: Child,
    commands: ChildStdin,
    answers: Receiver<String>,
}

impl Actor {
    /// Runs code, and returns the value of an expression, or the name of the error it met.
    pub(crate) fn attempt(&mut self, code: &str) -> Result<Value, String> {
        self.begin(code);
        self.finish()
    }

    /// Runs code that must succeed.
    pub(crate) fn run(&mut self, code: &str) -> Value {
        self.attempt(code)
            .unwrap_or_else(|error| panic!("{error} from: {code}"))
    }

    /// Runs code, and lets the test go on.
    pub(crate) fn begin(&mut self, code: &str) {
        let line = format!("{}\n", json!(code));
        self.commands
            .write_all(line.as_bytes())
            .expect("write to an actor");
    }

    /// What the code came to.
    pub(crate) fn finish(&mut self) -> Result<Value, String> {
        let line = self
            .answers
            .recv_timeout(LIMIT)
            .expect("an answer of an actor");
        let answer: Value = serde_json::from_str(&line).expect("an answer in JSON");
        match (answer.get("value"), answer.get("error")) {
            (Some(value), _) => Ok(value.clone()),
            (None, Some(error)) => Err(error.as_str().unwrap_or_default().to_owned()),
            (None, None) => panic!("a mistake in a test's code: {answer}"),
        }
    }

    /// Connects a TCP socket, by the name `s` from now on.
    pub(crate) fn connect(&mut self, to: &Destination) -> Result<(), String> {
        let code = format!("s = connect({:?}, {})", to.host(), to.port());
        self.attempt(&code).map(drop)
    }

    /// Sends on the socket `s`.
    pub(crate) fn send(&mut self, text: &str) {
        self.run(&format!("s.sendall({text:?}.encode())"));
    }

    /// Receives so many bytes from the socket `s`.
    pub(crate) fn receive(&mut self, length: usize) -> Result<String, String> {
        let code = format!("s.recv({length}, socket.MSG_WAITALL).decode()");
        self.attempt(&code)
            .map(|text| text.as_str().unwrap_or_default().to_owned())
    }

    /// The address and the port that the socket `s` says it is connected to.
    pub(crate) fn peer(&mut self) -> (String, u16) {
        let answer = self.run("s.getpeername()[:2]");
        let port = answer[1].as_u64().and_then(|port| u16::try_from(port).ok());
        (
            answer[0].as_str().unwrap_or_default().to_owned(),
            port.unwrap_or(0),
        )
    }

    /// Executes its own program again.
    pub(crate) fn execute_again(&mut self) {
        self.begin("os.execv(sys.executable, sys.orig_argv)");
        assert_eq!(self.finish(), Ok(json!("ready")));
    }

    /// Ends it.
    pub(crate) fn end(mut self) {
        self.kill();
    }

    pub(crate) fn pidfd(&self) -> OwnedFd {
        pidfd(self.pid)
    }

    fn kill(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.kill();
    }
}

fn pidfd(pid: u32) -> OwnedFd {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pidfd_open(pid.expect("the number of a process"), PidfdFlags::empty()).expect("open a process")
}
