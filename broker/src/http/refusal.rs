//! How a client is told no: RFC 9457, with the reason and what to type, and never what else there is.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE},
};
use lanyard_access::{object::ObjectKey, reason::RefusalReason};
use serde_json::json;

use super::request::RequestError;

/// What to type to learn more.
pub(crate) const EXPLAIN: &str = "lanyard explain --last";

/// An answer of the broker itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// A name that does not change, for programs.
    pub reason: &'static str,
    /// One sentence for a person.
    pub detail: String,
    /// The AccessGrant that it is about, if it is about one.
    pub grant: Option<ObjectKey>,
    /// The id of the JSON-RPC request that it answers, as it stood there.
    pub rpc: Option<String>,
}

impl Refusal {
    /// Refused by the rules; `grant` is what came nearest to allowing it.
    pub(crate) fn decided(reason: RefusalReason, grant: Option<ObjectKey>) -> Self {
        Self {
            grant,
            ..Self::plain(
                StatusCode::FORBIDDEN,
                reason.as_str(),
                reason.message().to_owned(),
            )
        }
    }

    const fn plain(status: StatusCode, reason: &'static str, detail: String) -> Self {
        Self {
            status,
            reason,
            detail,
            grant: None,
            rpc: None,
        }
    }

    /// The request cannot be recorded, and without a record nothing is done.
    pub(crate) fn not_recorded() -> Self {
        Self::plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "NotRecorded",
            "the request could not be recorded, and nothing is done without a record".to_owned(),
        )
    }

    /// The credential cannot be had from its source.
    pub(crate) fn no_credential(source: &ObjectKey) -> Self {
        Self::plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "CredentialUnavailable",
            format!("the credential of CredentialSource {source} could not be obtained"),
        )
    }

    /// A message that has to be read first did not come.
    pub(crate) fn too_slow() -> Self {
        Self::plain(
            StatusCode::REQUEST_TIMEOUT,
            "RequestTooSlow",
            "the message did not come within a minute, and it is read before it is decided"
                .to_owned(),
        )
    }

    /// The body is not what its head said, or its sender went away.
    pub(crate) fn body_broke_off() -> Self {
        Self::plain(
            StatusCode::BAD_REQUEST,
            "RequestNotUnderstood",
            "the body of the request broke off, or is not framed as its head says".to_owned(),
        )
    }

    /// The grant ended in the meantime.
    pub(crate) fn grant_ended() -> Self {
        Self::decided(RefusalReason::GrantEnded, None)
    }

    /// The service cannot be reached, or its answer not be carried.
    pub(crate) fn service(detail: String) -> Self {
        Self::plain(StatusCode::BAD_GATEWAY, "ServiceUnreachable", detail)
    }

    /// The answer, as JSON.
    pub(crate) fn body(&self) -> Bytes {
        let mut problem = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Refused"),
            "status": self.status.as_u16(),
            "detail": format!("{}; to learn more type: {EXPLAIN}", self.detail),
            "reason": self.reason,
            "explain": EXPLAIN,
        });
        if let Some(grant) = &self.grant {
            problem["grant"] = grant.to_string().into();
        }
        problem.to_string().into()
    }

    /// As the answer to a request of JSON-RPC: clients show its message to whoever asked.
    fn rpc_body(&self, id: &str) -> Bytes {
        /// Of the range that is left to servers.
        const REFUSED: i32 = -32003;
        let problem: serde_json::Value =
            serde_json::from_slice(&self.body()).unwrap_or(serde_json::Value::Null);
        let error = json!({ "code": REFUSED, "message": problem["detail"], "data": problem });
        // The id is JSON already.
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#).into()
    }

    /// The answer.
    pub(crate) fn response<B: From<Bytes>>(&self) -> Response<B> {
        if let Some(id) = &self.rpc {
            let mut response = Response::new(B::from(self.rpc_body(id)));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            return response;
        }
        let mut response = Response::new(B::from(self.body()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            // RFC 9110, 15.5.6 demands it; which of them a service has is not known here.
            headers.insert(
                ALLOW,
                HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            );
        }
        response
    }
}

impl From<&RequestError> for Refusal {
    fn from(error: &RequestError) -> Self {
        let reason = match error {
            RequestError::Method(_) => "MethodNotCarried",
            RequestError::Headers => "TooManyHeaders",
            RequestError::TransferCoding => "TransferCodingNotCarried",
            RequestError::OtherHost { .. } | RequestError::OtherPort(_) => "HostMismatch",
            RequestError::HostCount | RequestError::HostSyntax | RequestError::Target => {
                "RequestNotUnderstood"
            }
        };
        Self::plain(error.status(), reason, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_reason_and_what_to_type() {
        let response: Response<Bytes> = Refusal::decided(RefusalReason::NoGrant, None).response();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(body["reason"], "NoGrant");
        assert_eq!(body["status"], 403);
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains("lanyard explain --last"), "{detail}");
    }
}
