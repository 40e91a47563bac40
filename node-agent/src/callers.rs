//! Who may ask this node for what.

use lanyard_access::object::ObjectKey;

/// A person or program that asks, as the kernel knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub uid: u32,
    /// The scope it is in, if in one.
    pub scope: Option<u32>,
}

/// The rules of a machine about its users.
pub trait Callers {
    /// Whether it may run that agent.
    fn may_run(&self, caller: &Caller, agent: &ObjectKey) -> bool;

    /// Whether it may revoke, end, and see what others do.
    fn is_admin(&self, caller: &Caller) -> bool;
}
