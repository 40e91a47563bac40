//! A user with a home folder and a project, and a node agent that admits every run.

use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::{
        fs::{PermissionsExt, chown},
        net::UnixListener,
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::Duration,
};

use lanyard_protocol::{
    control::{Admitted, Reply, Request, reply},
    frame,
};
use tempfile::TempDir;

/// Longer than anything here takes: a wait that lasts this long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// A user id that is nobody's.
const ORDINARY: u32 = 61_234;

/// Who runs agents in these tests: root and an ordinary user, or who runs the tests.
pub(crate) fn users() -> Vec<u32> {
    let own = rustix::process::getuid().as_raw();
    if own == 0 {
        vec![0, ORDINARY]
    } else {
        vec![own]
    }
}

/// The last of [`users`], who is not root where both are possible.
pub(crate) fn ordinary() -> u32 {
    users().pop().unwrap()
}

/// A place for one user.
pub(crate) struct Sandbox {
    folder: TempDir,
    pub(crate) user: u32,
}

impl Sandbox {
    /// Makes one whose node agent demands `admitted`.
    pub(crate) fn new(user: u32, admitted: Admitted) -> Self {
        let folder = TempDir::with_prefix("lanyard-confine-").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let sandbox = Self { folder, user };
        sandbox.make_folders();
        let binary = env!("CARGO_BIN_EXE_lanyard");
        // By a child: a file that this process has open for writing cannot be executed.
        let copied = Command::new("cp")
            .arg(binary)
            .arg(sandbox.lanyard())
            .status();
        assert!(copied.unwrap().success());
        let socket = sandbox.at("run/local/control.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
        thread::spawn(move || admit(&listener, &admitted));
        sandbox
    }

    /// One whose node agent demands nothing special.
    pub(crate) fn enforced(user: u32) -> Self {
        Self::new(user, Admitted::default())
    }

    fn make_folders(&self) {
        fs::create_dir_all(self.at("run/local")).unwrap();
        for owned in ["home", "home/work", "home/work/project", "outside"] {
            fs::create_dir(self.at(owned)).unwrap();
            chown(self.at(owned), Some(self.user), Some(self.user)).unwrap();
        }
        fs::set_permissions(self.at("home"), fs::Permissions::from_mode(0o700)).unwrap();
    }

    /// A path of this place.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// A path in the project.
    pub(crate) fn project(&self) -> PathBuf {
        self.at("home/work/project")
    }

    pub(crate) fn lanyard(&self) -> PathBuf {
        self.at("lanyard")
    }

    /// Writes a file of the user, with the folders that lead there.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let file = self.at(path);
        let above: Vec<_> = file.ancestors().skip(1).collect();
        for folder in above.into_iter().rev().filter(|folder| !folder.exists()) {
            fs::create_dir(folder).unwrap();
            chown(folder, Some(self.user), Some(self.user)).unwrap();
        }
        fs::write(&file, content).unwrap();
        chown(&file, Some(self.user), Some(self.user)).unwrap();
        file
    }

    /// A command of the user in the project, not confined.
    pub(crate) fn outside(&self, words: &[&str]) -> Command {
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap())
            .env("HOME", self.at("home"))
            .env("LANYARD_RUN_DIR", self.at("run"))
            .current_dir(self.project());
        if rustix::process::getuid().is_root() {
            command.uid(self.user).gid(self.user);
        }
        command
    }

    /// The same by `lanyard run`.
    pub(crate) fn inside(&self, words: &[&str]) -> Command {
        self.inside_with(&[], words)
    }

    /// With flags of `run`.
    pub(crate) fn inside_with(&self, flags: &[&str], words: &[&str]) -> Command {
        let lanyard = self.lanyard();
        let mut all = vec![lanyard.to_str().unwrap(), "run", "--as", "bot"];
        all.extend(flags);
        all.push("--");
        all.extend(words);
        self.outside(&all)
    }

    /// What a shell prints inside.
    pub(crate) fn shell(&self, script: &str) -> Output {
        self.inside(&["sh", "-c", script]).output().unwrap()
    }

    /// What perl prints inside.
    pub(crate) fn perl(&self, script: &str) -> String {
        printed(&mut self.inside(&["perl", "-e", script]))
    }
}

fn admit(listener: &UnixListener, admitted: &Admitted) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let _: Request = frame::read(&mut stream).unwrap();
        let reply = Some(reply::Reply::Admitted(admitted.clone()));
        frame::write(&mut stream, &Reply { reply }).unwrap();
    }
}

/// What a command that succeeds prints.
pub(crate) fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    text(&output.stdout).trim().to_owned()
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The first file of this name in PATH.
pub(crate) fn found(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap();
    let file = env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| Path::is_file(file));
    file.unwrap_or_else(|| panic!("this test needs `{name}` in PATH"))
}

/// The text of a path.
pub(crate) fn shown(path: &impl AsRef<OsStr>) -> &str {
    path.as_ref().to_str().unwrap()
}
