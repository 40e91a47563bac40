//! The programs of others that a cluster is made of, each built from a Go module of `e2e/tools`.

mod build;

use std::path::PathBuf;

use anyhow::Result;

pub use build::ready;

/// A program, and where its source is.
#[derive(Debug, PartialEq, Eq)]
pub struct Tool {
    /// The program's name.
    pub name: &'static str,
    /// The folder in `e2e/tools`.
    module: &'static str,
    /// What is built.
    package: &'static str,
    /// The Go module with the package, when something of it is asked for beside the program.
    origin: &'static str,
    /// Files of that module which are kept beside the program.
    files: &'static [&'static str],
}

/// Where a tool that has been built is.
#[derive(Clone, Debug)]
pub struct Program {
    folder: PathBuf,
    name: &'static str,
}

impl Program {
    #[cfg(test)]
    pub(super) fn in_folder(folder: &std::path::Path, name: &'static str) -> Self {
        let folder = folder.to_owned();
        Self { folder, name }
    }

    /// To be executed. Its path says which source it was built from.
    pub fn path(&self) -> PathBuf {
        self.folder.join(self.name)
    }

    /// A file that came with its source.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join("files").join(name)
    }
}

const KUBERNETES: &str = "k8s.io/kubernetes";

/// The store of the API server.
pub const ETCD: Tool = Tool::new("etcd", "etcd", "go.etcd.io/etcd/server/v3");
/// The API.
pub const API_SERVER: Tool =
    Tool::kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver");
/// What makes objects of objects.
pub const CONTROLLER_MANAGER: Tool = Tool::kubernetes(
    "kube-controller-manager",
    "k8s.io/kubernetes/cmd/kube-controller-manager",
);
/// What gives each pod its node.
pub const SCHEDULER: Tool =
    Tool::kubernetes("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler");
/// What runs the pods of a node.
pub const KUBELET: Tool = Tool::kubernetes("kubelet", "k8s.io/kubernetes/cmd/kubelet");
/// What makes Services reachable.
pub const PROXY: Tool = Tool::kubernetes("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy");
/// What a person uses the API with.
pub const KUBECTL: Tool = Tool::kubernetes("kubectl", "k8s.io/kubernetes/cmd/kubectl");
/// The names of Services.
pub const COREDNS: Tool = Tool::new("coredns", "coredns", "github.com/coredns/coredns");
/// Charts.
pub const HELM: Tool = Tool::new("helm", "helm", "helm.sh/helm/v4/cmd/helm");

/// Nodes that are only objects. The program has no rules built in for what they do; they are in its source.
pub const KWOK: Tool = Tool {
    name: "kwok",
    module: "kwok",
    package: "sigs.k8s.io/kwok/cmd/kwok",
    origin: "sigs.k8s.io/kwok",
    files: &[
        "kustomize/stage/node/fast/node-initialize.yaml",
        "kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
        "kustomize/stage/pod/fast/pod-ready.yaml",
        "kustomize/stage/pod/fast/pod-complete.yaml",
        "kustomize/stage/pod/fast/pod-delete.yaml",
    ],
};

/// What applies a Git repository, without its user interface. No lab starts it by itself.
pub const ARGOCD: Tool = Tool {
    name: "argocd",
    module: "argocd",
    package: "github.com/argoproj/argo-cd/v3/cmd",
    origin: "github.com/argoproj/argo-cd/v3",
    files: &[
        "manifests/crds/application-crd.yaml",
        "manifests/crds/applicationset-crd.yaml",
        "manifests/crds/appproject-crd.yaml",
    ],
};

/// What every lab needs, what takes longest first.
pub const OF_EVERY_LAB: [&Tool; 9] = [
    &API_SERVER,
    &CONTROLLER_MANAGER,
    &KUBELET,
    &KUBECTL,
    &SCHEDULER,
    &PROXY,
    &ETCD,
    &COREDNS,
    &HELM,
];

/// What is built only when it is asked for.
pub const OF_SOME_LABS: [&Tool; 2] = [&KWOK, &ARGOCD];

impl Tool {
    const fn new(name: &'static str, module: &'static str, package: &'static str) -> Self {
        Self {
            name,
            module,
            package,
            origin: "",
            files: &[],
        }
    }

    const fn kubernetes(name: &'static str, package: &'static str) -> Self {
        Self::new(name, "controlplane", package)
    }

    /// The tool of that name.
    pub fn named(name: &str) -> Result<&'static Self> {
        let all = OF_EVERY_LAB.into_iter().chain(OF_SOME_LABS);
        let found = all.clone().find(|tool| tool.name == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = all.map(|tool| tool.name).collect();
            anyhow::anyhow!("there is no tool {name:?}: they are {}", names.join(", "))
        })
    }

    /// What the linker writes into it. Kubernetes takes its version from there, and without one calls itself 0.0.0,
    /// which clients refuse.
    fn link_flags(&self, go_mod: &str) -> String {
        const STRIPPED: &str = "-s -w";
        let version = required(go_mod, KUBERNETES).filter(|_| self.package.starts_with(KUBERNETES));
        let Some(version) = version else {
            return STRIPPED.to_owned();
        };
        let mut numbers = version.trim_start_matches('v').split('.');
        let (major, minor) = (numbers.next().unwrap_or(""), numbers.next().unwrap_or(""));
        let variable = "-X k8s.io/component-base/version.git";
        format!(
            "{STRIPPED} {variable}Version={version} {variable}Major={major} {variable}Minor={minor}"
        )
    }
}

/// The version that a `go.mod` requires of a module.
fn required<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let mut words = line
            .split_whitespace()
            .skip_while(|word| *word == "require");
        (words.next() == Some(module))
            .then(|| words.next())
            .flatten()
            .filter(|version| version.starts_with('v'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GO_MOD: &str = "module m\n\ngo 1.26.0\n\ntool k8s.io/kubernetes/cmd/kubelet\n\nrequire (\n\tk8s.io/kubernetes v1.36.2 // indirect\n)\n\nreplace k8s.io/api => k8s.io/api v0.36.2\n";

    #[test]
    fn kubernetes_is_told_its_version() {
        let flags = KUBELET.link_flags(GO_MOD);
        assert!(flags.contains("gitVersion=v1.36.2 "), "{flags}");
        assert!(
            flags.contains("gitMajor=1 ") && flags.ends_with("gitMinor=36"),
            "{flags}"
        );
        assert_eq!(ETCD.link_flags(GO_MOD), "-s -w");
    }

    #[test]
    fn a_version_is_found_in_a_block_and_on_a_line() {
        assert_eq!(required(GO_MOD, "k8s.io/kubernetes"), Some("v1.36.2"));
        assert_eq!(required("require a.b/c v1.0.0\n", "a.b/c"), Some("v1.0.0"));
        assert_eq!(required(GO_MOD, "k8s.io/api"), None);
    }

    #[test]
    fn every_tool_has_its_module() {
        for tool in OF_EVERY_LAB.into_iter().chain(OF_SOME_LABS) {
            let folder = build::source(tool);
            assert!(folder.join("go.sum").is_file(), "{}", tool.name);
            let go_mod = std::fs::read_to_string(folder.join("go.mod")).unwrap();
            assert!(go_mod.contains(tool.package), "{}", tool.name);
            let module = format!("module lanyard.dev/e2e/tools/{}\n", tool.module);
            assert!(go_mod.starts_with(&module), "{}", tool.name);
        }
    }
}
