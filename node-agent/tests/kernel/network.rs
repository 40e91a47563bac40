//! A network of a test's own: nothing in it reaches another machine, and every address is at home.

use std::{
    fs::File,
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsFd,
    process::{Command, Stdio},
};

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// The address of a real host.
pub(crate) const REAL4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 1));
/// The address of a real host.
pub(crate) const REAL6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 1));
/// A virtual address. Here it has a host, so that what gets through to it is seen.
pub(crate) const VIRTUAL4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 19, 0, 7));
/// A virtual address. Here it has a host, so that what gets through to it is seen.
pub(crate) const VIRTUAL6: IpAddr =
    IpAddr::V6(Ipv6Addr::new(0xfd6c, 0x616e, 0x7961, 0x7264, 0, 0, 0, 7));

const SETUP: &str = "
link set lo up
address add 10.99.0.1/24 dev lo
address add fd99::1/128 dev lo nodad
route add local 198.19.0.0/16 dev lo
address add fd99::53/128 dev lo nodad
address add fd6c:616e:7961:7264::7/128 dev lo nodad
";

/// While it lives, this thread and what it starts are in a network namespace of their own. The kernel
/// removes the namespace with the last process and socket in it.
pub(crate) struct Network {
    outer: File,
}

impl Network {
    pub(crate) fn enter() -> Self {
        let outer = File::open("/proc/thread-self/ns/net").expect("open the network namespace");
        #[expect(unsafe_code, reason = "rustix has no safe call for it")]
        // SAFETY: a network namespace only; descriptors stay shared between the threads.
        let made = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
        made.expect("make a network namespace");
        let this = Self { outer };
        ip(SETUP);
        // Who may open ICMP datagram sockets in a new namespace: nobody, until it is said.
        std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").expect("allow ping sockets");
        this
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let back = move_into_link_name_space(self.outer.as_fd(), Some(LinkNameSpaceType::Network));
        back.expect("go back to the network namespace of the machine");
    }
}

/// Runs commands of ip in this thread's network.
pub(crate) fn ip(batch: &str) {
    let mut ip = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("start ip, of iproute2");
    let mut stdin = ip.stdin.take().expect("its standard input");
    stdin.write_all(batch.as_bytes()).expect("write to ip");
    drop(stdin);
    assert!(
        ip.wait().expect("wait for ip").success(),
        "set up a network"
    );
}
