//! Which node somebody is, by the SPIFFE ID of their certificate.

use lanyard_access::{
    object::{ObjectName, ParseNameError},
    spiffe_id::{ParseSpiffeIdError, SpiffeId, TrustDomain},
};
use thiserror::Error;

/// Why an ID is that of no node.
#[derive(Debug, Error)]
pub enum NoNode {
    /// It is no SPIFFE ID.
    #[error(transparent)]
    Id(#[from] ParseSpiffeIdError),
    /// Somebody else vouches for it.
    #[error("`{0}` is of another trust domain")]
    TrustDomain(SpiffeId),
    /// It is of something else.
    #[error("`{0}` is not the ID of a node: /lanyard/node/NAME is expected")]
    Path(SpiffeId),
    /// The name in it is none.
    #[error("the name of the node: {0}")]
    Name(#[from] ParseNameError),
}

/// The node that `id` names, if `ours` vouches for it: `spiffe://TRUST_DOMAIN/lanyard/node/NAME`.
pub fn node_of(id: &str, ours: &TrustDomain) -> Result<ObjectName, NoNode> {
    let id: SpiffeId = id.parse()?;
    if id.trust_domain() != ours {
        return Err(NoNode::TrustDomain(id));
    }
    let Some(name) = id.path().strip_prefix("/lanyard/node/") else {
        return Err(NoNode::Path(id));
    };
    Ok(name.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_id_of_a_node_of_ours_names_a_node() {
        let ours = "example.org".parse().unwrap();
        let named = node_of("spiffe://example.org/lanyard/node/worker-1.east", &ours);
        assert_eq!(named.unwrap().as_str(), "worker-1.east");
        for bad in [
            "example.org/lanyard/node/a",
            "spiffe://example.com/lanyard/node/a",
            "spiffe://example.org/ns/a/agent/b",
            "spiffe://example.org/lanyard/node",
            "spiffe://example.org/lanyard/node/a/b",
            "spiffe://example.org/lanyard/node/A",
            "spiffe://example.org/x/lanyard/node/a",
        ] {
            assert!(node_of(bad, &ours).is_err(), "{bad} was taken for a node");
        }
    }
}
