//! What a broker may ask its node agent, and the answers.

use std::{net::IpAddr, time::Duration};

use lanyard_access::{desired::LiveGrant, host::DnsName, object::ObjectKey};
use lanyard_protocol::{
    broker::{
        Answer, Attestation, Call, Intermediate, LeaseBytes, Leased, Level, Noted, Observed,
        Recorded, ReturnBytes, SignIntermediate, answer, call,
    },
    record::{Event, GrantRef, Outcome, ScopeRef},
};

use super::secrets;
use crate::{
    images::KnownImage,
    kernel::clock::Moment,
    node::{Connected, Node, Shared},
    usage::{self, Ask, UsageError},
};

/// How long a broker waits for an attestation. The kernel holds a connection a little longer.
const PATIENCE: Duration = Duration::from_secs(8);

/// Answers one call of the broker of `scope`.
pub(super) async fn answer(node: &Shared, scope: u32, connected: &Connected, call: Call) -> Answer {
    let answered = match call.call {
        Some(call::Call::AwaitAttestation(asked)) => {
            Ok(attestation(node, scope, asked.exec_id).await)
        }
        Some(call::Call::GetSecret(asked)) => secrets::of_grant(node, scope, &asked)
            .await
            .map(answer::Answer::Secret),
        Some(call::Call::GetProxySecret(asked)) => secrets::of_proxy(node, asked.refused_version)
            .await
            .map(answer::Answer::Secret),
        Some(call::Call::SignIntermediate(asked)) => {
            intermediate(node, scope, &asked).map(answer::Answer::Intermediate)
        }
        Some(call::Call::Record(event)) => record(node, scope, connected, &event)
            .await
            .map(answer::Answer::Recorded),
        Some(call::Call::LeaseBytes(LeaseBytes { grant, wanted })) => {
            bytes(node, scope, &grant, Ask::Bytes(wanted)).await
        }
        Some(call::Call::ReturnBytes(ReturnBytes {
            grant,
            bytes: unused,
        })) => bytes(node, scope, &grant, Ask::Return(unused)).await,
        Some(call::Call::Observed(told)) => observed(node, scope, &told).map(answer::Answer::Noted),
        None => Err("the call is not understood".to_owned()),
    };
    Answer {
        id: call.id,
        answer: Some(answered.unwrap_or_else(answer::Answer::Failed)),
    }
}

/// The broker may have heard of an image before its execution was told here.
async fn until_known(node: &Shared, exec_id: u64) {
    const LOOK: Duration = Duration::from_millis(20);
    let is_unknown = || {
        let node = node.borrow();
        node.images.get(exec_id).is_none() && node.maps.is_live(exec_id).unwrap_or(false)
    };
    while is_unknown() {
        tokio::time::sleep(LOOK).await;
    }
}

async fn attestation(node: &Shared, scope: u32, exec_id: u64) -> answer::Answer {
    // Out of time is answered below as not observed.
    let _ = tokio::time::timeout(PATIENCE / 2, until_known(node, exec_id)).await;
    let settled = {
        let node = node.borrow();
        let image = node
            .images
            .get(exec_id)
            .filter(|image| image.event.scope == scope);
        image.map(KnownImage::settled)
    };
    if let Some(mut settled) = settled {
        // Ended or out of time is answered below as not observed.
        let _ = tokio::time::timeout(PATIENCE / 2, settled.wait_for(|settled| *settled)).await;
    }
    let node = node.borrow();
    let image = node
        .images
        .get(exec_id)
        .filter(|image| image.event.scope == scope);
    let Some((image, verdict)) = image.and_then(|image| Some((image, image.verdict.as_ref()?)))
    else {
        let reason = lanyard_access::reason::AttestationReason::NotObserved.to_string();
        return answer::Answer::Attestation(Attestation {
            level: Level::None.into(),
            reason,
            process: String::new(),
        });
    };
    let (level, reason) = match verdict.level {
        Ok(level) => (Level::from(level), String::new()),
        Err(reason) => (Level::None, reason.to_string()),
    };
    let process = serde_json::to_string(&image.process()).unwrap_or_default();
    answer::Answer::Attestation(Attestation {
        level: level.into(),
        reason,
        process,
    })
}

fn intermediate(
    node: &Shared,
    scope: u32,
    asked: &SignIntermediate,
) -> Result<Intermediate, String> {
    let node = node.borrow();
    let known = node.scopes.get(&scope).ok_or("the scope is gone")?;
    let state = node.state_of(scope).ok_or("the scope is gone")?;
    let names: Result<Vec<DnsName>, _> = state
        .names
        .iter()
        .map(|binding| binding.name.parse())
        .collect();
    let names = names.map_err(|error| error.to_string())?;
    let now = Moment::now().wall.as_second();
    let signed = known
        .root
        .sign_intermediate(&asked.public_key, &names, now)
        .map_err(|error| error.to_string())?;
    Ok(Intermediate {
        chain: signed.chain,
        not_after: signed.not_after,
    })
}

/// Records what a broker did. It speaks for its own scope alone, and of nothing but names, the connections
/// it holds, and requests.
async fn record(
    node: &Shared,
    scope: u32,
    connected: &Connected,
    text: &str,
) -> Result<Recorded, String> {
    let mut event: Event = serde_json::from_str(text)
        .map_err(|error| format!("the event is not understood: {error}"))?;
    let is_brokers = matches!(
        event,
        Event::NameRefused { .. }
            | Event::ConnectionAllowed { .. }
            | Event::ConnectionRefused { .. }
            | Event::RequestIntended { .. }
            | Event::RequestEnded { .. }
            | Event::RequestRefused { .. }
    );
    let own = reference(&node.borrow(), scope)?;
    if !is_brokers || event.scope() != Some(&own) {
        return Err("a broker cannot record that".to_owned());
    }
    let limited = if let Event::RequestIntended { grant, .. } = &event {
        limited(&node.borrow(), scope, grant)
    } else {
        None
    };
    if let Some(grant) = &limited {
        match usage::count(node, grant, Ask::Use).await {
            Ok(_) => {}
            Err(UsageError::UsedUp) => return Ok(Recorded { id: String::new() }),
            Err(error) => return Err(error.to_string()),
        }
    }
    let intended = if let Event::RequestIntended { grant, .. } = &event {
        Some(grant.clone())
    } else {
        None
    };
    if intended.is_some() && connected.strong_count() == 0 {
        // Nobody would do it, nor tell its end.
        return Err("the broker is gone".to_owned());
    }
    let now = Moment::now();
    let mut node = node.borrow_mut();
    observe(&mut node, scope, &event);
    let mut ended = None;
    if let Event::RequestEnded {
        intent, outcome, ..
    } = &mut event
    {
        let grant = node.requests.grant_of(*intent, scope);
        let grant = grant.ok_or("no such request is open")?;
        *outcome = outcome_under(&node, scope, grant, *outcome, now);
        ended = Some(*intent);
    }
    let written = node.recorder.write(event, now);
    let id = written.map_err(|error| error.to_string())?;
    if let Some(grant) = intended {
        node.requests.opened(id, scope, grant);
    }
    if let Some(grant) = limited {
        node.use_opened(id, scope, &grant);
    }
    if let Some(intent) = ended {
        node.requests.closed(intent);
        node.use_closed(intent, now);
    }
    Ok(Recorded { id: id.to_string() })
}

/// What an observed agent asks for under its grants, `lanyard suggest` makes rules of.
fn observe(node: &mut Node, scope: u32, event: &Event) {
    let Event::RequestIntended { request, grant, .. } = event else {
        return;
    };
    let Some(scope) = node.scopes.get(&scope) else {
        return;
    };
    if node.is_observed(scope) {
        let agent = scope.agent.clone();
        node.observations.requested(&agent, &grant.key, request);
    }
}

/// The kernel cuts what is open under a grant before the broker hears that it ended: the broker then sees no more
/// than that it broke off.
fn outcome_under(
    node: &Node,
    scope: u32,
    grant: &GrantRef,
    outcome: Outcome,
    now: Moment,
) -> Outcome {
    match outcome {
        Outcome::ClosedByAgent | Outcome::ClosedByService => {
            let is_live = live(node, scope, &grant.key).is_ok_and(|live| {
                let spec = (live.uid.clone(), live.spec_hash);
                let deadline = node.deadlines.all().get(&spec).copied().unwrap_or(0);
                spec == (grant.uid.clone(), grant.spec_hash) && deadline > now.boot
            });
            if is_live {
                outcome
            } else {
                Outcome::CutByGrantEnd
            }
        }
        Outcome::Completed
        | Outcome::CutByGrantEnd
        | Outcome::CutByLimit
        | Outcome::BrokerEnded
        | Outcome::ServiceUnreachable
        | Outcome::CredentialUnavailable => outcome,
    }
}

fn reference(node: &Node, scope: u32) -> Result<ScopeRef, String> {
    let scope = node.scopes.get(&scope).ok_or("the scope is gone")?;
    Ok(scope.reference())
}

/// The live grant that a request is made under, if it allows only so much.
fn limited(node: &Node, scope: u32, grant: &GrantRef) -> Option<LiveGrant> {
    // One that is no longer live is refused by the broker itself, before anything is sent.
    live(node, scope, &grant.key)
        .ok()
        .filter(|live| live.uid == grant.uid && live.spec_hash == grant.spec_hash)
        .filter(|live| !live.limits.is_none())
        .cloned()
}

fn live<'a>(node: &'a Node, scope: u32, grant: &ObjectKey) -> Result<&'a LiveGrant, String> {
    let known = node.scopes.get(&scope).ok_or("the scope is gone")?;
    let agent = node.compiler.desired().agents.get(&known.agent);
    let mut grants = agent.into_iter().flat_map(|agent| &agent.grants);
    let found = grants.find(|live| live.key == *grant);
    found.ok_or_else(|| "the grant is not live".to_owned())
}

/// Counts bytes under a grant of this scope's agent.
async fn bytes(node: &Shared, scope: u32, grant: &str, ask: Ask) -> Result<answer::Answer, String> {
    let key: ObjectKey = grant.parse().map_err(|error| format!("{error}"))?;
    let grant = live(&node.borrow(), scope, &key)?.clone();
    let ask = node.borrow_mut().usage.bounded(scope, &grant, ask);
    let bytes = match usage::count(node, &grant, ask).await {
        Ok(bytes) => bytes,
        Err(UsageError::UsedUp) => 0,
        Err(error) => return Err(error.to_string()),
    };
    node.borrow_mut().usage.leased(scope, &grant, ask, bytes);
    Ok(answer::Answer::Leased(Leased { bytes }))
}

/// Remembers what a name of an observed scope is answered with, so that a connection to it finds its name.
fn observed(node: &Shared, scope: u32, told: &Observed) -> Result<Noted, String> {
    let name: DnsName = told.name.parse().map_err(|error| format!("{error}"))?;
    let addresses: Option<Vec<IpAddr>> =
        told.addresses.iter().map(|bytes| address(bytes)).collect();
    let addresses = addresses.ok_or("an address is not 4 or 16 bytes")?;
    let mut node = node.borrow_mut();
    let known = node.scopes.get(&scope).ok_or("the scope is gone")?;
    if !node.is_observed(known) {
        return Err("the scope is not observed".to_owned());
    }
    let reference = known.reference();
    let now = Moment::now();
    if node
        .observations
        .name_told(scope, &name, &addresses, now.boot)
    {
        let event = Event::NameObserved {
            scope: reference,
            name,
            addresses,
        };
        node.record(event, now);
    }
    Ok(Noted {})
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}
