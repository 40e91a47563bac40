//! Which pods run where, and as what.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use lanyard_access::{
    object::{ContainerName, ObjectKey, ObjectName, Uid},
    pod,
    port::Port,
};
use lanyard_protocol::nodes::{DeclaredPort, NodePod, Transport};

use crate::gather::pod::{ContainerPort, Pod};

/// The pods that have an identity, by their node.
#[derive(Debug, Default)]
pub struct Pods {
    places: BTreeMap<ObjectKey, (ObjectName, Uid)>,
    by_node: BTreeMap<ObjectName, BTreeMap<Uid, Arc<NodePod>>>,
    by_agent: BTreeMap<ObjectKey, BTreeMap<ObjectName, usize>>,
}

impl Pods {
    /// The pods of a node.
    pub fn on(&self, node: &ObjectName) -> impl Iterator<Item = &Arc<NodePod>> {
        self.by_node
            .get(node)
            .into_iter()
            .flat_map(BTreeMap::values)
    }

    /// The nodes that run an agent.
    pub fn nodes_of(&self, agent: &ObjectKey) -> impl Iterator<Item = &ObjectName> {
        self.by_agent
            .get(agent)
            .into_iter()
            .flat_map(BTreeMap::keys)
    }

    /// The nodes that have any.
    pub fn nodes(&self) -> impl Iterator<Item = &ObjectName> {
        self.by_node.keys()
    }

    /// How many pods have an identity.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The keys of all of them.
    pub fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.places.keys()
    }

    /// Notes a pod as it is now, or that it is gone; the nodes and agents that this touches.
    pub fn put(&mut self, key: &ObjectKey, pod: Option<(ObjectName, NodePod)>) -> Touched {
        let mut touched = Touched::default();
        if let Some((node, uid)) = self.places.get(key).cloned() {
            let old = self.by_node.get(&node).and_then(|pods| pods.get(&uid));
            if let (Some(old), Some((new_node, new))) = (old, &pod)
                && **old == *new
                && node == *new_node
            {
                return touched;
            }
            self.remove(key, &node, &uid, &mut touched);
        }
        if let Some((node, pod)) = pod {
            if let Some(agent) = pod.identity_key() {
                let nodes = self.by_agent.entry(agent.clone()).or_default();
                *nodes.entry(node.clone()).or_default() += 1;
                touched.agents.insert(agent);
            }
            self.places
                .insert(key.clone(), (node.clone(), pod.uid.clone()));
            let pods = self.by_node.entry(node.clone()).or_default();
            pods.insert(pod.uid.clone(), Arc::new(pod));
            touched.nodes.insert(node);
        }
        touched
    }

    fn remove(&mut self, key: &ObjectKey, node: &ObjectName, uid: &Uid, touched: &mut Touched) {
        self.places.remove(key);
        touched.nodes.insert(node.clone());
        let Some(pods) = self.by_node.get_mut(node) else {
            return;
        };
        let removed = pods.remove(uid);
        if pods.is_empty() {
            self.by_node.remove(node);
        }
        let Some(agent) = removed.and_then(|pod| pod.identity_key()) else {
            return;
        };
        if let Some(nodes) = self.by_agent.get_mut(&agent) {
            if let Some(count) = nodes.get_mut(node) {
                *count -= 1;
                if *count == 0 {
                    nodes.remove(node);
                }
            }
            if nodes.is_empty() {
                self.by_agent.remove(&agent);
            }
        }
        touched.agents.insert(agent);
    }
}

/// What a change of pods touches.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Nodes that have to know.
    pub nodes: BTreeSet<ObjectName>,
    /// Agents that run on more or fewer of them.
    pub agents: BTreeSet<ObjectKey>,
}

/// The pod as its node has to know it, and which node that is. Nothing for a pod without an identity,
/// without a node yet, or whose processes have all ended.
pub fn read(pod: &Pod) -> Option<(ObjectName, NodePod)> {
    let metadata = &pod.metadata;
    let has_ended = matches!(pod.status.phase.as_deref(), Some("Succeeded" | "Failed"));
    if has_ended {
        return None;
    }
    let node = pod.spec.node_name.as_deref()?.parse().ok()?;
    let identity = metadata.labels.as_ref()?.get(pod::IDENTITY)?;
    let identity: ObjectName = identity.parse().ok()?;
    let account = pod.spec.service_account_name.as_deref();
    let all = || pod.spec.init_containers.iter().chain(&pod.spec.containers);
    let names = all().filter_map(|container| container.name.parse::<ContainerName>().ok());
    let (exempt_containers, containers): (BTreeSet<_>, BTreeSet<_>) =
        names.partition(|name| name.as_str() == pod::BROKER_CONTAINER);
    let mut volumes = pod.spec.volumes.iter();
    let read = NodePod {
        uid: Uid::new(metadata.uid.clone()?),
        key: key_of(pod)?,
        service_account: account.unwrap_or("default").parse().ok()?,
        identity: Some(identity),
        containers,
        exempt_containers,
        has_volumes: volumes.any(|volume| {
            let csi = volume.csi.as_ref();
            csi.is_some_and(|csi| csi.driver == pod::DRIVER)
        }),
        ports: all()
            .flat_map(|container| &container.ports)
            .filter_map(port)
            .collect(),
    };
    Some((node, read))
}

/// Namespace and name of a pod.
pub fn key_of(pod: &Pod) -> Option<ObjectKey> {
    Some(ObjectKey {
        namespace: pod.metadata.namespace.as_deref()?.parse().ok()?,
        name: pod.metadata.name.as_deref()?.parse().ok()?,
    })
}

fn port(port: &ContainerPort) -> Option<DeclaredPort> {
    Some(DeclaredPort {
        number: Port::new(port.container_port).ok()?,
        transport: match port.protocol.as_deref() {
            None | Some("TCP") => Transport::Tcp,
            Some("UDP") => Transport::Udp,
            Some(_) => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(change: impl FnOnce(&mut serde_json::Value)) -> Pod {
        let mut value = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "bot-0", "namespace": "team", "uid": "u1",
                "labels": { "lanyard.dev/identity": "bot" },
            },
            "spec": {
                "nodeName": "n1",
                "initContainers": [{ "name": "lanyard-broker" }],
                "containers": [{
                    "name": "agent", "image": "x",
                    "ports": [
                        { "containerPort": 80 },
                        { "containerPort": 53, "protocol": "UDP" },
                        { "containerPort": 9, "protocol": "SCTP" },
                    ],
                }],
                "volumes": [
                    { "name": "a", "emptyDir": {} },
                    { "name": "b", "csi": { "driver": "csi.lanyard.dev" } },
                ],
            },
            "status": { "phase": "Running" },
        });
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_node_learns_of_a_pod_what_it_has_to_know() {
        let (node, read) = read(&pod(|_| ())).unwrap();
        assert_eq!(node.as_str(), "n1");
        assert_eq!(read.key.to_string(), "team/bot-0");
        assert_eq!(read.identity_key().unwrap().to_string(), "team/bot");
        assert_eq!(read.service_account.as_str(), "default");
        assert!(read.has_volumes);
        let names = |names: &BTreeSet<ContainerName>| -> Vec<String> {
            names.iter().map(ToString::to_string).collect()
        };
        assert_eq!(names(&read.containers), ["agent"]);
        assert_eq!(names(&read.exempt_containers), ["lanyard-broker"]);
        let ports: Vec<_> = read.ports.iter().map(|port| port.number.get()).collect();
        assert_eq!(ports, [53, 80]);
    }

    #[test]
    fn a_pod_without_identity_node_or_processes_is_nobodys() {
        let changes: [fn(&mut serde_json::Value); 5] = [
            |pod| pod["metadata"]["labels"] = json!({}),
            |pod| pod["metadata"]["labels"]["lanyard.dev/identity"] = json!("No Name"),
            |pod| pod["spec"]["nodeName"] = json!(null),
            |pod| pod["status"]["phase"] = json!("Succeeded"),
            |pod| pod["status"]["phase"] = json!("Failed"),
        ];
        for (place, change) in changes.into_iter().enumerate() {
            assert!(read(&pod(change)).is_none(), "change {place}");
        }
        assert!(
            !read(&pod(|pod| pod["spec"]["volumes"] = json!([])))
                .unwrap()
                .1
                .has_volumes
        );
    }

    #[test]
    fn nodes_and_agents_follow_their_pods() {
        let mut pods = Pods::default();
        let key: ObjectKey = "team/bot-0".parse().unwrap();
        let at = |node: &str, uid: &str| {
            read(&pod(|pod| {
                pod["spec"]["nodeName"] = json!(node);
                pod["metadata"]["uid"] = json!(uid);
            }))
        };
        let agent = "team/bot".parse().unwrap();
        let nodes = |pods: &Pods| -> Vec<String> {
            pods.nodes_of(&agent).map(ToString::to_string).collect()
        };
        pods.put(&key, at("n1", "u1"));
        assert_eq!(nodes(&pods), ["n1"]);
        assert_eq!(pods.put(&key, at("n1", "u1")), Touched::default());
        // A second life of the same name, elsewhere.
        let touched = pods.put(&key, at("n2", "u2"));
        assert_eq!(touched.nodes.len(), 2);
        assert_eq!(nodes(&pods), ["n2"]);
        assert_eq!(pods.on(&"n1".parse().unwrap()).count(), 0);
        pods.put(&"team/bot-1".parse().unwrap(), at("n2", "u3"));
        pods.put(&key, None);
        assert_eq!(nodes(&pods), ["n2"]);
        pods.put(&"team/bot-1".parse().unwrap(), None);
        assert!(nodes(&pods).is_empty() && pods.is_empty());
    }
}
