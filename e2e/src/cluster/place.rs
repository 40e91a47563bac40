//! Where a lab is on the machine: a number, from which each of its names, addresses and paths follows, so that two
//! labs never meet.

use std::{
    fmt, fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{FlockOperation, flock};

/// The folder of all labs. On a disk, for the images of containers are overlays.
const FOLDER: &str = "/var/lib/lanyard-lab";

/// Numbers of labs; each has a second octet of its own among the addresses of pods and Services.
const NUMBERS: u8 = 10;

/// The place of one lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u8);

/// One node of a lab, counted from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    place: Place,
    index: u8,
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: Ipv4Addr,
    prefix: u8,
}

/// Held while a lab is changed; another who wants to waits.
pub(super) struct Lock(
    #[expect(dead_code, reason = "it is held, and released with its file")] fs::File,
);

impl Place {
    /// The lab of whoever types `cargo xtask lab`.
    pub const OF_A_PERSON: Self = Self(0);
    /// The lab of the tests.
    pub const OF_TESTS: Self = Self(NUMBERS - 1);

    /// The lab of that number.
    pub fn numbered(number: u8) -> Result<Self> {
        ensure!(
            number < NUMBERS,
            "labs have numbers from 0 to {}",
            NUMBERS - 1
        );
        Ok(Self(number))
    }

    /// All that it writes, apart from empty folders that mounts need.
    pub fn folder(self) -> PathBuf {
        Path::new(FOLDER).join(self.0.to_string())
    }

    /// The folder in which all labs have theirs.
    pub(super) fn base() -> &'static Path {
        Path::new(FOLDER)
    }

    /// Whether another lab has a folder.
    pub(super) fn has_others(self) -> bool {
        (0..NUMBERS)
            .map(Self)
            .any(|other| other != self && other.folder().exists())
    }

    /// Waits until nobody else changes a lab. All labs have one lock, for they share mount points.
    pub(super) fn lock() -> Result<Lock> {
        // A folder that is always there, so that the lock leaves no file.
        let path = "/var/lib";
        let file = fs::File::open(path).with_context(|| format!("open {path}"))?;
        flock(&file, FlockOperation::LockExclusive).with_context(|| format!("lock {path}"))?;
        Ok(Lock(file))
    }

    /// The host's link to the nodes.
    pub fn bridge(self) -> String {
        format!("lanyard-lab{}", self.0)
    }

    /// Host and nodes.
    pub fn nodes_network(self) -> Network {
        Network::new([198, 18, self.0, 0], 24)
    }

    /// The host, as nodes and pods reach it.
    pub fn host_address(self) -> Ipv4Addr {
        self.nodes_network().at(1)
    }

    /// The pods of all nodes.
    pub fn pods(self) -> Network {
        Network::new([10, 80 + self.0, 0, 0], 16)
    }

    /// The addresses of Services.
    pub fn services(self) -> Network {
        Network::new([10, 96 + self.0, 0, 0], 16)
    }

    /// The Service of the API server.
    pub fn api_service(self) -> Ipv4Addr {
        self.services().at(1)
    }

    /// The Service of the cluster's DNS.
    pub fn dns_service(self) -> Ipv4Addr {
        self.services().at(10)
    }

    /// The API server, from the host and from nodes.
    pub fn api(self) -> String {
        format!("https://{}:6443", self.node(1).address())
    }

    /// The cgroup above those of its nodes, in each hierarchy.
    pub fn cgroup(self) -> String {
        format!("lanyard-lab-{}", self.0)
    }

    /// A node of it, which may not be there.
    pub fn node(self, index: u8) -> Node {
        Node { place: self, index }
    }
}

impl Node {
    /// How many nodes a lab may have; each has keys from the beginning.
    pub const MOST: u8 = 4;

    /// As the API knows it.
    pub fn name(self) -> String {
        format!("n{}", self.index)
    }

    /// Its number among the lab's, from one.
    pub fn index(self) -> u8 {
        self.index
    }

    /// The lab it is of.
    pub fn place(self) -> Place {
        self.place
    }

    /// Its address, which the API server has too if it is the first.
    pub fn address(self) -> Ipv4Addr {
        self.place.nodes_network().at(1 + self.index)
    }

    /// Its pods.
    pub fn pods(self) -> Network {
        Network::new([10, 80 + self.place.0, self.index, 0], 24)
    }

    /// The host's end of its link.
    pub fn link(self) -> String {
        format!("lab{}-n{}", self.place.0, self.index)
    }

    /// The cgroup above its `kubepods`, below the root of each hierarchy.
    pub fn cgroup(self) -> String {
        format!("{}/{}", self.place.cgroup(), self.name())
    }

    /// What it writes.
    pub fn folder(self) -> PathBuf {
        self.place.folder().join(self.name())
    }
}

impl Network {
    fn new(first: [u8; 4], prefix: u8) -> Self {
        Self {
            first: first.into(),
            prefix,
        }
    }

    /// Reads `10.0.0.0/8`, or one address.
    pub fn parse(text: &str) -> Option<Self> {
        let (first, prefix) = text.split_once('/').unwrap_or((text, "32"));
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
        Some(Self {
            first: first.parse().ok()?,
            prefix,
        })
    }

    /// Whether all of the other's addresses are its own too.
    pub fn holds(self, other: Self) -> bool {
        let cut = |network: Self| u64::from(network.first.to_bits()) >> (32 - self.prefix);
        self.prefix <= other.prefix && cut(self) == cut(other)
    }

    /// The address that is so many after the first.
    fn at(self, offset: u8) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first.to_bits() + u32::from(offset))
    }

    /// How many bits its addresses share.
    pub(super) fn prefix(self) -> u8 {
        self.prefix
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labs_share_no_address_and_no_name() {
        let places: Vec<Place> = (0..NUMBERS).map(Place).collect();
        for (one, other) in places
            .iter()
            .flat_map(|one| places.iter().map(move |other| (*one, *other)))
            .filter(|(one, other)| one != other)
        {
            assert!(!one.nodes_network().holds(other.nodes_network()));
            assert!(!one.pods().holds(other.pods()) && !one.pods().holds(other.services()));
            assert!(!one.services().holds(other.services()));
            assert_ne!(one.cgroup(), other.cgroup());
            assert_ne!(one.node(1).link(), other.node(1).link());
        }
    }

    #[test]
    fn a_node_has_its_own_part_of_the_pods() {
        let place = Place::OF_TESTS;
        assert!(place.pods().holds(place.node(1).pods()));
        assert!(!place.node(1).pods().holds(place.node(2).pods()));
        assert_eq!(place.node(2).address().to_string(), "198.18.9.3");
    }

    #[test]
    fn names_of_links_fit_the_kernel() {
        // IFNAMSIZ, with its end.
        let place = Place::OF_TESTS;
        assert!(place.bridge().len() < 16 && place.node(Node::MOST).link().len() < 16);
    }

    #[test]
    fn networks_are_read_and_compared() {
        let all = Network::parse("0.0.0.0/0").unwrap();
        let one = Network::parse("10.96.0.1").unwrap();
        assert!(all.holds(one) && Place::OF_A_PERSON.services().holds(one));
        assert!(!one.holds(all) && !Place::OF_TESTS.services().holds(one));
        assert_eq!(Network::parse("default"), None);
        assert_eq!(Network::parse("10.0.0.0/33"), None);
    }
}
