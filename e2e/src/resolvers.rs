//! Programs that look names up, each with a resolver of its own: the C libraries, Go, Node.js, Java and Python.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{
    agent,
    lab::{self, Lab},
    peers,
};

/// Looks each name up and prints a line for each: the name and its addresses.
const C: &str = r#"
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *all;
        printf("%s", argv[i]);
        int failed = getaddrinfo(argv[i], "443", &hints, &all);
        if (failed) {
            printf(" none\n");
            fprintf(stderr, "%s: %s\n", argv[i], gai_strerror(failed));
            continue;
        }
        for (struct addrinfo *one = all; one; one = one->ai_next) {
            char text[INET6_ADDRSTRLEN];
            const void *address = one->ai_family == AF_INET6
                ? (void *)&((struct sockaddr_in6 *)one->ai_addr)->sin6_addr
                : (void *)&((struct sockaddr_in *)one->ai_addr)->sin_addr;
            printf(" %s", inet_ntop(one->ai_family, address, text, sizeof text));
        }
        printf("\n");
    }
    return 0;
}
"#;

/// The same in Python.
const PYTHON: &str = r#"
import socket, sys
for name in sys.argv[1:]:
    try:
        found = {one[4][0] for one in socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)}
    except OSError as error:
        found = {"none"}
        print(name, error, file=sys.stderr)
    print(name, *found)
"#;

/// A program that looks names up.
#[derive(Debug, Clone)]
pub struct Resolver {
    /// What it is.
    pub name: &'static str,
    /// Its command, without the names.
    pub command: Vec<String>,
    /// Whether it reads the search list and `ndots` of `/etc/resolv.conf`.
    pub searches: bool,
}

impl Resolver {
    /// All of them, compiled where they must be.
    pub fn all(lab: &Lab) -> Result<Vec<Self>> {
        let path = |path: PathBuf| path.display().to_string();
        let node = path(agent::node()?);
        let script = path(lab.write("programs/resolve.mjs", peers::file("node/resolve.mjs")?)?);
        let go = path(peers::go_resolver()?);
        let with_env = |variable: &str| vec!["env".to_owned(), variable.to_owned(), go.clone()];
        let java = ["java", "-Xshare:auto", "-cp"].map(str::to_owned).to_vec();
        let java = [
            java,
            vec![path(peers::java_resolver()?), "Resolve".to_owned()],
        ]
        .concat();
        let python = vec![path(agent::python()?), "-c".to_owned(), PYTHON.to_owned()];
        let of = |name, command, searches| Self {
            name,
            command,
            searches,
        };
        Ok(vec![
            of("glibc", vec![path(compiled(lab, "gcc", &[])?)], true),
            of(
                "musl",
                vec![path(compiled(lab, "musl-gcc", &["-static"])?)],
                true,
            ),
            of("Go", with_env("GODEBUG=netdns=go"), true),
            of(
                "Go with the C library",
                with_env("GODEBUG=netdns=cgo"),
                true,
            ),
            of(
                "Node.js, lookup",
                vec![node.clone(), script.clone(), "lookup".into()],
                true,
            ),
            // c-ares, as Node.js sets it up, takes a name as it is.
            of(
                "Node.js, resolve",
                vec![node, script, "resolve".into()],
                false,
            ),
            of("Java", java, true),
            of("Python", python, true),
        ])
    }
}

fn compiled(lab: &Lab, compiler: &str, flags: &[&str]) -> Result<PathBuf> {
    let source = lab.write("programs/resolve.c", C)?;
    let program = lab.path("programs").join(format!("resolve-{compiler}"));
    let mut command = Command::new(compiler);
    command.args(flags).arg("-o").args([&program, &source]);
    lab::run(&mut command)?;
    Ok(program)
}

/// What such a program printed: the addresses of each name.
pub fn addresses(printed: &str) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let read = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next().context("a line begins with a name")?;
        let addresses = words.filter(|word| *word != "none").map(shortest);
        Ok((name.to_owned(), addresses.collect::<Result<_>>()?))
    };
    printed.lines().map(read).collect()
}

/// One spelling for each address: Java writes zeros that others leave out.
fn shortest(address: &str) -> Result<String> {
    let parsed = address.parse::<std::net::IpAddr>();
    Ok(parsed
        .with_context(|| format!("read the address {address}"))?
        .to_string())
}

/// `command` where programs see another `/etc/resolv.conf`.
pub fn with_resolv_conf(command: &Command, configuration: &Path) -> Command {
    let mut wrapper = Command::new("unshare");
    wrapper
        .args(["--mount", "sh", "-c"])
        .arg("mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\"")
        .arg("sh")
        .arg(configuration);
    lab::wrapped(wrapper, command)
}
