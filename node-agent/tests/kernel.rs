//! The kernel programs on this kernel. Needs root, BPF and cgroup v2.
use lanyard_node_agent::kernel::Kernel;
use std::path::Path;

#[test]
fn smoke() {
    let root = Path::new("/sys/fs/cgroup/unified");
    let k = Kernel::open("smoke", root).unwrap_or_else(|e| panic!("{e:?}\n{e}"));
    println!("{:?}", k.maps.counters());
    Kernel::pins("smoke").remove().unwrap();
}
