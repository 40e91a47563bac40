//! A node of a lab with Lanyard on it: a node agent in the node's namespaces, a service on the host that says hello, and
//! pods as admission leaves them.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lanyard_access::pod as names;
use serde_json::{Value, json};

use crate::{
    cluster::{
        Cluster,
        image::{BUSYBOX, Image},
    },
    lab, lanyard, wait,
};

/// Longer than a busy machine takes for a pod.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The domain of trust of the lab.
pub const TRUST_DOMAIN: &str = "lab.test";
/// The image of brokers.
const BROKER: &str = "localhost/lanyard-broker:test";
/// The program that agents run in their containers.
pub const BUSYBOX_PROGRAM: &str = "/bin/busybox";

/// The node `n1` of the lab of the tests, with a node agent. Pods and node agent end when this is dropped, and so does
/// enforcement.
pub struct GuardedNode {
    /// The lab.
    pub cluster: Cluster,
    /// Where its files are; certificates are expected in `tls`.
    pub folder: PathBuf,
    /// What listens on the host.
    pub service: SocketAddr,
    operator: String,
    node_agent: Option<Child>,
}

impl GuardedNode {
    /// Brings the lab up with what a node needs beside its node agent. An operator is followed at what `operator` gives,
    /// which is told the host's address and the folder for certificates.
    pub fn start(operator: impl FnOnce(IpAddr, &Path) -> Result<String>) -> Result<Self> {
        let cluster = Cluster::up()?;
        let host = IpAddr::V4(cluster.place().host_address());
        let folder = cluster.place().folder().join("guarded");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(folder.join("bin"))?;
        for program in ["lanyard-node-agent", "lanyard-broker", "lanyard"] {
            fs::copy(lanyard::built(program)?, folder.join("bin").join(program))?;
        }
        let broker = folder.join("bin/lanyard-broker");
        let image = Image::busybox(BROKER).dynamic_program("lanyard-broker", &broker)?;
        cluster.import(1, &image)?;
        cluster.apply(&driver().to_string())?;
        let operator = operator(host, &folder.join("tls"))?;
        let mut node = Self {
            cluster,
            folder,
            service: say_hello(host)?,
            operator,
            node_agent: None,
        };
        node.start_node_agent()?;
        Ok(node)
    }

    /// Starts the node agent, anew after [`Self::kill_node_agent`].
    pub fn start_node_agent(&mut self) -> Result<()> {
        let cgroup = self.cluster.place().node(1).cgroup();
        let path = |name: &str| self.folder.join(name).display().to_string();
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("node-agent.log"))?;
        let program = path("bin/lanyard-node-agent");
        let mut command = self.cluster.in_node(1, program)?;
        command
            .args(["cluster", "--node", "n1", "--trust-domain", TRUST_DOMAIN])
            .args(["--kubelet-cgroup-root", &cgroup])
            .args(["--state", &path("state"), "--run-dir", &path("run")])
            .args(["--tls-dir", &path("tls")])
            .args(["--broker", &path("bin/lanyard-broker")])
            .args(["--operator", &self.operator])
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command.spawn().context("start a node agent")?;
        let out = child.stdout.take().context("it has a stdout")?;
        self.node_agent = Some(child);
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        ensure!(line.trim() == "ready", "the node agent: {}", self.log());
        Ok(())
    }

    /// Ends the node agent with SIGKILL.
    pub fn kill_node_agent(&mut self) -> Result<()> {
        let mut killed = self.node_agent.take().context("a node agent runs")?;
        killed.kill()?;
        killed.wait()?;
        Ok(())
    }

    /// What `lanyard` says to the node's root, who asks its node agent.
    pub fn lanyard(&self, arguments: &[&str]) -> Result<String> {
        let path = |name: &str| self.folder.join(name).display().to_string();
        let mut command = self.cluster.in_node(1, path("bin/lanyard"))?;
        let place = ["--node", "n1", "--run-dir", &path("run")];
        let output = lab::run(command.args(place).args(arguments))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What the node agent logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("node-agent.log")).unwrap_or_default()
    }

    /// A field of a pod.
    pub fn field(&self, pod: &str, path: &str) -> Result<String> {
        let output = format!("--output=jsonpath={path}");
        self.cluster.text(&["get", "pod", pod, &output])
    }

    /// Waits until a pod is ready.
    pub fn until_ready(&self, pod: &str) -> Result<()> {
        let limit = format!("--timeout={}s", PATIENCE.as_secs());
        let ready = ["wait", "--for=condition=Ready", &limit];
        let waited = self
            .cluster
            .text(&[&ready[..], &[&format!("pod/{pod}")]].concat());
        waited
            .map(drop)
            .with_context(|| format!("{}\n{}", self.told_of(pod), self.log()))
    }

    /// What a person would look at of a pod that does not do what it should.
    pub fn told_of(&self, pod: &str) -> String {
        let text = self.cluster.text(&["describe", "pod", pod]);
        let logs = ["logs", pod, "--all-containers", "--tail=50"];
        let logs = self.cluster.text(&logs);
        format!("{}\n{}", text.unwrap_or_default(), logs.unwrap_or_default())
    }

    /// What an agent has said.
    pub fn said(&self, pod: &str) -> Result<String> {
        self.cluster.text(&["logs", pod, "--container=agent"])
    }

    /// How many lines it has said.
    pub fn lines(&self, pod: &str) -> Result<usize> {
        Ok(self.said(pod)?.lines().count())
    }

    /// Waits for a line of an agent with those words, behind the first `after` lines; how many lines that makes.
    pub fn until_said(&self, pod: &str, words: &str, after: usize) -> Result<usize> {
        let said = wait::until(&format!("{pod} says {words}"), PATIENCE, || {
            let log = self.said(pod)?;
            let mut lines = log.lines().skip(after);
            let found = lines.position(|line| line.contains(words));
            Ok(found.map(|found| after + found + 1))
        });
        said.with_context(|| format!("{}\n{}", self.told_of(pod), self.log()))
    }
}

impl GuardedNode {
    /// Takes away what the node agent has pinned: with the last link nothing is enforced.
    fn end_enforcement(&self) -> Result<()> {
        let mut remove = self.cluster.in_node(1, "rm")?;
        lab::run(remove.args(["-rf", "/sys/fs/bpf/lanyard"])).map(drop)
    }
}

impl Drop for GuardedNode {
    fn drop(&mut self) {
        // First the pods, which a driver that is gone keeps from ending: a test may have killed it, and the next one finds
        // the same lab. Each step whether or not the one before worked.
        if self.node_agent.is_none() {
            let _ = self.start_node_agent();
        }
        let all = ["delete", "pods", "--all", "--grace-period=1"];
        let _ = self.cluster.text(&[&all[..], &["--timeout=30s"]].concat());
        let _ = self.kill_node_agent();
        let _ = self.end_enforcement();
    }
}

/// Says hello to whoever comes to a free port of `address`, and keeps each connection.
fn say_hello(address: IpAddr) -> Result<SocketAddr> {
    let listener = TcpListener::bind((address, 0)).context("listen on the host")?;
    let at = listener.local_addr()?;
    thread::spawn(move || {
        let mut kept: Vec<TcpStream> = Vec::new();
        for mut stream in listener.incoming().flatten() {
            // Who hung up hears nothing.
            let _ = stream.write_all(b"hello\n");
            kept.push(stream);
        }
    });
    Ok(at)
}

/// The object by which a kubelet knows how to ask the driver.
fn driver() -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": { "name": names::DRIVER },
        "spec": {
            "attachRequired": false,
            "podInfoOnMount": true,
            "fsGroupPolicy": "None",
            "volumeLifecycleModes": ["Ephemeral"],
            "requiresRepublish": true,
        },
    })
}

/// A pod of the identity `bot` as admission leaves it, whose agent is busybox and does that.
pub fn pod(name: &str, script: &str) -> Value {
    pod_with(BROKER, "/bin/lanyard-broker", name, script)
}

/// The same with another image of the broker, which has the program there.
pub fn pod_with(image: &str, program: &str, name: &str, script: &str) -> Value {
    let confined = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
        "seccompProfile": { "type": "RuntimeDefault" },
        "runAsUser": 65532,
    });
    let volume = |kind: &str| {
        json!({
            "driver": names::DRIVER,
            "readOnly": true,
            "volumeAttributes": { names::VOLUME_KIND: kind },
        })
    };
    let (trust, broker) = (names::TRUST_VOLUME, names::BROKER_VOLUME);
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "labels": { names::IDENTITY: "bot" } },
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "initContainers": [{
                "name": names::BROKER_CONTAINER,
                "image": image,
                "imagePullPolicy": "Never",
                "restartPolicy": "Always",
                "command": [program, "sidecar"],
                "startupProbe": {
                    "exec": { "command": [program, "ready"] },
                    "periodSeconds": 1,
                    "failureThreshold": 60,
                },
                "securityContext": confined,
                "volumeMounts": [{ "name": broker.0, "mountPath": broker.1, "readOnly": true }],
            }],
            "containers": [{
                "name": "agent",
                "image": BUSYBOX,
                "imagePullPolicy": "Never",
                "command": ["sh", "-c", script],
                "securityContext": confined,
                "volumeMounts": [{ "name": trust.0, "mountPath": trust.1, "readOnly": true }],
            }],
            "volumes": [
                { "name": trust.0, "csi": volume(names::TRUST) },
                { "name": broker.0, "csi": volume(names::BROKER) },
            ],
        },
    })
}

/// A script that tries to reach a port of each host, again and again, and says each time what came of it: for the first
/// time at its first instruction.
pub fn trying(hosts: &[&str], port: u16) -> String {
    let hosts = hosts.join(" ");
    format!(
        "while true; do for host in {hosts}; do
           if timeout 5 nc $host {port} < /dev/null 2> /dev/null | grep -q hello; then echo reached $host; else echo refused $host; fi
         done; sleep 0.1; done"
    )
}
