//! Which grants of an agent have to do with a destination, and which would open it.

use lanyard_access::{
    condition::Condition,
    desired::{Desired, LiveGrant},
    evidence::EvidenceLevel,
    grant::Protocol,
    host::Host,
    http::HttpRule,
    method::Method,
    object::ObjectKey,
    path::RequestPath,
};
use lanyard_node_agent_abi::virtual_address::is_virtual;

use crate::suggest::{document::GrantDocument, free_name, kernel_address};

/// The port of DNS.
const DNS: u16 = 53;

/// Where something wants to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Goal {
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) protocol: Protocol,
    /// The request, where it is about one.
    pub(super) request: Option<Asked>,
}

/// A request, as it was or would be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) method: String,
    /// Without the query.
    pub(super) path: String,
    /// Empty when there is none, or when it is not known.
    pub(super) query: String,
}

impl Asked {
    /// The narrowest rule for it; nothing when no rule can be.
    fn rule(&self) -> Option<HttpRule> {
        let path = RequestPath::parse(&self.path).ok()?;
        let parts: Vec<&str> = path.parts().collect();
        Some(HttpRule {
            methods: [self.method.parse().ok()?].into(),
            path: Some(format!("/{}", parts.join("/")).parse().ok()?),
        })
    }
}

/// What stands in the way of writing a grant for a goal.
pub(super) const NAMES_NEED_NONE: &str =
    "names are answered within the scope: port 53 needs no grant and cannot have one";

/// What the grants of an agent say of a goal: those for it that are live, and those that give nothing.
pub(super) fn facts(agent: &ObjectKey, goal: &Goal, desired: &Desired) -> Vec<String> {
    let live = desired
        .agents
        .get(agent)
        .map_or(&[][..], |agent| &agent.grants);
    let near = live.iter().filter(|grant| {
        grant.resource.host.opens(&goal.host) && grant.resource.port.get() == goal.port
    });
    let mut facts: Vec<String> = near.map(|grant| of_live(grant, goal)).collect();
    let of_agent = desired
        .grants
        .iter()
        .filter(|(_, standing)| standing.identity == *agent);
    let ended = of_agent.filter(|(key, _)| live.iter().all(|grant| grant.key != **key));
    facts.extend(ended.map(|(key, standing)| {
        format!(
            "AccessGrant {key} gives nothing: {}",
            standing.reason.message()
        )
    }));
    facts
}

fn of_live(grant: &LiveGrant, goal: &Goal) -> String {
    let (granted, wanted) = (grant.resource.protocol, goal.protocol);
    let other = if granted == wanted {
        String::new()
    } else {
        let (granted, wanted) = (granted.as_str(), wanted.as_str());
        format!(", for {granted} and not for {wanted}")
    };
    let network = match &grant.resource.host {
        Host::Network(network) => format!(", for all of {network}"),
        Host::Name(_) | Host::Address(_) => String::new(),
    };
    format!(
        "AccessGrant {} is live until {} and demands the level {}{other}{network}{}{}",
        grant.key,
        grant.ends_at,
        grant.requires,
        rules(&grant.resource.http),
        conditions(&grant.resource.conditions)
    )
}

fn conditions(conditions: &[Condition]) -> String {
    let one = |condition: &Condition| match &condition.message {
        Some(message) => format!("`{}` ({message})", condition.expression),
        None => format!("`{}`", condition.expression),
    };
    if conditions.is_empty() {
        return String::new();
    }
    let conditions: Vec<String> = conditions.iter().map(one).collect();
    format!(", on condition that {}", conditions.join(" and "))
}

fn rules(rules: &[HttpRule]) -> String {
    let one = |HttpRule { methods, path }: &HttpRule| {
        let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
        let methods = if methods.is_empty() {
            "every method".to_owned()
        } else {
            methods.join(" or ")
        };
        let path = path
            .as_ref()
            .map_or_else(|| "every path".to_owned(), ToString::to_string);
        format!("{methods} of {path}")
    };
    if rules.is_empty() {
        return String::new();
    }
    let rules: Vec<String> = rules.iter().map(one).collect();
    format!(", for {}", rules.join("; "))
}

/// The grant that would open a goal for processes of that level, or why there is none.
pub(super) fn document(
    agent: &ObjectKey,
    goal: &Goal,
    requires: Option<EvidenceLevel>,
    desired: &Desired,
) -> Result<GrantDocument, &'static str> {
    if goal.port == DNS {
        return Err(NAMES_NEED_NONE);
    }
    match (&goal.host, goal.protocol) {
        (Host::Name(_), Protocol::Udp) => {
            return Err("the kernel looks up no names: grant the service's address");
        }
        (Host::Address(_) | Host::Network(_), Protocol::Https | Protocol::Http | Protocol::Mcp) => {
            return Err(
                "HTTPS and HTTP need a name, which each request is held to: grant it, or TCP",
            );
        }
        (Host::Address(address), _) if is_virtual(&kernel_address(*address)) => {
            return Err("that address stands for a name within one scope: grant the name");
        }
        _ => {}
    }
    let taken = desired.grants.keys().cloned().collect();
    Ok(GrantDocument {
        key: free_name(agent, &goal.host, goal.port, goal.protocol, &taken),
        agent: agent.clone(),
        host: goal.host.clone(),
        port: goal.port,
        protocol: goal.protocol,
        requires,
        http: goal.request.iter().filter_map(Asked::rule).collect(),
        allow_private: false,
        ca_bundle: None,
        credential: None,
        comments: Vec::new(),
    })
}
