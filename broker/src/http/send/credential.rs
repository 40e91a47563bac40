//! The credential of a request: obtained, and put in.

use http::Request;
use lanyard_access::credential::GrantedCredential;
use lanyard_protocol::record::Outcome;

use super::Sending;
use crate::{
    agent::{CallError, ObtainedSecret},
    http::{payload::RequestBody, refusal::Refusal},
    injection::{Injected, InjectionError},
    upstream::substitution::Substitution,
};

impl Sending<'_> {
    /// The credential of the grant, if it has one, and which version of it that is.
    pub(super) async fn credential(
        &self,
        refused_version: u64,
        known: Option<Result<ObtainedSecret, CallError>>,
    ) -> Result<Option<(Injected, u64)>, Refusal> {
        let Some(credential) = &self.grant.credential else {
            return Ok(None);
        };
        let secret = if let Some(known) = known {
            known
        } else {
            let grant = self.grant.key.to_string();
            let agent = &self.broker.agent;
            agent.secret(grant, self.exec_id, refused_version).await
        };
        let secret = secret.map_err(|error| self.no_credential(credential, &error))?;
        let injected = Injected::new(&credential.injection, &secret);
        let injected = injected.map_err(|error| self.no_credential(credential, &error))?;
        Ok(Some((injected, secret.version)))
    }

    fn no_credential(
        &self,
        credential: &GrantedCredential,
        error: &dyn std::error::Error,
    ) -> Refusal {
        tracing::warn!(grant = %self.grant.key, %error, "no credential");
        self.open.break_off(Outcome::CredentialUnavailable);
        if self.open.is_granted() {
            Refusal::no_credential(&credential.source)
        } else {
            Refusal::grant_ended()
        }
    }

    fn no_room(&self, error: InjectionError) -> Refusal {
        self.open.break_off(Outcome::CredentialUnavailable);
        Refusal::target_too_long(error.to_string())
    }

    /// Puts the credential in. Over HTTP/1.1 something stands in for it until it is written.
    pub(super) fn inject(
        &self,
        injected: Option<&Injected>,
        request: &mut Request<RequestBody>,
        http2: bool,
    ) -> Result<Option<Substitution>, Refusal> {
        let Some((injected, credential)) = injected.zip(self.grant.credential.as_ref()) else {
            return Ok(None);
        };
        let mut target = request.uri().clone();
        let headers = request.headers_mut();
        let put = if http2 {
            injected.put(headers, &mut target).map(|()| None)
        } else {
            injected.put_stand_in(headers, &mut target).map(Some)
        };
        let substitution = put.map_err(|error| {
            if error == InjectionError::Target {
                self.no_room(error)
            } else {
                self.no_credential(credential, &error)
            }
        })?;
        *request.uri_mut() = target;
        Ok(substitution)
    }
}
