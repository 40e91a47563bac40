use super::*;
use crate::sample::{at, grant, identity, key};

#[test]
fn an_agent_has_its_active_grants_in_the_order_of_their_keys() {
    let grants = ["team/b", "team/c", "team/a"].map(|name| grant(name, "team/bot"));
    let bot = identity("team/bot");
    let written = Written::default().with_identity(bot.clone());
    let standings = grants.iter().map(|grant| {
        let revoked = grant.key == key("team/c");
        let asked = Grant {
            revoked,
            ..grant.clone()
        };
        (
            grant,
            standing_of(&asked, &written, std::iter::empty(), at(0)),
        )
    });
    let agent = agent_of(&bot, &written.credentials, standings);
    let keys: Vec<ObjectKey> = agent.grants.into_iter().map(|grant| grant.key).collect();
    assert_eq!(keys, [key("team/a"), key("team/b")]);
}
