//! Every reason, and what leads to it.

use std::collections::BTreeSet;

use super::{super::*, bot, open, stand};
use crate::{
    approval::Verdict,
    credential::CredentialSource,
    evidence::EvidenceLevel,
    grant::Protocol,
    object::Uid,
    sample::{
        approval, approvals_needed, at, at_most, credential, grant, identity, key, policy,
        resource, spec,
    },
};

/// The grant of each row is asked about at noon.
struct Row {
    what: &'static str,
    grant: Grant,
    written: Written,
    reason: GrantReason,
}

fn row(what: &'static str, reason: GrantReason, grant: Grant, written: Written) -> Row {
    Row {
        what,
        grant,
        written,
        reason,
    }
}

fn with_credential() -> Grant {
    Grant {
        credential: Some(key("vault/token")),
        ..open()
    }
}

fn consent(change: impl FnOnce(&mut CredentialSource)) -> Written {
    let mut credential = credential("vault/token");
    credential.consumers.namespaces = BTreeSet::from(["team".parse().unwrap()]);
    change(&mut credential);
    bot().with_credential(credential)
}

fn rows_of_text() -> Vec<Row> {
    use GrantReason as R;
    let elsewhere = grant("other/g", "team/bot");
    let mut scope_only = identity("team/bot");
    scope_only.processes.clear();
    let scope_only = Written::default().with_identity(scope_only);
    let revoked = Grant {
        revoked: true,
        ..open()
    };
    let image = Grant {
        requires: Some(EvidenceLevel::Image),
        ..open()
    };
    let lineage = Grant {
        requires: Some(EvidenceLevel::Lineage),
        ..open()
    };
    let asked = |asked| Grant {
        asked: Some(asked),
        ..open()
    };
    vec![
        row("revoked", R::Revoked, revoked, bot()),
        row(
            "asked for",
            R::ApprovalPending,
            asked(Asked::Undecided),
            bot(),
        ),
        row("denied", R::ApprovalRejected, asked(Asked::Rejected), bot()),
        row(
            "not reviewed",
            R::ReviewPending,
            asked(Asked::Unreviewed),
            bot(),
        ),
        row(
            "not allowed",
            R::RequesterNotAllowed,
            asked(Asked::NotAllowed),
            bot(),
        ),
        row(
            "no identity",
            R::IdentityNotFound,
            open(),
            Written::default(),
        ),
        row(
            "identity of another namespace",
            R::IdentityNotFound,
            elsewhere,
            bot(),
        ),
        row(
            "image, none listed",
            R::EvidenceUnreachable,
            image,
            scope_only.clone(),
        ),
        row(
            "lineage, none listed",
            R::EvidenceUnreachable,
            lineage.clone(),
            scope_only.clone(),
        ),
        row("lineage of a listed process", R::Active, lineage, bot()),
        row("scope, none listed", R::Active, open(), scope_only),
        row("all is well", R::Active, open(), bot()),
    ]
}

fn rows_of_credentials() -> Vec<Row> {
    use GrantReason as R;
    let mut to_address = with_credential();
    to_address.resource = resource("10.0.0.1", Protocol::Tcp);
    let mut to_other_name = with_credential();
    to_other_name.resource = resource("www.api.example.com", Protocol::Https);
    let not_listed = consent(|c| {
        c.consumers.identities = BTreeSet::from(["other".parse().unwrap()]);
    });
    let listed = consent(|c| {
        c.consumers.identities = BTreeSet::from(["bot".parse().unwrap()]);
    });
    let own = Grant {
        credential: Some(key("team/token")),
        ..open()
    };
    let in_own = bot().with_credential(credential("team/token"));
    let own_only = consent(|c| c.consumers.namespaces.clear());
    vec![
        row(
            "no credential",
            R::CredentialNotFound,
            with_credential(),
            bot(),
        ),
        row(
            "namespace not listed",
            R::CredentialNotConsented,
            with_credential(),
            own_only,
        ),
        row(
            "identity not listed",
            R::CredentialNotConsented,
            with_credential(),
            not_listed,
        ),
        row(
            "host not allowed",
            R::CredentialHostNotAllowed,
            to_other_name,
            consent(|_| ()),
        ),
        row(
            "address",
            R::CredentialHostNotAllowed,
            to_address,
            consent(|_| ()),
        ),
        row("own namespace", R::Active, own, in_own),
        row("identity listed", R::Active, with_credential(), listed),
        row(
            "namespace listed",
            R::Active,
            with_credential(),
            consent(|_| ()),
        ),
    ]
}

fn rows_of_policies() -> Vec<Row> {
    use GrantReason as R;
    let limited = |change: fn(&mut Policy)| {
        let mut policy = policy("p", Effect::Deny);
        change(&mut policy);
        bot().with_policy(policy)
    };
    let namespace = limited(|p| p.namespaces = BTreeSet::from(["team".parse().unwrap()]));
    let other_namespace = limited(|p| p.namespaces = BTreeSet::from(["other".parse().unwrap()]));
    let host = limited(|p| p.hosts = BTreeSet::from(["api.example.com".parse().unwrap()]));
    let other_host = limited(|p| p.hosts = BTreeSet::from(["example.com".parse().unwrap()]));
    let both = limited(|_| ()).with_policy(policy("q", at_most(5)));
    let long_ago = Grant {
        activated_at: Some(at(-5)),
        ..open()
    };
    let short = bot().with_policy(policy("p", at_most(5)));
    vec![
        row("denied to all", R::DeniedByPolicy, open(), limited(|_| ())),
        row("denied by one of two", R::DeniedByPolicy, open(), both),
        row(
            "denied in the namespace",
            R::DeniedByPolicy,
            open(),
            namespace,
        ),
        row("denied for the host", R::DeniedByPolicy, open(), host),
        row("a limit reached", R::Expired, long_ago, short.clone()),
        row(
            "denied in another namespace",
            R::Active,
            open(),
            other_namespace,
        ),
        row("denied for another host", R::Active, open(), other_host),
        row("a limit ahead", R::Active, open(), short),
    ]
}

fn rows_of_approvals() -> Vec<Row> {
    use GrantReason as R;
    let needs = |count| bot().with_policy(policy("p", approvals_needed(count, 60)));
    let yes = |who, minute| approval(&open(), who, at(minute));
    let change = |change: fn(&mut Approval)| {
        let mut approval = yes("ann", -1);
        change(&mut approval);
        needs(1).with_approval(approval)
    };
    let of_another = change(|a| a.grant = key("team/other"));
    let of_another_namespace = change(|a| a.key = key("other/yes"));
    let of_another_life = change(|a| a.grant_uid = Uid::new("before"));
    let of_another_spec = change(|a| a.spec_hash = spec(9));
    let no = change(|a| a.verdict = Verdict::Reject);
    let mut future_no = yes("ann", 5);
    future_no.verdict = Verdict::Reject;
    let both = needs(1)
        .with_approval(yes("bob", -1))
        .with_approval(future_no.clone());
    let twice = needs(2)
        .with_approval(yes("ann", -1))
        .with_approval(yes("ann", -2));
    let two = needs(2)
        .with_approval(yes("ann", -1))
        .with_approval(yes("bob", -2));
    let and_three = two
        .clone()
        .with_policy(policy("q", approvals_needed(3, 60)));
    vec![
        row("nobody decided", R::ApprovalPending, open(), needs(1)),
        row("one person twice", R::ApprovalPending, open(), twice),
        row(
            "one rule of two is met",
            R::ApprovalPending,
            open(),
            and_three,
        ),
        row(
            "about another grant",
            R::ApprovalPending,
            open(),
            of_another,
        ),
        row(
            "in another namespace",
            R::ApprovalPending,
            open(),
            of_another_namespace,
        ),
        row(
            "about another life",
            R::ApprovalPending,
            open(),
            of_another_life,
        ),
        row(
            "about another spec",
            R::ApprovalPending,
            open(),
            of_another_spec,
        ),
        row(
            "in the future",
            R::ApprovalPending,
            open(),
            needs(1).with_approval(yes("ann", 1)),
        ),
        row(
            "run out",
            R::ApprovalPending,
            open(),
            needs(1).with_approval(yes("ann", -60)),
        ),
        row("rejected", R::ApprovalRejected, open(), no),
        row(
            "rejected though approved",
            R::ApprovalRejected,
            open(),
            both,
        ),
        row(
            "rejected without need",
            R::ApprovalRejected,
            open(),
            bot().with_approval(future_no),
        ),
        row("two people", R::Active, open(), two),
        row("nobody is needed", R::Active, open(), needs(0)),
        row(
            "approved",
            R::Active,
            open(),
            needs(1).with_approval(yes("ann", 0)),
        ),
    ]
}

fn rows_of_time() -> Vec<Row> {
    use GrantReason as R;
    let until = |minute| Grant {
        lifetime: Lifetime::Until(at(minute)),
        ..open()
    };
    let from = |minute| Grant {
        not_before: Some(at(minute)),
        ..open()
    };
    let ready_at = |minute| Grant {
        activated_at: Some(at(minute)),
        ..open()
    };
    let backwards = Grant {
        not_before: Some(at(2)),
        ..until(-1)
    };
    let unapproved = bot().with_policy(policy("p", approvals_needed(1, 60)));
    vec![
        row("not yet", R::NotYetValid, from(1), bot()),
        row(
            "not yet, not approved",
            R::NotYetValid,
            from(1),
            unapproved.clone(),
        ),
        row("the end is now", R::Expired, until(0), bot()),
        row("the end is past", R::Expired, until(-1), bot()),
        row(
            "the end is past, not approved",
            R::Expired,
            until(-1),
            unapproved.clone(),
        ),
        row(
            "it ended before its beginning",
            R::Expired,
            backwards,
            bot(),
        ),
        row("the duration is over", R::Expired, ready_at(-10), bot()),
        row(
            "the duration is over, not approved",
            R::Expired,
            ready_at(-10),
            unapproved,
        ),
        row("the last moment is ahead", R::Active, until(1), bot()),
        row("the beginning is now", R::Active, from(0), bot()),
        row("the duration runs", R::Active, ready_at(-9), bot()),
    ]
}

#[test]
fn a_grant_stands_where_the_first_thing_in_its_way_puts_it() {
    let rows = [
        rows_of_text(),
        rows_of_credentials(),
        rows_of_policies(),
        rows_of_approvals(),
        rows_of_time(),
    ];
    let mut reached = BTreeSet::new();
    for row in rows.into_iter().flatten() {
        let standing = stand(&row.grant, &row.written, 0);
        assert_eq!(standing.reason, row.reason, "{}", row.what);
        reached.insert(row.reason);
    }
    // Of the past alone: see the compiler's tests.
    reached.insert(GrantReason::UsedUp);
    let all: BTreeSet<GrantReason> = GrantReason::ALL.iter().copied().collect();
    assert_eq!(reached, all, "a reason without a row");
}

#[test]
fn only_an_active_grant_is_activated() {
    let rows = [rows_of_text(), rows_of_credentials(), rows_of_time()];
    for row in rows.into_iter().flatten() {
        let Row { grant, reason, .. } = &row;
        let standing = stand(grant, &row.written, 0);
        let expected = match (grant.activated_at, reason) {
            (Some(before), _) => Some(before),
            (None, GrantReason::Active) => Some(at(0)),
            (None, _) => None,
        };
        assert_eq!(standing.activated_at, expected, "{}", row.what);
        assert_eq!(
            standing.ends_at.is_some(),
            expected.is_some(),
            "{}",
            row.what
        );
    }
}
