//! How a client is told no: RFC 9457, with the reason and what to type, and never what else there is.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE},
};
use lanyard_access::reason::RefusalReason;
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
}

impl Refusal {
    /// Refused by the rules.
    pub(crate) fn decided(reason: RefusalReason) -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            reason: reason.as_str(),
            detail: reason.message().to_owned(),
        }
    }

    /// The request cannot be recorded, and without a record nothing is done.
    pub(crate) fn not_recorded() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            reason: "NotRecorded",
            detail: "the request could not be recorded, and nothing is done without a record"
                .to_owned(),
        }
    }

    /// The credential cannot be had.
    pub(crate) fn no_credential() -> Self {
        Self {
            status: StatusCode::BAD_GATEWAY,
            reason: "CredentialUnavailable",
            detail: "the credential that the grant names could not be obtained".to_owned(),
        }
    }

    /// The grant ended in the meantime.
    pub(crate) fn grant_ended() -> Self {
        Self::decided(RefusalReason::GrantEnded)
    }

    /// The service cannot be reached, or its answer not be carried.
    pub(crate) fn service(detail: String) -> Self {
        Self {
            status: StatusCode::BAD_GATEWAY,
            reason: "ServiceUnreachable",
            detail,
        }
    }

    /// The answer, as JSON.
    pub(crate) fn body(&self) -> Bytes {
        let problem = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Refused"),
            "status": self.status.as_u16(),
            "detail": format!("{}; to learn more type: {EXPLAIN}", self.detail),
            "reason": self.reason,
            "explain": EXPLAIN,
        });
        problem.to_string().into()
    }

    /// The answer.
    pub(crate) fn response<B: From<Bytes>>(&self) -> Response<B> {
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
        Self {
            status: error.status(),
            reason: match error {
                RequestError::Method(_) => "MethodNotCarried",
                RequestError::Upgrade => "UpgradeNotCarried",
                RequestError::TransferCoding => "TransferCodingNotCarried",
                RequestError::OtherHost { .. } | RequestError::OtherPort(_) => "HostMismatch",
                RequestError::HostCount | RequestError::HostSyntax | RequestError::Target => {
                    "RequestNotUnderstood"
                }
            },
            detail: error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_reason_and_what_to_type() {
        let response: Response<Bytes> = Refusal::decided(RefusalReason::NoGrant).response();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(body["reason"], "NoGrant");
        assert_eq!(body["status"], 403);
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains("lanyard explain --last"), "{detail}");
    }
}
