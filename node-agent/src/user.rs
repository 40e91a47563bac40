//! Users and groups of this machine, through its own name service.

use std::collections::BTreeSet;

use nix::unistd::{Group, Uid, User, getgrouplist};

/// A user's number and main group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserId {
    /// The user.
    pub uid: u32,
    /// The main group.
    pub gid: u32,
}

/// Who a number is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user's name; the number as text if it has none.
    pub name: String,
    /// Names of every group.
    pub groups: BTreeSet<String>,
    /// Numbers of every group.
    pub group_ids: BTreeSet<u32>,
}

/// The user of that name.
pub fn by_name(name: &str) -> Option<UserId> {
    let user = User::from_name(name).ok().flatten()?;
    Some(UserId {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
    })
}

/// The account of that number.
pub fn account(uid: u32) -> Account {
    let Some(user) = User::from_uid(Uid::from_raw(uid)).ok().flatten() else {
        return Account {
            name: uid.to_string(),
            groups: BTreeSet::new(),
            group_ids: BTreeSet::new(),
        };
    };
    let name = std::ffi::CString::new(user.name.clone()).unwrap_or_default();
    let groups = getgrouplist(&name, user.gid).unwrap_or_default();
    let group_ids = groups.iter().map(|gid| gid.as_raw()).collect();
    let groups = groups
        .into_iter()
        .filter_map(|gid| Group::from_gid(gid).ok().flatten());
    Account {
        name: user.name,
        groups: groups.map(|group| group.name).collect(),
        group_ids,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_by_name_and_number() {
        assert_eq!(by_name("root").map(|id| id.uid), Some(0));
        assert_eq!(account(0).name, "root");
    }

    #[test]
    fn who_has_no_account_is_a_number_without_groups() {
        assert_eq!(
            account(4_000_000_123),
            Account {
                name: "4000000123".into(),
                groups: BTreeSet::new(),
                group_ids: BTreeSet::new(),
            }
        );
        assert_eq!(by_name("no such user"), None);
    }
}
