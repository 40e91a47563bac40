//! A pod between the wire and the node.

use std::collections::BTreeSet;

use lanyard_access::{
    object::{ContainerName, ObjectKey, ObjectName, Uid},
    port::Port,
};

use super::{
    NodesError,
    agent::{decode_containers, decode_uid, encode_containers},
    wire,
};

/// A pod, as far as its node has to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePod {
    /// This life of the pod.
    pub uid: Uid,
    /// Namespace and name.
    pub key: ObjectKey,
    /// The service account that it runs as.
    pub service_account: ObjectName,
    /// The name of the identity stamped on it, which stands in its namespace.
    pub identity: Option<ObjectName>,
    /// Containers that are the agent's.
    pub containers: BTreeSet<ContainerName>,
    /// Containers that are not.
    pub exempt_containers: BTreeSet<ContainerName>,
    /// Whether it has the volumes of the node agent.
    pub has_volumes: bool,
    /// Ports that its containers declare.
    pub ports: BTreeSet<DeclaredPort>,
}

/// A port that a container declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeclaredPort {
    /// Its number.
    pub number: Port,
    /// What it is a port of.
    pub transport: Transport,
}

/// What a port is of. SCTP, which no agent may speak, is not declared to nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl NodePod {
    /// The identity stamped on it.
    pub fn identity_key(&self) -> Option<ObjectKey> {
        let name = self.identity.clone()?;
        let namespace = self.key.namespace.clone();
        Some(ObjectKey { namespace, name })
    }

    /// The pod as it is sent.
    pub fn encode(&self) -> wire::Pod {
        wire::Pod {
            uid: self.uid.to_string(),
            namespace: self.key.namespace.to_string(),
            name: self.key.name.to_string(),
            service_account: self.service_account.to_string(),
            identity: self
                .identity
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
            containers: encode_containers(&self.containers),
            exempt_containers: encode_containers(&self.exempt_containers),
            has_volumes: self.has_volumes,
            ports: self.ports.iter().copied().map(encode_port).collect(),
        }
    }

    /// The pod as it was sent.
    pub fn decode(pod: wire::Pod) -> Result<Self, NodesError> {
        let object_name = |name: &str, what| {
            let name = name.parse::<ObjectName>();
            name.map_err(|error| NodesError::Name(error, what))
        };
        let namespace = pod.namespace.parse();
        let identity = Some(pod.identity).filter(|identity| !identity.is_empty());
        let identity = identity.map(|name| object_name(&name, "name of a pod's identity"));
        let containers = decode_containers(pod.containers)?;
        let exempt_containers = decode_containers(pod.exempt_containers)?;
        if !containers.is_disjoint(&exempt_containers) {
            return Err(NodesError::Order("pod's containers"));
        }
        Ok(Self {
            uid: decode_uid(pod.uid, "pod's uid")?,
            key: ObjectKey {
                namespace: namespace
                    .map_err(|error| NodesError::Name(error, "namespace of a pod"))?,
                name: object_name(&pod.name, "name of a pod")?,
            },
            service_account: object_name(&pod.service_account, "name of a service account")?,
            identity: identity.transpose()?,
            containers,
            exempt_containers,
            has_volumes: pod.has_volumes,
            ports: (pod.ports.into_iter().map(decode_port)).collect::<Result<_, _>>()?,
        })
    }
}

fn encode_port(port: DeclaredPort) -> wire::DeclaredPort {
    wire::DeclaredPort {
        number: port.number.get().into(),
        transport: match port.transport {
            Transport::Tcp => wire::Transport::Tcp,
            Transport::Udp => wire::Transport::Udp,
        }
        .into(),
    }
}

fn decode_port(port: wire::DeclaredPort) -> Result<DeclaredPort, NodesError> {
    let transport = match wire::Transport::try_from(port.transport) {
        Ok(wire::Transport::Tcp) => Transport::Tcp,
        Ok(wire::Transport::Udp) => Transport::Udp,
        Ok(wire::Transport::Unspecified) | Err(_) => {
            return Err(NodesError::Field("transport of a declared port"));
        }
    };
    let number = Port::new(port.number.into());
    Ok(DeclaredPort {
        number: number.map_err(|_| NodesError::Field("declared port"))?,
        transport,
    })
}
