//! The charts as Helm renders them, without a cluster: what they say with which values, and what none of it may say.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail the test, as the test itself does"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

use lanyard_e2e::cluster::{
    Progress,
    tool::{self, HELM},
};
use serde_json::{Value, json};
use tempfile::TempDir;

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/lanyard");
const KINDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/lanyard-crds");
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chart");

/// Built once, whichever test comes first.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let built = tool::ready(&[&HELM], &Progress::start()).unwrap();
    built[0].path()
});

fn helm(arguments: &[&str]) -> Output {
    let folder = TempDir::new().unwrap();
    let mut helm = Command::new(PROGRAM.as_path());
    for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        helm.env(name, folder.path());
    }
    helm.args(arguments).output().unwrap()
}

/// What is installed, as text; the oldest Kubernetes that the chart is for decides.
fn rendered(arguments: &[&str]) -> Result<String, String> {
    let fixed = [
        "template",
        "lanyard",
        CHART,
        "--namespace=lanyard-system",
        "--kube-version=1.33.0",
    ];
    let output = helm(&[&fixed[..], arguments].concat());
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

fn objects(arguments: &[&str]) -> Vec<Value> {
    let text = rendered(arguments).unwrap();
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    objects.into_iter().filter(Value::is_object).collect()
}

/// With what everybody gets, and with everything else.
fn all_objects() -> Vec<Value> {
    [objects(&[]), objects(&["--values", &values("everything")])].concat()
}

fn values(name: &str) -> String {
    format!("{FILES}/values/{name}.yaml")
}

fn name_of(object: &Value) -> String {
    let text = |pointer| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("")
    };
    format!(
        "{} {}/{}",
        text("/kind"),
        text("/metadata/namespace"),
        text("/metadata/name")
    )
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects
        .iter()
        .filter(|object| object["kind"] == kind)
        .collect()
}

/// Compares, or writes when it is told to: `UPDATE_GOLDEN=1 cargo test -p lanyard-e2e --test cluster_charts`.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the one setting of a test that also writes what it compares with"
)]
fn what_is_rendered_is_what_was_looked_at() {
    for name in ["plain", "everything"] {
        let text = rendered(&["--values", &values(name)]).unwrap();
        let file = PathBuf::from(format!("{FILES}/golden/{name}.yaml"));
        if std::env::var("UPDATE_GOLDEN").is_ok() {
            fs::write(&file, &text).unwrap();
        }
        let golden = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            text == golden,
            "{} is not what is rendered; UPDATE_GOLDEN=1 writes it anew, and `git diff` shows what changed",
            file.display()
        );
    }
}

#[test]
fn helm_finds_no_fault() {
    for chart in [CHART, KINDS] {
        let output = helm(&["lint", "--strict", chart]);
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn values_that_are_wrong_are_refused_by_name() {
    for (set, says) in [
        ("trustDomain=Not A Domain", "trustDomain"),
        ("trustDomain=", "trustDomain"),
        ("operator.replica=3", "replica"),
        ("operator.replicas=0", "/operator/replicas"),
        ("webhook.replicas=two", "/webhook/replicas"),
        ("authority.secretNamespaces={Team_A}", "secretNamespaces"),
        (
            "image.digests.operator=sha256:12",
            "/image/digests/operator",
        ),
        ("image.digests.brokers=", "brokers"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("image.registry=", "/image/registry"),
        // YAML takes it for a number, which a tag is not.
        ("image.tag=7", "/image/tag"),
        ("nodeAgent.maxUnavailable=0", "maxUnavailable"),
        ("nodeAgent.maxUnavailable=0%", "maxUnavailable"),
        ("nodeAgent.kubeletDir=var/lib/kubelet", "kubeletDir"),
        ("nodeAgent.enabled=maybe", "/nodeAgent/enabled"),
        ("networkPolicies.apiServerPorts={0}", "apiServerPorts"),
        ("nodeagent.enabled=false", "nodeagent"),
    ] {
        let error = rendered(&["--set", set]).expect_err(set);
        assert!(error.contains(says), "{set}: {error}");
    }
}

#[test]
fn what_the_schema_knows_is_what_the_values_say() {
    let values = fs::read_to_string(Path::new(CHART).join("values.yaml")).unwrap();
    let values: Value = serde_saphyr::from_str(&values).unwrap();
    let schema = fs::read_to_string(Path::new(CHART).join("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    same_keys("", &values, &schema);
}

fn same_keys(path: &str, values: &Value, schema: &Value) {
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    assert_eq!(schema["additionalProperties"], false, "{path}");
    let values = values.as_object().unwrap();
    let described: BTreeSet<&String> = properties
        .keys()
        .filter(|key| !(path.is_empty() && *key == "global"))
        .collect();
    assert_eq!(described, values.keys().collect(), "{path}");
    for (key, value) in values {
        same_keys(&format!("{path}/{key}"), value, &properties[key]);
    }
}

#[test]
fn each_switch_takes_away_what_it_names() {
    for (switch, kinds) in [
        ("nodeAgent.enabled", &["DaemonSet", "CSIDriver"][..]),
        ("networkPolicies.enabled", &["NetworkPolicy"]),
        ("podDisruptionBudgets.enabled", &["PodDisruptionBudget"]),
    ] {
        let with = objects(&[]);
        let without = objects(&["--set", &format!("{switch}=false")]);
        for kind in kinds {
            assert!(!of_kind(&with, kind).is_empty(), "{switch}: {kind}");
            assert!(of_kind(&without, kind).is_empty(), "{switch}: {kind}");
        }
    }
    let people = "lanyard-granter";
    assert!(rendered(&[]).unwrap().contains(people));
    let without = objects(&["--set", "clusterRoles.enabled=false"]);
    assert!(
        without
            .iter()
            .all(|object| object["metadata"]["name"] != people)
    );
}

#[test]
fn a_digest_counts_and_not_the_tag() {
    let image = |arguments: &[&str]| {
        let objects = objects(arguments);
        let set = of_kind(&objects, "DaemonSet")[0];
        set["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    assert_eq!(image(&[]), "localhost/lanyard/node-agent:0.1.0");
    assert_eq!(
        image(&["--set", "image.tag=v7,image.registry=r.test/x"]),
        "r.test/x/lanyard/node-agent:v7"
    );
    let digest = format!("sha256:{}", "ab".repeat(32));
    let set = format!("image.tag=v7,image.digests.node-agent={digest}");
    assert_eq!(
        image(&["--set", &set]),
        format!("localhost/lanyard/node-agent@{digest}")
    );
}

#[test]
fn every_object_is_known_as_one_of_lanyards_and_is_there_once() {
    for arguments in [&[][..], &["--values", &values("everything")]] {
        let objects = objects(arguments);
        let names: BTreeSet<String> = objects.iter().map(name_of).collect();
        assert_eq!(names.len(), objects.len(), "{names:?}");
        for object in &objects {
            let name = name_of(object);
            let metadata = &object["metadata"];
            assert_eq!(
                metadata["labels"]["app.kubernetes.io/name"], "lanyard",
                "{name}"
            );
            assert_eq!(
                metadata["labels"]["app.kubernetes.io/instance"], "lanyard",
                "{name}"
            );
            // The order in which Argo CD applies them.
            assert!(
                metadata["annotations"]["argocd.argoproj.io/sync-wave"].is_string(),
                "{name}"
            );
            if !arguments.is_empty() {
                assert_eq!(metadata["labels"]["team"], "platform", "{name}");
                assert_eq!(
                    metadata["annotations"]["example.org/owner"], "platform",
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn nobody_is_given_everything() {
    let objects = all_objects();
    let rules = objects
        .iter()
        .filter_map(|object| Some((object, object["rules"].as_array()?)));
    let mut seen = 0;
    for (object, rule) in
        rules.flat_map(|(object, rules)| rules.iter().map(move |rule| (object, rule)))
    {
        if !matches!(object["kind"].as_str(), Some("Role" | "ClusterRole")) {
            continue;
        }
        seen += 1;
        let name = name_of(object);
        let has = |key: &str, word: &str| {
            let words = rule[key].as_array();
            words.is_some_and(|words| words.iter().any(|one| one == word))
        };
        for key in ["apiGroups", "resources", "verbs", "nonResourceURLs"] {
            assert!(!has(key, "*"), "{name}: {key}");
        }
        for verb in ["escalate", "bind", "impersonate"] {
            assert!(!has("verbs", verb), "{name}: {verb}");
        }
        // Secrets only by name, or in the namespaces that somebody listed.
        let in_all = object["kind"] == "ClusterRole" && has("resources", "secrets");
        assert!(!in_all, "{name}: the secrets of every namespace");
    }
    assert!(seen > 5, "{seen}");
}

/// The node agent has to be; what else there is must do with what restricted pod security lets in.
#[test]
fn only_the_node_agent_is_privileged() {
    let objects = all_objects();
    let sets = of_kind(&objects, "DaemonSet");
    let pod = &sets[0]["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["securityContext"]["privileged"], true);
    assert_eq!(pod["hostPID"], true);
    assert!(pod["hostNetwork"].is_null());
    assert_eq!(pod["automountServiceAccountToken"], false);
    for deployment in of_kind(&objects, "Deployment") {
        let name = name_of(deployment);
        let pod = &deployment["spec"]["template"]["spec"];
        for shared in ["hostPID", "hostNetwork", "hostIPC"] {
            assert!(pod[shared].as_bool() != Some(true), "{name}: {shared}");
        }
        for volume in pod["volumes"].as_array().into_iter().flatten() {
            assert!(volume["hostPath"].is_null(), "{name}: {volume}");
        }
        for container in pod["containers"].as_array().unwrap() {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{name}");
        }
    }
}

#[test]
fn a_node_has_one_node_agent_at_a_time_and_no_other_pod_before_it() {
    let objects = all_objects();
    for set in of_kind(&objects, "DaemonSet") {
        let update = &set["spec"]["updateStrategy"]["rollingUpdate"];
        assert_eq!(update["maxSurge"], 0);
        let tolerations = &set["spec"]["template"]["spec"]["tolerations"];
        let startup = json!({ "key": "lanyard.dev/not-ready", "operator": "Exists" });
        assert!(tolerations.as_array().unwrap().contains(&startup));
    }
}

/// What asks the cluster, draws lots or reads a clock is another text at each look, which `GitOps` would apply for ever.
#[test]
fn nothing_is_rendered_that_another_look_would_not_render() {
    const NEVER: [&str; 9] = [
        "lookup",
        "genCA",
        "genSigned",
        "genSelfSigned",
        "genPrivateKey",
        "rand",
        "uuidv4",
        "now",
        "Revision",
    ];
    let mut folders = vec![PathBuf::from(CHART).join("templates")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            seen += 1;
            let text = fs::read_to_string(&path).unwrap();
            for action in text
                .split("{{")
                .skip(1)
                .filter_map(|rest| rest.split("}}").next())
            {
                let mut words = action.split(|c: char| !c.is_ascii_alphanumeric());
                let found = words.find(|word| NEVER.iter().any(|never| word.starts_with(never)));
                // Comments may say why not.
                assert!(
                    found.is_none()
                        || action
                            .trim_start_matches('-')
                            .trim_start()
                            .starts_with("/*"),
                    "{}: {action}",
                    path.display()
                );
            }
        }
    }
    assert!(seen > 5, "{seen}");
    assert_eq!(rendered(&[]).unwrap(), rendered(&[]).unwrap());
}
