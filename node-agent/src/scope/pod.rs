//! A pod, and the cgroups that a kubelet makes for it.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    str::FromStr,
};

use lanyard_access::{
    object::{Namespace, ObjectName},
    pod::BROKER_SOCKET,
};
use lanyard_node_agent_abi::unix::{self, UnixKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why text is not the uid of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not the uid of a pod: 8 to 64 lower-case hexadecimal digits and `-`")]
pub struct ParsePodUidError(String);

/// The uid of a pod: of the API server (a UUID), or of a kubelet for the static pods of its folder (32 digits). It is part
/// of paths.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PodUid(String);

impl PodUid {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PodUid {
    type Err = ParsePodUidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
        if (8..=64).contains(&text.len()) && text.bytes().all(is_digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParsePodUidError(text.chars().take(64).collect()))
        }
    }
}

impl TryFrom<String> for PodUid {
    type Error = ParsePodUidError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PodUid> for String {
    fn from(uid: PodUid) -> Self {
        uid.0
    }
}

impl fmt::Display for PodUid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Which pod it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pod {
    /// This life of it.
    pub uid: PodUid,
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub name: ObjectName,
}

/// The folders that a kubelet makes below its root for a pod, by the pod's class of service and by who makes cgroups:
/// the kubelet itself (`cgroupfs`), or systemd.
fn places(uid: &PodUid) -> [PathBuf; 6] {
    let plain = format!("pod{uid}");
    let escaped = uid.as_str().replace('-', "_");
    let kubepods = Path::new("kubepods");
    let slice = Path::new("kubepods.slice");
    let of_class = |class: &str| {
        slice
            .join(format!("kubepods-{class}.slice"))
            .join(format!("kubepods-{class}-pod{escaped}.slice"))
    };
    [
        kubepods.join("besteffort").join(&plain),
        kubepods.join("burstable").join(&plain),
        kubepods.join(&plain),
        of_class("besteffort"),
        of_class("burstable"),
        slice.join(format!("kubepods-pod{escaped}.slice")),
    ]
}

/// The cgroup of a pod, which the kubelet makes and removes as it sees fit.
#[derive(Debug, Clone)]
pub struct PodCgroup {
    places: [PathBuf; 6],
}

impl PodCgroup {
    /// Of a pod, below the root of its kubelet in the hierarchy of version 2.
    pub fn of(uid: &PodUid, root: &Path) -> Self {
        Self {
            places: places(uid).map(|place| root.join(place)),
        }
    }

    /// The names that its cgroup can have, by which the kernel knows it when it is made.
    pub fn names(&self) -> Vec<String> {
        let names = self.places.iter().filter_map(|place| place.file_name());
        let mut names: Vec<String> = names
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// It, and what is in it, if it is there: the pod's own first, by their ids.
    pub fn ids(&self) -> io::Result<Vec<u64>> {
        let Some(pod) = self.folder() else {
            return Ok(Vec::new());
        };
        let mut ids = vec![fs::metadata(pod)?.ino()];
        below(pod, &mut |folder| {
            ids.push(fs::metadata(folder)?.ino());
            Ok(())
        })?;
        Ok(ids)
    }

    /// Whether any process is in it. Unsure means yes.
    pub fn is_populated(&self) -> bool {
        self.folder().is_some_and(|pod| {
            fs::read_to_string(pod.join("cgroup.events")).map_or_else(
                |error| error.kind() != io::ErrorKind::NotFound,
                |events| events.lines().any(|line| line == "populated 1"),
            )
        })
    }

    /// Its processes.
    pub fn processes(&self) -> Vec<u32> {
        let mut all = Vec::new();
        let mut read = |folder: &Path| {
            let text = fs::read_to_string(folder.join("cgroup.procs"))?;
            all.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
            Ok(())
        };
        if let Some(pod) = self.folder() {
            // What goes meanwhile has no processes.
            let _ = read(pod).and_then(|()| below(pod, &mut read));
        }
        all
    }

    fn folder(&self) -> Option<&Path> {
        let found = self.places.iter().find(|place| place.is_dir());
        found.map(PathBuf::as_path)
    }
}

/// The key by which the kernel lets the processes of a scope reach the socket of their broker. No other container has
/// it at that path, and whoever comes there is attested.
pub fn socket_key(scope: u32) -> UnixKey {
    let mut path = [0; unix::PATH];
    path[..BROKER_SOCKET.len()].copy_from_slice(BROKER_SOCKET.as_bytes());
    UnixKey { scope, path }
}

fn below(folder: &Path, each: &mut impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            each(&entry.path())?;
            below(&entry.path(), each)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lanyard_node_agent_abi::pod::CGROUP_NAME;

    use super::*;

    const UID: &str = "0f6e8d5a-6f0e-4a57-9d1c-1f2b3c4d5e6f";

    fn uid() -> PodUid {
        UID.parse().unwrap()
    }

    /// As kubelets, containerd and CRI-O write them into `/proc/PID/cgroup`, without the container.
    const CAPTURED: [(&str, &str); 6] = [
        (
            "cgroupfs",
            "kubepods/besteffort/pod0f6e8d5a-6f0e-4a57-9d1c-1f2b3c4d5e6f",
        ),
        (
            "cgroupfs",
            "kubepods/burstable/pod0f6e8d5a-6f0e-4a57-9d1c-1f2b3c4d5e6f",
        ),
        (
            "cgroupfs",
            "kubepods/pod0f6e8d5a-6f0e-4a57-9d1c-1f2b3c4d5e6f",
        ),
        (
            "systemd",
            "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod0f6e8d5a_6f0e_4a57_9d1c_1f2b3c4d5e6f.slice",
        ),
        (
            "systemd",
            "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0f6e8d5a_6f0e_4a57_9d1c_1f2b3c4d5e6f.slice",
        ),
        (
            "systemd",
            "kubepods.slice/kubepods-pod0f6e8d5a_6f0e_4a57_9d1c_1f2b3c4d5e6f.slice",
        ),
    ];

    #[test]
    fn the_layouts_of_kubelets_are_known() {
        let places = places(&uid()).map(|place| place.display().to_string());
        for (driver, path) in CAPTURED {
            assert!(places.iter().any(|place| place == path), "{driver}: {path}");
        }
        for name in PodCgroup::of(&uid(), Path::new("/")).names() {
            assert!(name.len() < CGROUP_NAME, "{name}");
        }
    }

    #[test]
    fn the_path_of_the_socket_fits_into_an_address() {
        let key = socket_key(7);
        let path = key.path.split(|byte| *byte == 0).next().unwrap();
        assert_eq!(path, BROKER_SOCKET.as_bytes());
        assert!(BROKER_SOCKET.len() < unix::SUN_PATH);
    }

    #[test]
    fn a_pod_is_found_with_what_is_in_it() {
        let root = tempfile::tempdir().unwrap();
        let pod = PodCgroup::of(&uid(), root.path());
        assert_eq!(pod.ids().unwrap(), [0_u64; 0]);
        assert!(!pod.is_populated());
        let folder = root.path().join(CAPTURED[4].1);
        fs::create_dir_all(folder.join("cri-containerd-abc.scope/inner")).unwrap();
        let ids = pod.ids().unwrap();
        assert_eq!(ids.len(), 3);
        assert_eq!(ids[0], fs::metadata(&folder).unwrap().ino());
        fs::write(folder.join("cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
        assert!(pod.is_populated());
        fs::write(folder.join("cgroup.procs"), "").unwrap();
        let inner = folder.join("cri-containerd-abc.scope");
        fs::write(inner.join("cgroup.procs"), "7\n").unwrap();
        fs::write(inner.join("inner/cgroup.procs"), "8\n").unwrap();
        assert_eq!(pod.processes(), [7, 8]);
    }

    #[test]
    fn what_is_no_uid_is_part_of_no_path() {
        for text in [
            "",
            "short",
            "../../etc/passwd",
            "0f6e8d5a/6f0e",
            "0F6E8D5A-6F0E",
        ] {
            assert!(text.parse::<PodUid>().is_err(), "{text}");
        }
        assert!("0".repeat(65).parse::<PodUid>().is_err());
        assert!("0f6e8d5a6f0e4a579d1c1f2b3c4d5e6f".parse::<PodUid>().is_ok());
    }
}
