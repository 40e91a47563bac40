//! How a client is told no: RFC 9457, with the reason and what to type, and never what else there is.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};
use lanyard_access::{object::ObjectKey, reason::RefusalReason};
use lanyard_protocol::record::Request;
use serde_json::json;

use super::{pace::BodyError, request::RequestError};
use crate::mcp::listing::{self, ListingError};

/// The reason where there is no room. The same request can be carried later.
const NO_ROOM: &str = "NoRoom";

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
    pub grant: Option<Box<ObjectKey>>,
    /// What to type to ask for access, where that could help.
    pub request: Option<Box<str>>,
    /// The id of the JSON-RPC request that it answers, as it stood there.
    pub rpc: Option<Box<str>>,
}

impl Refusal {
    /// Refused by the rules; `grant` is what came nearest to allowing it.
    pub(crate) fn decided(reason: RefusalReason, grant: Option<ObjectKey>) -> Self {
        Self {
            grant: grant.map(Box::new),
            ..Self::plain(
                StatusCode::FORBIDDEN,
                reason.as_str(),
                reason.message().to_owned(),
            )
        }
    }

    /// Adds the words of who wrote the grant.
    pub(crate) fn says(&mut self, message: Option<String>) {
        if let Some(message) = message {
            self.detail = format!("{}: {message}", self.detail);
        }
    }

    /// Says how to ask for what was refused. What a condition or a message of MCP stands in the way of is no
    /// matter of another path.
    pub(crate) fn asks_for(&mut self, reason: RefusalReason, request: &Request) {
        let could_be_granted = match reason {
            RefusalReason::NoGrant
            | RefusalReason::GrantEnded
            | RefusalReason::UsedUp
            | RefusalReason::PathNotGranted
            | RefusalReason::MethodNotGranted => true,
            RefusalReason::EvidenceTooLow
            | RefusalReason::WrongProtocol
            | RefusalReason::ToolNotGranted
            | RefusalReason::McpMethodNotGranted
            | RefusalReason::McpNotUnderstood
            | RefusalReason::ConditionNotMet
            | RefusalReason::ConditionNotDecided
            | RefusalReason::PathNotUnderstood
            | RefusalReason::HostMismatch
            | RefusalReason::NotCarried => false,
        };
        let command = could_be_granted.then(|| request_command(request)).flatten();
        self.request = command.map(String::into_boxed_str);
    }

    const fn plain(status: StatusCode, reason: &'static str, detail: String) -> Self {
        Self {
            status,
            reason,
            detail,
            grant: None,
            request: None,
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

    /// The credential belongs into the target, which has no room for it.
    pub(crate) fn target_too_long(detail: String) -> Self {
        Self::plain(StatusCode::URI_TOO_LONG, "TargetTooLong", detail)
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

    /// There is no room for what has to be read as a whole.
    pub(crate) fn no_room() -> Self {
        Self::plain(
            StatusCode::SERVICE_UNAVAILABLE,
            NO_ROOM,
            "as much as this scope's broker may hold of messages and lists of tools is on its way; try again"
                .to_owned(),
        )
    }

    /// A list of tools is too long to be shortened to what is granted.
    pub(crate) fn list_too_long() -> Self {
        Self::plain(
            StatusCode::BAD_GATEWAY,
            "ListTooLong",
            format!(
                "the service's list of tools is longer than {} MiB, and it is read as a whole before it goes on",
                listing::LONGEST >> 20
            ),
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
        let mut detail = format!("{}; to learn more type: {EXPLAIN}", self.detail);
        if let Some(request) = &self.request {
            detail += "; to ask for access type: ";
            detail += request;
        }
        let mut problem = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Refused"),
            "status": self.status.as_u16(),
            "detail": detail,
            "reason": self.reason,
            "explain": EXPLAIN,
        });
        if let Some(request) = &self.request {
            problem["request"] = request.to_string().into();
        }
        if let Some(grant) = &self.grant {
            problem["grant"] = grant.to_string().into();
        }
        problem.to_string().into()
    }

    /// As the answer to a request of JSON-RPC: clients show its message to whoever asked.
    fn rpc_body(&self, id: &str, code: i32) -> Bytes {
        let problem: serde_json::Value =
            serde_json::from_slice(&self.body()).unwrap_or(serde_json::Value::Null);
        let error = json!({ "code": code, "message": problem["detail"], "data": problem });
        // The id is JSON already.
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#).into()
    }

    /// The code of JSON-RPC and its status. A message that could be read, hence has an id, and still was not
    /// understood is one that its headers contradict: every server refuses that so (MCP 2026-07-28, transports,
    /// `HeaderMismatch`).
    fn rpc_code(&self) -> (i32, StatusCode) {
        const HEADER_MISMATCH: i32 = -32020;
        /// Of the range that is left to servers.
        const REFUSED: i32 = -32003;
        if self.reason == RefusalReason::McpNotUnderstood.as_str() {
            (HEADER_MISMATCH, StatusCode::BAD_REQUEST)
        } else {
            (REFUSED, StatusCode::OK)
        }
    }

    /// The answer.
    pub(crate) fn response<B: From<Bytes>>(&self) -> Response<B> {
        if let Some(id) = &self.rpc {
            let (code, status) = self.rpc_code();
            let mut response = Response::new(B::from(self.rpc_body(id, code)));
            *response.status_mut() = status;
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
        if self.reason == NO_ROOM {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
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

/// The narrowest that would do: this method, this path. Nothing where a shell could read the path otherwise.
fn request_command(request: &Request) -> Option<String> {
    let Request {
        method,
        host,
        port,
        path,
        ..
    } = request;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:@+,=".contains(&byte);
    let is_method = method
        .bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    if !is_method || !path.starts_with('/') || !path.bytes().all(plain) || path.len() > 256 {
        return None;
    }
    let place = match port {
        443 => format!("https://{host}"),
        80 => format!("http://{host}"),
        other => format!("https://{host}:{other}"),
    };
    Some(format!(
        "lanyard request {place}{path} --method {method} --for 10m --reason '...'"
    ))
}

impl From<BodyError> for Refusal {
    /// The body of a reply that had not begun.
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Listing(ListingError::TooLong) => Self::list_too_long(),
            BodyError::Listing(ListingError::NoRoom(_)) => Self::no_room(),
            BodyError::UsedUp => Self::decided(RefusalReason::UsedUp, None),
            BodyError::Sender(_) | BodyError::Still => Self::service(error.to_string()),
        }
    }
}

impl From<&RequestError> for Refusal {
    fn from(error: &RequestError) -> Self {
        let reason = match error {
            RequestError::Method(_) => "MethodNotCarried",
            RequestError::Headers => "TooManyHeaders",
            RequestError::TransferCoding => "TransferCodingNotCarried",
            RequestError::Upgrade => "UpgradeNotCarried",
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
    fn a_refusal_says_how_to_ask_and_a_hostile_path_is_no_command() {
        let request = |path: &str| Request {
            method: "GET".into(),
            host: "api.example.com".parse().unwrap(),
            port: 443,
            path: path.into(),
            mcp: None,
        };
        let command = |reason, path: &str| {
            let mut refusal = Refusal::decided(reason, None);
            refusal.asks_for(reason, &request(path));
            let body: serde_json::Value = serde_json::from_slice(&refusal.body()).unwrap();
            body["request"].as_str().map(str::to_owned)
        };
        let asks = command(RefusalReason::PathNotGranted, "/orders/7").unwrap();
        assert_eq!(
            asks,
            "lanyard request https://api.example.com/orders/7 --method GET --for 10m --reason '...'"
        );
        assert_eq!(command(RefusalReason::ConditionNotMet, "/"), None);
        for path in ["/a';id;'", "/$(id)", "/a b", "/a%27", "/a\nb", "*"] {
            assert_eq!(command(RefusalReason::NoGrant, path), None, "{path}");
        }
    }

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
