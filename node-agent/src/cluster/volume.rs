//! Which volume a kubelet means: what it says is read once, and its paths go nowhere but where a kubelet mounts.

use std::{
    collections::HashMap,
    path::{Component, Path, PathBuf},
};

use lanyard_access::pod as names;
use thiserror::Error;

use crate::scope::pod::{Pod, PodUid};

/// Keys of a volume's context (`csi.storage.k8s.io/...`, k8s.io/kubernetes pkg/volume/csi).
const EPHEMERAL: &str = "csi.storage.k8s.io/ephemeral";
const POD_NAME: &str = "csi.storage.k8s.io/pod.name";
const POD_NAMESPACE: &str = "csi.storage.k8s.io/pod.namespace";
const POD_UID: &str = "csi.storage.k8s.io/pod.uid";

/// Below the folder of a pod, the name of the folder with its volumes of this kind.
const CSI_FOLDER: &str = "kubernetes.io~csi";

/// Why a request is none that this driver answers.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum VolumeError {
    /// It was made as a volume of its own.
    #[error("the driver {} serves inline volumes of pods alone", names::DRIVER)]
    NotInline,
    /// The kubelet does not say which pod it is for.
    #[error(
        "the kubelet does not say the pod's {0}; the CSIDriver object must have podInfoOnMount: true"
    )]
    NoPod(&'static str),
    /// The volume is of no known kind.
    #[error(
        "the volume attribute {} must be `{}` or `{}`, but is `{found}`",
        names::VOLUME_KIND,
        names::TRUST,
        names::BROKER
    )]
    Kind {
        /// What was written.
        found: String,
    },
    /// The place to mount it is not where this kubelet mounts volumes of that pod.
    #[error("the target path is not one of that pod's volumes: {0}")]
    Target(String),
}

/// What is in a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// What every container of the pod trusts.
    Trust,
    /// The socket to the node agent, for the broker.
    Broker,
}

/// A volume to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Volume {
    /// For whom.
    pub(super) pod: Pod,
    /// What.
    pub(super) kind: Kind,
    /// Where.
    pub(super) target: PathBuf,
}

impl Volume {
    /// Reads what a kubelet says; `kubelet` is its folder.
    pub(super) fn of(
        context: &HashMap<String, String>,
        target: &str,
        kubelet: &Path,
    ) -> Result<Self, VolumeError> {
        if context.get(EPHEMERAL).map(String::as_str) != Some("true") {
            return Err(VolumeError::NotInline);
        }
        let said = |key: &str| context.get(key).map_or("", String::as_str);
        let pod = Pod {
            uid: said(POD_UID)
                .parse()
                .map_err(|_| VolumeError::NoPod("uid"))?,
            namespace: said(POD_NAMESPACE)
                .parse()
                .map_err(|_| VolumeError::NoPod("namespace"))?,
            name: said(POD_NAME)
                .parse()
                .map_err(|_| VolumeError::NoPod("name"))?,
        };
        let kind = match said(names::VOLUME_KIND) {
            names::TRUST => Kind::Trust,
            names::BROKER => Kind::Broker,
            found => {
                return Err(VolumeError::Kind {
                    found: found.chars().take(64).collect(),
                });
            }
        };
        if pod_of(target, kubelet).as_ref() != Some(&pod.uid) {
            return Err(VolumeError::Target(target.to_owned()));
        }
        Ok(Self {
            pod,
            kind,
            target: target.into(),
        })
    }
}

/// The pod that a target path is of: `KUBELET/pods/UID/volumes/kubernetes.io~csi/VOLUME/mount`.
pub(super) fn pod_of(target: &str, kubelet: &Path) -> Option<PodUid> {
    let below = Path::new(target).strip_prefix(kubelet.join("pods")).ok()?;
    let mut parts = below.components().map(|part| match part {
        Component::Normal(part) => part.to_str(),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => {
            None
        }
    });
    let mut next = || parts.next().flatten();
    let (uid, volumes, kind) = (next()?, next()?, next()?);
    let (_volume, mount) = (next()?, next()?);
    let fits = volumes == "volumes" && kind == CSI_FOLDER && mount == "mount";
    (fits && parts.next().is_none())
        .then(|| uid.parse().ok())
        .flatten()
}

/// The places of all volumes of that kind of a pod.
pub(super) fn targets_of(uid: &PodUid, kubelet: &Path) -> Vec<PathBuf> {
    let folder = kubelet
        .join("pods")
        .join(uid.as_str())
        .join("volumes")
        .join(CSI_FOLDER);
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().join("mount")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KUBELET: &str = "/var/lib/kubelet";
    const UID: &str = "0f6e8d5a-6f0e-4a57-9d1c-1f2b3c4d5e6f";

    /// As a kubelet of 1.36 sends it.
    fn context(kind: &str) -> HashMap<String, String> {
        let pairs = [
            (EPHEMERAL, "true"),
            (POD_NAME, "agent-0"),
            (POD_NAMESPACE, "payments"),
            (POD_UID, UID),
            ("csi.storage.k8s.io/serviceAccount.name", "default"),
            (names::VOLUME_KIND, kind),
        ];
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        pairs.into()
    }

    fn target(uid: &str) -> String {
        format!("{KUBELET}/pods/{uid}/volumes/kubernetes.io~csi/lanyard-trust/mount")
    }

    fn read(context: &HashMap<String, String>, target: &str) -> Result<Volume, VolumeError> {
        Volume::of(context, target, Path::new(KUBELET))
    }

    #[test]
    fn what_a_kubelet_says_is_understood() {
        for (kind, expected) in [("trust", Kind::Trust), ("broker", Kind::Broker)] {
            let volume = read(&context(kind), &target(UID)).unwrap();
            assert_eq!(volume.kind, expected);
            assert_eq!(volume.pod.uid.as_str(), UID);
            assert_eq!(volume.pod.namespace.as_str(), "payments");
            assert_eq!(volume.pod.name.as_str(), "agent-0");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (key, error) in [
            (EPHEMERAL, VolumeError::NotInline),
            (POD_UID, VolumeError::NoPod("uid")),
            (POD_NAMESPACE, VolumeError::NoPod("namespace")),
            (POD_NAME, VolumeError::NoPod("name")),
            (
                names::VOLUME_KIND,
                VolumeError::Kind {
                    found: String::new(),
                },
            ),
        ] {
            let mut context = context("trust");
            context.remove(key);
            assert_eq!(read(&context, &target(UID)), Err(error), "{key}");
        }
        let error = read(&context("yes"), &target(UID)).unwrap_err().to_string();
        assert!(
            error.contains("`trust` or `broker`, but is `yes`"),
            "{error}"
        );
    }

    #[test]
    fn a_target_elsewhere_is_refused() {
        let other = "1f6e8d5a-6f0e-4a57-9d1c-1f2b3c4d5e6f";
        let deep = target(UID) + "/more";
        let up = format!("{KUBELET}/pods/{UID}/volumes/kubernetes.io~csi/../mount");
        for place in [
            "",
            "/etc",
            "mount",
            &target(other),
            &deep,
            &up,
            &format!("{KUBELET}/pods/{UID}/volumes/kubernetes.io~empty-dir/x/mount"),
            &format!("/other/pods/{UID}/volumes/kubernetes.io~csi/x/mount"),
        ] {
            let error = read(&context("trust"), place);
            assert!(matches!(error, Err(VolumeError::Target(_))), "{place}");
        }
    }
}
