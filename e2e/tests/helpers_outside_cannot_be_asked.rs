//! Promise 1 on unix sockets: what runs for the user outside a scope would act for an agent that may ask it.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail the test, as the test itself does"
)]

use std::{
    fs, io,
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        net::{UnixDatagram, UnixListener},
    },
    path::{Path, PathBuf},
    process::Command,
};

use lanyard_e2e::{
    manifest::Identity,
    scenes::{Stage, USER},
};

/// Asks each address it is given, in order: how it went, a line each. `send:` is a datagram, `connect:` a datagram
/// socket that is given its peer, `@` an abstract name, and the rest a stream.
const ASK: &str = r#"
import os, socket, sys
for word in sys.argv[1:]:
    try:
        if word.startswith("send:"):
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"?", word[5:])
        elif word.startswith("connect:"):
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).connect(word[8:])
        elif word.startswith("@"):
            socket.socket(socket.AF_UNIX).connect("\0" + word[1:])
        else:
            socket.socket(socket.AF_UNIX).connect(os.fsdecode(word).replace("%00", "\0"))
        print("open", flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
"#;
const REFUSED: &str = "Operation not permitted";

struct Asker {
    stage: Stage,
}

impl Asker {
    fn ready() -> Self {
        let stage = Stage::set().unwrap();
        let identity = Identity::named("asker")
            .program("python", &stage.python, "None")
            .unwrap();
        stage
            .lab
            .write("manifests/asker.yaml", identity.yaml())
            .unwrap();
        stage
            .lanyard
            .until_enforcement("default/asker", "Enforce")
            .unwrap();
        Self { stage }
    }

    /// How each went, from inside the scope.
    fn inside(&self, words: &[String]) -> Vec<String> {
        let python = self.stage.python.display().to_string();
        let mut command = vec![python.as_str(), "-c", ASK];
        command.extend(words.iter().map(String::as_str));
        lines(&mut self.stage.lanyard.run_as("asker", Some(USER), &command))
    }

    /// The same by the same user, who is not the agent.
    fn outside(&self, words: &[String]) -> Vec<String> {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", USER, "--regid", "nogroup", "--clear-groups"])
            .arg(&self.stage.python)
            .args(["-c", ASK])
            .args(words)
            .current_dir(self.project());
        lines(&mut command)
    }

    fn project(&self) -> PathBuf {
        self.stage.lanyard.project(Some(USER))
    }
}

fn lines(command: &mut Command) -> Vec<String> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(str::to_owned).collect()
}

fn listen(path: &Path) -> UnixListener {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    listener
}

fn words(paths: &[&Path]) -> Vec<String> {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect()
}

/// As tmux, ssh-agent, a container engine and a session bus listen; and by name without a file.
#[test]
fn no_socket_that_is_not_listed_is_reached_by_any_way_of_asking() {
    let asker = Asker::ready();
    let project = asker.project();
    let names = ["tmux", "agent.sock", "docker.sock", "bus"].map(|name| project.join(name));
    let _streams: Vec<UnixListener> = names.iter().map(|path| listen(path)).collect();
    let log = project.join("log");
    let _datagrams = UnixDatagram::bind(&log).unwrap();
    fs::set_permissions(&log, fs::Permissions::from_mode(0o777)).unwrap();
    let log = log.display();
    let mut addresses = words(&names.each_ref().map(PathBuf::as_path));
    addresses.extend([
        "tmux".to_owned(),
        "../project/./tmux".to_owned(),
        format!("send:{log}"),
        format!("connect:{log}"),
    ]);
    assert_eq!(asker.outside(&addresses), vec!["open"; addresses.len()]);
    assert_eq!(
        asker.inside(&addresses),
        vec![REFUSED; addresses.len()],
        "{}",
        asker.stage.lanyard.daemon_log()
    );
    let said = asker.stage.lanyard.explain_last("unix socket").unwrap();
    assert!(said.contains("unixSockets"), "{said}");
}

/// The kernel is told a string and resolves it afterwards: whatever else leads to the same place is refused, and
/// what the listed string leads to is not the agent's to change.
#[test]
fn the_listed_socket_is_reached_by_its_own_path_alone() {
    let asker = Asker::ready();
    let listed = asker.stage.listed_socket();
    let secret = listed.with_file_name("secret.sock");
    let _servers = (listen(&listed), listen(&secret));
    let project = asker.project();
    let link = project.join("link.sock");
    symlink(&listed, &link).unwrap();
    let folder = project.join("folder");
    symlink(listed.parent().unwrap(), &folder).unwrap();
    let path = listed.display();
    let other_ways = [
        link.display().to_string(),
        folder.join("listed.sock").display().to_string(),
        format!(
            "{}/../sockets/listed.sock",
            listed.parent().unwrap().display()
        ),
        format!("/{path}"),
        format!("/proc/self/root{path}"),
        secret.display().to_string(),
    ];
    assert_eq!(asker.outside(&other_ways), vec!["open"; other_ways.len()]);
    assert_eq!(asker.inside(&other_ways), vec![REFUSED; other_ways.len()]);

    // What stands behind the first NUL is not looked at, by the kernel neither.
    let listed_ways = [
        path.to_string(),
        format!("{path}%00/../secret.sock"),
        path.to_string(),
    ];
    assert_eq!(
        asker.inside(&listed_ways),
        vec!["open"; listed_ways.len()],
        "{}",
        asker.stage.lanyard.daemon_log()
    );
}

/// A list holds for the agent that the policy gives it to.
#[test]
fn another_agent_does_not_reach_what_is_listed_for_this_one() {
    let asker = Asker::ready();
    let listed = asker.stage.listed_socket();
    let _server = listen(&listed);
    let python = asker.stage.python.display().to_string();
    let path = listed.display().to_string();
    let command = [python.as_str(), "-c", ASK, &path];
    let other = lines(&mut asker.stage.lanyard.run_as("bot", Some(USER), &command));
    assert_eq!(other, [REFUSED]);
    assert_eq!(asker.inside(&[path]), ["open"]);
}

/// An agent may ask why it was refused; and sockets without a name stay as they are.
#[test]
fn the_node_agent_and_socket_pairs_are_reached() {
    const PAIR: &str = r#"
import array, os, socket
a, b = socket.socketpair()
read, write = os.pipe()
a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [write]))])
_, passed, _, _ = b.recvmsg(1, socket.CMSG_SPACE(4))
os.write(array.array("i", passed[0][2])[0], b"through")
print(os.read(read, 7).decode())
"#;
    let asker = Asker::ready();
    let lab = &asker.stage.lab;
    let control = lab.path("run").join(lab.node()).join("control.sock");
    assert_eq!(asker.inside(&words(&[&control])), ["open"]);
    let python = asker.stage.python.display().to_string();
    let command = [python.as_str(), "-c", PAIR];
    let pair = lines(&mut asker.stage.lanyard.run_as("asker", Some(USER), &command));
    assert_eq!(pair, ["through"]);
}

/// A name in the abstract namespace, of a process outside.
#[test]
fn an_abstract_name_is_refused() -> io::Result<()> {
    use std::os::{linux::net::SocketAddrExt as _, unix::net::SocketAddr};

    let asker = Asker::ready();
    let name = format!("lanyard-test-{}", std::process::id());
    let _server = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
    let addresses = [format!("@{name}")];
    assert_eq!(asker.outside(&addresses), ["open"]);
    assert_eq!(asker.inside(&addresses), [REFUSED]);
    let said = asker.stage.lanyard.explain_last(&name).unwrap();
    assert!(said.contains(&format!("@{name}")), "{said}");
    Ok(())
}
