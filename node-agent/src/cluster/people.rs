//! What people may do at a node of a cluster, by its control socket: root looks, revokes when the API server is away, and
//! ends enforcement. All else is written at the API server.

use lanyard_access::object::ObjectKey;
use lanyard_protocol::control::{Apply, Ask, Decide, Decided, Delete, Get, ObjectStatus, Refused};

use crate::{
    callers::{Allowance, Caller, Callers},
    control::{Done, Objects},
    kernel::clock::Moment,
    node::Node,
};

/// The people of a node.
pub(super) struct People;

impl Callers for People {
    /// Agents of a cluster are pods.
    fn may_run(&self, _: &Caller, _: &ObjectKey) -> bool {
        false
    }

    fn is_admin(&self, caller: &Caller) -> bool {
        caller.uid == 0
    }

    fn allowance(&self, _: &Caller, _: &ObjectKey) -> Allowance {
        Allowance::default()
    }
}

/// The objects of a node of a cluster: there are none.
pub(super) struct AtTheApiServer;

fn elsewhere() -> Refused {
    Refused {
        message: "this is a node of a cluster, whose objects stand at its API server".to_owned(),
        hint: "use kubectl; here `lanyard revoke` works, also without the API server".to_owned(),
    }
}

impl Objects for AtTheApiServer {
    fn apply(&self, _: &mut Node, _: &Apply, _: Moment) -> Result<Vec<Done>, Refused> {
        Err(elsewhere())
    }

    fn delete(&self, _: &mut Node, _: &Delete, _: Moment) -> Result<Vec<Done>, Refused> {
        Err(elsewhere())
    }

    fn ask(&self, _: &mut Node, _: &Ask, _: &str, _: Moment) -> Result<(ObjectKey, bool), Refused> {
        Err(elsewhere())
    }

    fn decide(&self, _: &mut Node, _: &Decide, _: &str, _: Moment) -> Result<Decided, Refused> {
        Err(elsewhere())
    }

    fn get(
        &self,
        _: &Node,
        _: &Get,
        _: Option<&dyn Fn(&ObjectKey) -> bool>,
        _: Moment,
    ) -> Result<Vec<ObjectStatus>, Refused> {
        Err(elsewhere())
    }
}
