//! A connection that was held while its process was attested, and goes to an address: joined, not read.

use lanyard_access::{
    decide::{Decision, Request, decide},
    desired::LiveGrant,
    grant::Protocol,
    host::Host,
    reason::{ConnectionReason, RefusalReason},
};
use lanyard_protocol::record::Event;
use tokio::{io::copy_bidirectional, net::TcpStream};

use crate::{
    broker::Broker,
    clock,
    connection::{Client, ConnectionError, carried, refuse},
    deadline, scope,
    upstream::connect_one,
};

/// Joins the connection with its destination until either ends or the grant does.
pub(crate) async fn serve(
    broker: &Broker,
    mut stream: TcpStream,
    client: &Client,
) -> Result<(), ConnectionError> {
    let grant = match allowed(broker, client) {
        Ok(grant) => grant,
        Err(reason) => return Err(refuse(broker, client, reason).await),
    };
    let allowed = Event::ConnectionAllowed {
        scope: broker.scope().reference.clone(),
        process: client.process.clone(),
        destination: client.destination(),
        grants: vec![grant.key.clone()],
    };
    let recorded = broker.agent.record(&allowed).await;
    recorded.map_err(ConnectionError::Record)?;
    carried(&stream)?;
    let reference = scope::reference(&grant);
    let mut changes = broker.watch_scope();
    let mut service = tokio::select! {
        service = connect_one(client.destination()) => service?,
        () = deadline::ended(&mut changes, &reference) => {
            return Err(refuse(broker, client, ConnectionReason::GrantEnded).await);
        }
    };
    tokio::select! {
        biased;
        () = deadline::ended(&mut changes, &reference) => {
            // With it, closing resets (tcp(7)): what the kernel still holds is not sent.
            service.set_zero_linger()?;
            stream.set_zero_linger()?;
        }
        result = copy_bidirectional(&mut stream, &mut service) => {
            result?;
        }
    }
    Ok(())
}

fn allowed(broker: &Broker, client: &Client) -> Result<LiveGrant, ConnectionReason> {
    let scope = broker.scope();
    let request = Request {
        level: client.level,
        host: &Host::Address(client.address),
        port: client.port,
        protocol: Protocol::Tcp,
    };
    match decide(&scope.agent, &request, clock::boot_now()) {
        Decision::Allow(grant) => Ok(grant.clone()),
        Decision::Refuse(RefusalReason::GrantEnded) => Err(ConnectionReason::GrantEnded),
        Decision::Refuse(RefusalReason::EvidenceTooLow) => Err(ConnectionReason::EvidenceTooLow),
        Decision::Refuse(
            RefusalReason::NoGrant
            | RefusalReason::WrongProtocol
            | RefusalReason::HostMismatch
            | RefusalReason::NotCarried,
        ) => Err(ConnectionReason::NoGrant),
    }
}
