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

/// What the machine allows an agent beside its grants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Files and folders that it may read and write beside the project folder.
    pub paths: Vec<String>,
    /// Unix sockets of others that it may connect to, exactly as it has to write them.
    pub unix_sockets: Vec<String>,
    /// The lowest Landlock ABI with which it is started; 0 for any.
    pub minimum_landlock: u32,
}

/// The rules of a machine about its users.
pub trait Callers {
    /// Whether it may run that agent.
    fn may_run(&self, caller: &Caller, agent: &ObjectKey) -> bool;

    /// Whether it may write and remove objects, revoke, end, and see what others do.
    fn is_admin(&self, caller: &Caller) -> bool;

    /// What that agent may use of the machine when the caller runs it.
    fn allowance(&self, caller: &Caller, agent: &ObjectKey) -> Allowance;
}
