//! A place of its own for one story: a folder, a node name, and a second host in a network namespace.

use std::{
    fs, io,
    net::TcpStream,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            fs::PermissionsExt as _,
            net::{SocketAddr, UnixListener},
        },
    },
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use crate::wait;

/// One lab. What it made is gone when it is dropped.
pub struct Lab {
    folder: TempDir,
    number: u32,
    /// Held for as long as the number is this lab's.
    _claim: UnixListener,
    namespace: String,
}

impl Lab {
    /// Makes the folder and the second host. Needs root.
    pub fn new() -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "needs root, for network namespaces and the kernel programs"
        );
        let folder = tempfile::Builder::new()
            .prefix("lanyard-lab-")
            .tempdir()
            .context("make a folder for the lab")?;
        // Agents of other users are in it.
        open_to_all(folder.path())?;
        let (number, claim) = claim_number()?;
        let lab = Self {
            folder,
            number,
            _claim: claim,
            namespace: format!("lanyard-lab-{number}"),
        };
        lab.clear();
        lab.make_host()?;
        Ok(lab)
    }

    /// The node's name.
    pub fn node(&self) -> String {
        format!("lab-{}", self.number)
    }

    /// A path in the lab's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file that everybody may read.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
            open_to_all(parent)?;
        }
        fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// Copies a program into the lab, where every user can execute it.
    pub fn copy_program(&self, from: &Path, name: &str) -> Result<PathBuf> {
        let content = fs::read(from).with_context(|| format!("read {}", from.display()))?;
        let path = self.write(name, content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    /// The second host's address.
    pub fn address(&self) -> String {
        format!("10.77.{}.2", self.number)
    }

    /// Gives the second host an IPv6 address too, which it returns.
    pub fn add_v6(&self) -> Result<String> {
        let other = format!("lanyardr{}", self.number);
        let address = |host: u8| format!("fd77:{:x}::{host}", self.number);
        let (near, far) = (format!("{}/64", address(1)), format!("{}/64", address(2)));
        ip(&["address", "add", &near, "dev", &self.link(), "nodad"])?;
        ip(&[
            "-n",
            &self.namespace,
            "address",
            "add",
            &far,
            "dev",
            &other,
            "nodad",
        ])?;
        Ok(address(2))
    }

    /// Waits until something on the second host listens there.
    pub fn until_listens(&self, port: u16) -> Result<()> {
        let address = format!("{}:{port}", self.address());
        let what = format!("somebody listens at {address}");
        wait::until(&what, Duration::from_secs(30), || {
            Ok(TcpStream::connect(&address).ok())
        })
        .map(drop)
    }

    /// A command on the second host.
    pub fn on_host(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace])
            .arg(program.as_ref());
        command
    }

    fn link(&self) -> String {
        format!("lanyardl{}", self.number)
    }

    fn make_host(&self) -> Result<()> {
        let (own, other) = (self.link(), format!("lanyardr{}", self.number));
        let near = format!("10.77.{}.1/30", self.number);
        let far = format!("{}/30", self.address());
        let namespace = self.namespace.as_str();
        ip(&["netns", "add", namespace])?;
        ip(&[
            "link", "add", &own, "type", "veth", "peer", "name", &other, "netns", namespace,
        ])?;
        ip(&["address", "add", &near, "dev", &own])?;
        ip(&["link", "set", &own, "up"])?;
        ip(&["-n", namespace, "address", "add", &far, "dev", &other])?;
        ip(&["-n", namespace, "link", "set", &other, "up"])?;
        ip(&["-n", namespace, "link", "set", "lo", "up"])
    }

    fn clear(&self) {
        // Missing is as good as removed.
        let _ = Command::new("ip")
            .args(["link", "delete", &self.link()])
            .output();
        let _ = Command::new("ip")
            .args(["netns", "delete", &self.namespace])
            .output();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A number that no other lab of this machine has: it names the host, its addresses and the node. What a lab
/// left that was killed is cleared away by the next one of its number.
fn claim_number() -> Result<(u32, UnixListener)> {
    for number in 0..250 {
        // An abstract name: it is gone with this process, however that ends.
        let name = SocketAddr::from_abstract_name(format!("lanyard-lab-{number}"))?;
        match UnixListener::bind_addr(&name) {
            Ok(claim) => return Ok((number, claim)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error).context("claim a number for a lab"),
        }
    }
    bail!("every number for a lab is taken")
}

fn open_to_all(folder: &Path) -> Result<()> {
    let open = fs::set_permissions(folder, fs::Permissions::from_mode(0o755));
    open.with_context(|| format!("open {} to all users", folder.display()))
}

fn ip(arguments: &[&str]) -> Result<()> {
    run(Command::new("ip").args(arguments)).map(drop)
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) -> Result<Output> {
    let output = command
        .output()
        .with_context(|| format!("start {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?} failed: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output)
}

/// `command`, executed by another one.
pub fn wrapped(mut wrapper: Command, command: &Command) -> Command {
    wrapper.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapper.env(name, value),
            None => wrapper.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        wrapper.current_dir(folder);
    }
    wrapper
}
