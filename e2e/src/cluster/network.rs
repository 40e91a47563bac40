//! The links between the host and the nodes: one bridge, a pair of ends for each node, and the routes to pods and
//! Services through it.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{
    holder,
    place::{Network, Node, Place},
};
use crate::lab;

/// The node's end of its link.
const NODE_END: &str = "eth0";

/// Names what the host already routes elsewhere.
pub(super) fn check(place: Place) -> Result<()> {
    let routes = lab::run(Command::new("ip").args(["-json", "-4", "route", "show"]))?;
    let routes: Value = serde_json::from_slice(&routes.stdout).context("read the host's routes")?;
    if let Some((network, link)) = in_the_way(place, &routes) {
        bail!(
            "{network} is routed to {link} on this machine, and the lab needs it: choose another lab by `--number`"
        );
    }
    Ok(())
}

/// Makes the bridge if it is not there.
pub(super) fn ready(place: Place) -> Result<()> {
    let bridge = place.bridge();
    if !exists(&bridge) {
        ip(&["link", "add", &bridge, "type", "bridge"])?;
    }
    let network = place.nodes_network();
    let address = format!("{}/{}", place.host_address(), network.prefix());
    ip(&["address", "replace", &address, "dev", &bridge])?;
    ip(&["link", "set", &bridge, "up"])?;
    Ok(())
}

/// Connects a node whose namespaces were made anew.
pub(super) fn join(node: Node) -> Result<()> {
    let (link, place) = (node.link(), node.place());
    delete(&link)?;
    let holder = holder::running(node)?.context("the node has its namespaces")?;
    let pid = holder.pid().to_string();
    ip(&[
        "link", "add", &link, "type", "veth", "peer", "name", NODE_END, "netns", &pid,
    ])?;
    ip(&["link", "set", &link, "master", &place.bridge(), "up"])?;
    let address = format!("{}/{}", node.address(), place.nodes_network().prefix());
    let gateway = place.host_address().to_string();
    for arguments in [
        &["link", "set", "lo", "up"][..],
        &["address", "add", &address, "dev", NODE_END],
        &["link", "set", NODE_END, "up"],
        &["route", "add", "default", "via", &gateway],
    ] {
        lab::run(holder::on(node, "ip")?.args(arguments))?;
    }
    lab::run(holder::on(node, "sysctl")?.args(["-qw", "net.ipv4.ip_forward=1"]))?;
    Ok(())
}

/// Whether the host has its end of a node's link.
pub(super) fn has_joined(node: Node) -> bool {
    exists(&node.link())
}

/// Says to host and nodes through which node pods and Services are reached.
pub(super) fn route(nodes: &[Node]) -> Result<()> {
    for node in nodes {
        let (pods, via) = (node.pods().to_string(), node.address().to_string());
        ip(&["route", "replace", &pods, "via", &via])?;
        for other in nodes.iter().filter(|other| *other != node) {
            lab::run(holder::on(*other, "ip")?.args(["route", "replace", &pods, "via", &via]))?;
        }
    }
    let Some(first) = nodes.first() else {
        return Ok(());
    };
    let services = first.place().services().to_string();
    let via = first.address().to_string();
    ip(&["route", "replace", &services, "via", &via])
}

/// Takes away a node's link; its other end goes with it.
pub(super) fn part_from(node: Node) -> Result<()> {
    delete(&node.link())
}

/// Takes the bridge away, and with it the host's routes.
pub(super) fn remove(place: Place) -> Result<()> {
    delete(&place.bridge())
}

/// Links of a lab that are on the host.
pub(super) fn links(place: Place) -> Vec<String> {
    let nodes = (1..=Node::MOST).map(|index| place.node(index).link());
    std::iter::once(place.bridge())
        .chain(nodes)
        .filter(|link| exists(link))
        .collect()
}

/// A network of the lab's, or a part of one, that the host reaches by another link. A wider one is not in the way: of
/// two routes the narrower is taken.
fn in_the_way(place: Place, routes: &Value) -> Option<(String, String)> {
    let ours = [place.nodes_network(), place.pods(), place.services()];
    routes.as_array()?.iter().find_map(|route| {
        let network = route["dst"].as_str()?;
        let link = route["dev"].as_str()?;
        let other = Network::parse(network)?;
        let is_in_the_way = link != place.bridge() && ours.iter().any(|own| own.holds(other));
        is_in_the_way.then(|| (network.to_owned(), link.to_owned()))
    })
}

/// That it is not there is as good. The kernel takes one away by itself some time after the namespace of its other end.
fn delete(link: &str) -> Result<()> {
    if !exists(link) {
        return Ok(());
    }
    match ip(&["link", "delete", link]) {
        Err(error) if exists(link) => Err(error),
        Err(_) | Ok(()) => Ok(()),
    }
}

fn exists(link: &str) -> bool {
    Path::new("/sys/class/net").join(link).exists()
}

fn ip(arguments: &[&str]) -> Result<()> {
    lab::run(Command::new("ip").args(arguments)).map(drop)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_host_routes_elsewhere_is_in_the_way() {
        let place = Place::OF_A_PERSON;
        let routes = json!([
            { "dst": "default", "gateway": "192.0.2.1", "dev": "eth0" },
            { "dst": "10.0.0.0/8", "dev": "wg0" },
            { "dst": "10.80.1.0/24", "gateway": "198.18.0.2", "dev": "lanyard-lab0" },
        ]);
        assert_eq!(in_the_way(place, &routes), None);
        for network in ["10.96.0.0/16", "10.96.7.0/24", "10.80.1.9"] {
            let routes = json!([{ "dst": network, "dev": "wg0" }]);
            let found = in_the_way(place, &routes);
            assert_eq!(found, Some((network.into(), "wg0".into())));
        }
    }
}
