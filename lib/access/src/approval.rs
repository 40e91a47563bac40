//! One person's decision on one grant as it was written.

use jiff::Timestamp;

use crate::{
    digest::Sha256Digest,
    object::{ObjectKey, Uid},
};

/// An `AccessApproval`, checked. It is about one spec: a changed grant must be approved anew.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Approval {
    /// Namespace and name of the approval.
    pub key: ObjectKey,
    /// The grant it is about.
    pub grant: ObjectKey,
    /// The life of the grant it is about.
    pub grant_uid: Uid,
    /// The spec it is about.
    pub spec_hash: Sha256Digest,
    /// Who decided, as the API server or the daemon authenticated them.
    pub approver: String,
    /// What they decided.
    pub verdict: Verdict,
    /// When.
    pub decided_at: Timestamp,
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Yes.
    Approve,
    /// No: one is enough.
    Reject,
}
