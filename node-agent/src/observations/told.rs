//! Which names the scopes of observed agents were told, so that a connection finds its name.

use std::{collections::BTreeMap, net::IpAddr};

use lanyard_access::host::DnsName;

/// How many addresses of one scope have a name, and how many names are rate-limited.
const MOST: usize = 4096;
/// How long the same is not worth a record again, in nanoseconds.
const QUIET: u64 = 60_000_000_000;

#[derive(Debug, Default)]
struct OfScope {
    names: BTreeMap<IpAddr, DnsName>,
    recorded: BTreeMap<(DnsName, Vec<IpAddr>), u64>,
}

/// By scope.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<u32, OfScope>);

impl Told {
    /// Remembers a name's addresses at that moment of the boot clock. True when that is news.
    pub(super) fn name(
        &mut self,
        scope: u32,
        name: &DnsName,
        addresses: &[IpAddr],
        at: u64,
    ) -> bool {
        let told = self.0.entry(scope).or_default();
        for address in addresses {
            if told.names.len() < MOST || told.names.contains_key(address) {
                told.names.insert(address.to_canonical(), name.clone());
            }
        }
        let mut sorted = addresses.to_vec();
        sorted.sort();
        let same = (name.clone(), sorted);
        let is_quiet = |before: &u64| at.saturating_sub(*before) < QUIET;
        if told.recorded.get(&same).is_some_and(is_quiet) {
            return false;
        }
        if told.recorded.len() >= MOST {
            told.recorded.retain(|_, before| is_quiet(before));
        }
        if told.recorded.len() >= MOST {
            return false;
        }
        told.recorded.insert(same, at);
        true
    }

    /// The name that was last told for an address.
    pub(super) fn name_of(&self, scope: u32, address: IpAddr) -> Option<&DnsName> {
        self.0.get(&scope)?.names.get(&address.to_canonical())
    }

    /// Forgets a scope that has ended.
    pub(super) fn forget(&mut self, scope: u32) {
        self.0.remove(&scope);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DnsName {
        text.parse().unwrap()
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn the_same_name_with_the_same_addresses_is_news_once_a_minute() {
        let mut told = Told::default();
        let (one, two) = (address(1), address(2));
        assert!(told.name(7, &name("a.example"), &[one, two], 0));
        assert!(!told.name(7, &name("a.example"), &[two, one], QUIET - 1));
        assert!(told.name(7, &name("a.example"), &[one], QUIET - 1));
        assert!(
            told.name(8, &name("a.example"), &[one, two], 1),
            "another scope"
        );
        assert!(told.name(7, &name("a.example"), &[one, two], QUIET));
    }

    #[test]
    fn an_address_has_the_name_it_was_last_told_for_in_its_own_scope() {
        let mut told = Told::default();
        told.name(7, &name("a.example"), &[address(1)], 0);
        told.name(7, &name("b.example"), &[address(1)], 0);
        assert_eq!(told.name_of(7, address(1)), Some(&name("b.example")));
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(told.name_of(7, mapped), Some(&name("b.example")));
        assert_eq!(told.name_of(8, address(1)), None);
        told.forget(7);
        assert_eq!(told.name_of(7, address(1)), None);
    }

    #[test]
    fn a_scope_that_asks_for_everything_takes_bounded_memory() {
        let mut told = Told::default();
        for number in 0..u32::try_from(MOST).unwrap() + 100 {
            let address = IpAddr::V6(u128::from(number).into());
            told.name(7, &name(&format!("n{number}.example")), &[address], 0);
        }
        assert!(told.0[&7].names.len() <= MOST && told.0[&7].recorded.len() <= MOST);
        assert!(told.name(7, &name("new.example"), &[], QUIET), "it goes on");
    }
}
