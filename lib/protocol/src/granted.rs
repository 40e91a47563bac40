//! A live grant between the wire and the rules.

use std::num::NonZeroU64;

use jiff::Timestamp;
use lanyard_access::{
    condition::Condition,
    credential::{GrantedCredential, Injection},
    desired::LiveGrant,
    digest::Sha256Digest,
    grant::{self, Limits, Resource, Tls},
    host::ParseHostError,
    http::HttpRule,
    mcp::{McpRule, NamePattern},
    object::{ParseObjectKeyError, Uid},
    port::Port,
};
use thiserror::Error;

use crate::broker::{
    self, BasicInjection, BearerInjection, HeaderInjection, Level, Protocol, QueryInjection,
    injection::Way,
};

/// Why a grant is not understood.
#[derive(Debug, Error)]
pub enum GrantError {
    /// Its key is none.
    #[error("its {0}")]
    Key(ParseObjectKeyError),
    /// The credential's key is none.
    #[error("the credential's {0}")]
    Credential(ParseObjectKeyError),
    /// The host is none.
    #[error("{0}")]
    Host(ParseHostError),
    /// Something else of it is missing or unknown.
    #[error("its {0} is missing or unknown")]
    Field(&'static str),
}

/// The grant as it is sent, with its end in nanoseconds of the boot clock.
pub fn encode(grant: &LiveGrant, ends_at_boot_ns: u64) -> broker::Grant {
    let resource = &grant.resource;
    let credential = grant.credential.as_ref();
    broker::Grant {
        key: grant.key.to_string(),
        uid: grant.uid.to_string(),
        spec_hash: grant.spec_hash.as_bytes().to_vec(),
        requires: Level::from(grant.requires).into(),
        host: resource.host.to_string(),
        port: resource.port.get().into(),
        protocol: Protocol::from(resource.protocol).into(),
        passthrough: resource.tls == Tls::Passthrough,
        http: resource.http.iter().map(encode_rule).collect(),
        conditions: resource.conditions.iter().map(encode_condition).collect(),
        mcp: (resource.protocol == grant::Protocol::Mcp).then(|| encode_mcp(&resource.mcp)),
        allow_private: resource.allow_private,
        ca_bundle: resource.ca_bundle.clone().unwrap_or_default(),
        credential: credential.map_or_else(String::new, |credential| credential.source.to_string()),
        injection: credential.map(|credential| encode_injection(&credential.injection)),
        max_uses: grant.limits.uses.map_or(0, NonZeroU64::get),
        max_bytes: grant.limits.bytes.map_or(0, NonZeroU64::get),
        ends_at_boot_ns,
    }
}

/// The grant as the rules read it. Its end counts the nanoseconds of the boot clock as if they were since
/// 1970.
pub fn decode(grant: broker::Grant) -> Result<LiveGrant, GrantError> {
    let requires = Level::try_from(grant.requires).ok();
    let protocol = Protocol::try_from(grant.protocol).ok();
    let http = grant.http.iter().map(decode_rule);
    let conditions = grant.conditions.into_iter().map(decode_condition);
    Ok(LiveGrant {
        key: grant.key.parse().map_err(GrantError::Key)?,
        uid: Uid::new(grant.uid),
        spec_hash: <[u8; 32]>::try_from(grant.spec_hash)
            .map(Sha256Digest::new)
            .map_err(|_| GrantError::Field("spec hash"))?,
        requires: requires
            .and_then(Level::evidence)
            .ok_or(GrantError::Field("level of evidence"))?,
        credential: decode_credential(&grant.credential, grant.injection)?,
        resource: Resource {
            host: grant.host.parse().map_err(GrantError::Host)?,
            port: Port::new(grant.port.into()).map_err(|_| GrantError::Field("port"))?,
            protocol: protocol
                .and_then(Protocol::granted)
                .ok_or(GrantError::Field("protocol"))?,
            tls: if grant.passthrough {
                Tls::Passthrough
            } else {
                Tls::Terminate
            },
            http: http.collect::<Result<_, _>>()?,
            mcp: decode_mcp(protocol, grant.mcp)?,
            conditions: conditions.collect::<Result<_, _>>()?,
            allow_private: grant.allow_private,
            ca_bundle: Some(grant.ca_bundle).filter(|bundle| !bundle.is_empty()),
        },
        limits: Limits {
            uses: NonZeroU64::new(grant.max_uses),
            bytes: NonZeroU64::new(grant.max_bytes),
        },
        ends_at: from_boot_nanos(grant.ends_at_boot_ns),
    })
}

/// The moment that is so many nanoseconds after the machine started.
pub fn from_boot_nanos(nanos: u64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or(Timestamp::MAX)
}

fn encode_rule(rule: &HttpRule) -> broker::HttpRule {
    broker::HttpRule {
        methods: rule.methods.iter().map(ToString::to_string).collect(),
        path: rule
            .path
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
    }
}

/// A rule that is not understood is no rule, and without rules every request would be allowed.
fn decode_rule(rule: &broker::HttpRule) -> Result<HttpRule, GrantError> {
    let methods = rule.methods.iter().map(|method| method.parse());
    let methods: Result<_, _> = methods.collect();
    let path = Some(rule.path.as_str()).filter(|path| !path.is_empty());
    let path = path.map(str::parse).transpose();
    Ok(HttpRule {
        methods: methods.map_err(|_| GrantError::Field("method"))?,
        path: path.map_err(|_| GrantError::Field("path template"))?,
    })
}

fn encode_condition(condition: &Condition) -> broker::Condition {
    broker::Condition {
        expression: condition.expression.to_string(),
        message: condition.message.clone().unwrap_or_default(),
    }
}

fn decode_condition(condition: broker::Condition) -> Result<Condition, GrantError> {
    Ok(Condition {
        expression: condition
            .expression
            .parse()
            .map_err(|_| GrantError::Field("condition"))?,
        message: Some(condition.message).filter(|message| !message.is_empty()),
    })
}

fn encode_mcp(rule: &McpRule) -> broker::McpRule {
    let texts = |patterns: &[NamePattern]| patterns.iter().map(ToString::to_string).collect();
    broker::McpRule {
        methods: texts(&rule.methods),
        tools: texts(rule.tools.as_deref().unwrap_or_default()),
        any_tool: rule.tools.is_none(),
    }
}

/// Without its rule, a grant for MCP would allow every tool.
fn decode_mcp(
    protocol: Option<Protocol>,
    rule: Option<broker::McpRule>,
) -> Result<McpRule, GrantError> {
    let Some(rule) = rule else {
        return match protocol {
            Some(Protocol::Mcp) => Err(GrantError::Field("rule for MCP")),
            _ => Ok(McpRule::default()),
        };
    };
    let parsed = |texts: &[String]| {
        let patterns: Result<Vec<NamePattern>, _> = texts.iter().map(|text| text.parse()).collect();
        patterns.map_err(|_| GrantError::Field("name in its rule for MCP"))
    };
    Ok(McpRule {
        methods: parsed(&rule.methods)?,
        tools: (!rule.any_tool).then(|| parsed(&rule.tools)).transpose()?,
    })
}

fn encode_injection(injection: &Injection) -> broker::Injection {
    let way = match injection {
        Injection::Bearer => Way::Bearer(BearerInjection {}),
        Injection::Header { name, prefix } => Way::Header(HeaderInjection {
            name: name.to_string(),
            prefix: prefix.clone(),
        }),
        Injection::Basic { username } => Way::Basic(BasicInjection {
            username: username.clone().unwrap_or_default(),
        }),
        Injection::Query { parameter } => Way::Query(QueryInjection {
            parameter: parameter.to_string(),
        }),
    };
    broker::Injection { way: Some(way) }
}

/// A credential without a way to put it in, or the reverse, is no grant.
fn decode_credential(
    key: &str,
    injection: Option<broker::Injection>,
) -> Result<Option<GrantedCredential>, GrantError> {
    let way = match (key, injection) {
        ("", None) => return Ok(None),
        ("", Some(_)) | (_, None) => return Err(GrantError::Field("injection")),
        (_, Some(injection)) => injection.way.ok_or(GrantError::Field("injection"))?,
    };
    let injection = match way {
        Way::Bearer(BearerInjection {}) => Injection::Bearer,
        Way::Header(HeaderInjection { name, prefix }) => Injection::Header {
            name: name.parse().map_err(|_| GrantError::Field("header"))?,
            prefix,
        },
        Way::Basic(BasicInjection { username }) => Injection::Basic {
            username: Some(username).filter(|username| !username.is_empty()),
        },
        Way::Query(QueryInjection { parameter }) => Injection::Query {
            parameter: parameter
                .parse()
                .map_err(|_| GrantError::Field("query parameter"))?,
        },
    };
    Ok(Some(GrantedCredential {
        source: key.parse().map_err(GrantError::Credential)?,
        injection,
    }))
}

#[cfg(test)]
mod tests {
    use lanyard_access::evidence::EvidenceLevel;

    use super::*;

    fn grant() -> LiveGrant {
        LiveGrant {
            key: "default/api".parse().unwrap(),
            uid: Uid::new("u1"),
            spec_hash: Sha256Digest::new([7; 32]),
            requires: EvidenceLevel::Image,
            resource: Resource {
                host: "api.example.com".parse().unwrap(),
                port: Port::new(443).unwrap(),
                protocol: grant::Protocol::Https,
                tls: Tls::Terminate,
                http: vec![
                    HttpRule {
                        methods: ["GET", "POST"].map(|text| text.parse().unwrap()).into(),
                        path: Some("/orders/{id}/**".parse().unwrap()),
                    },
                    HttpRule {
                        methods: [].into(),
                        path: None,
                    },
                ],
                mcp: McpRule::default(),
                conditions: vec![
                    Condition {
                        expression: "request.query == ''".parse().unwrap(),
                        message: Some("no query".into()),
                    },
                    Condition {
                        expression: "request.port < 500".parse().unwrap(),
                        message: None,
                    },
                ],
                allow_private: true,
                ca_bundle: Some("PEM".into()),
            },
            credential: Some(GrantedCredential {
                source: "default/token".parse().unwrap(),
                injection: Injection::Bearer,
            }),
            limits: Limits {
                uses: NonZeroU64::new(3),
                bytes: None,
            },
            ends_at: Timestamp::from_second(5).unwrap(),
        }
    }

    fn sent(change: impl FnOnce(&mut LiveGrant)) -> broker::Grant {
        let mut grant = grant();
        change(&mut grant);
        encode(&grant, 5_000_000_000)
    }

    #[test]
    fn a_grant_arrives_as_it_was_sent() {
        let ways = [
            Injection::Bearer,
            Injection::Header {
                name: "x-api-key".parse().unwrap(),
                prefix: "Token ".into(),
            },
            Injection::Basic { username: None },
            Injection::Basic {
                username: Some("git".into()),
            },
            Injection::Query {
                parameter: "key".parse().unwrap(),
            },
        ];
        for injection in ways {
            let mut grant = grant();
            grant.credential.as_mut().unwrap().injection = injection;
            assert_eq!(decode(encode(&grant, 5_000_000_000)).unwrap(), grant);
        }
        for tools in [None, Some(vec![]), Some(vec!["get_*".parse().unwrap()])] {
            let mut grant = grant();
            grant.resource.protocol = grant::Protocol::Mcp;
            grant.resource.mcp = McpRule {
                methods: vec!["tools/*".parse().unwrap()],
                tools,
            };
            assert_eq!(decode(encode(&grant, 5_000_000_000)).unwrap(), grant);
        }
        let protocols = [
            grant::Protocol::Http,
            grant::Protocol::Tcp,
            grant::Protocol::Udp,
        ];
        for protocol in protocols {
            let mut grant = grant();
            grant.credential = None;
            grant.resource.ca_bundle = None;
            grant.resource.http = Vec::new();
            grant.resource.tls = Tls::Passthrough;
            grant.resource.protocol = protocol;
            assert_eq!(decode(encode(&grant, 5_000_000_000)).unwrap(), grant);
        }
    }

    #[test]
    fn a_grant_that_is_not_understood_is_refused() {
        type Change = fn(&mut broker::Grant);
        let changes: [Change; 20] = [
            |grant| grant.protocol = Protocol::Mcp.into(),
            |grant| grant.key = "a/b/c".into(),
            |grant| grant.spec_hash = vec![7; 31],
            |grant| grant.requires = Level::None.into(),
            |grant| grant.requires = 99,
            |grant| grant.host = "*.example.com".into(),
            |grant| grant.port = 0,
            |grant| grant.port = 65_536,
            |grant| grant.protocol = Protocol::Unspecified.into(),
            |grant| grant.protocol = 99,
            |grant| grant.http[0].path = "orders".into(),
            |grant| grant.http[0].methods[0] = "get".into(),
            |grant| grant.credential = String::new(),
            |grant| grant.credential = "a/b/c".into(),
            |grant| grant.injection = None,
            |grant| grant.injection = Some(broker::Injection { way: None }),
            |grant| {
                grant.injection = Some(broker::Injection {
                    way: Some(Way::Header(HeaderInjection {
                        name: "host".into(),
                        prefix: String::new(),
                    })),
                });
            },
            |grant| {
                grant.injection = Some(broker::Injection {
                    way: Some(Way::Query(QueryInjection {
                        parameter: "a&b".into(),
                    })),
                });
            },
            |grant| grant.http[1].methods.push("TRACE".into()),
            |grant| grant.conditions[1].expression = "request.prot < 500".into(),
        ];
        for (place, change) in changes.into_iter().enumerate() {
            let mut grant = sent(|_| ());
            change(&mut grant);
            assert!(decode(grant).is_err(), "change {place} was accepted");
        }
    }

    #[test]
    fn the_longest_time_has_no_overflow() {
        assert!(from_boot_nanos(u64::MAX) > Timestamp::UNIX_EPOCH);
        assert_eq!(from_boot_nanos(0), Timestamp::UNIX_EPOCH);
    }
}
