//! The broker is the resolver of its scope: what is granted has addresses of the scope's own, for every resolver that
//! programs come with, and nothing else exists.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    process::{Command, Stdio},
};

use lanyard_e2e::{
    dialogue::Dialogue,
    grant::{NamedGrant, whoever},
    lab, lanyard,
    resolvers::{self, Resolver},
    scenes::{Stage, TOOLS, USER},
    service::{NAME, OTHER_NAME},
};

/// A stage whose tools are granted a name.
fn stage() -> Stage {
    let stage = Stage::with_tools().unwrap();
    grant(&stage, "named", NAME);
    stage
}

fn grant(stage: &Stage, name: &str, host: &str) {
    let grant = NamedGrant {
        host,
        credential: None,
        ..stage.grant(name)
    };
    stage.give(&grant).unwrap();
}

fn said(stage: &Stage, command: &mut Command) -> String {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let log = stage.lanyard.daemon_log();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {errors}\n{log}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A shell in one scope, which does line by line what it is told, and ends each answer with an empty line.
struct Shell(Dialogue);

impl Shell {
    fn start(stage: &Stage) -> Self {
        Self::start_as(stage, TOOLS)
    }

    fn start_as(stage: &Stage, agent: &str) -> Self {
        let script = "while read -r line; do eval \"$line\" 2>&1 | sed '/^$/d'; echo; done";
        let mut run = stage
            .lanyard
            .run_as(agent, Some(USER), &["sh", "-c", script]);
        Self(Dialogue::start(&mut run).unwrap())
    }

    fn does(&mut self, line: &str) -> String {
        let mut answer = vec![self.0.ask(line).unwrap()];
        while answer.last().is_some_and(|line| !line.is_empty()) {
            answer.push(self.0.hear().unwrap());
        }
        answer.join("\n")
    }

    fn dig(&mut self, asked: &str) -> String {
        self.does(&format!("dig +tries=2 +time=5 {asked}"))
    }

    /// The addresses of a name, of both families.
    fn addresses(&mut self, name: &str) -> BTreeSet<IpAddr> {
        let both = self.dig(&format!("+short {name} A {name} AAAA"));
        both.split_whitespace()
            .map(|address| address.parse().unwrap())
            .collect()
    }
}

fn status(answer: &str) -> &str {
    let (_, rest) = answer.split_once("status: ").unwrap_or(("", "none"));
    rest.split(',').next().unwrap()
}

/// The lines of a section of what dig prints.
fn section<'a>(answer: &'a str, name: &str) -> Vec<&'a str> {
    let head = format!(";; {name} SECTION:");
    let lines = answer.lines().skip_while(|line| *line != head).skip(1);
    lines.take_while(|line| !line.starts_with(";;")).collect()
}

fn is_negative(answer: &str) -> bool {
    let authority = section(answer, "AUTHORITY");
    section(answer, "ANSWER").is_empty() && authority.len() == 1 && authority[0].contains("SOA")
}

#[test]
fn what_is_granted_has_addresses_alone_and_what_is_not_does_not_exist() {
    let stage = stage();
    let mut shell = Shell::start(&stage);
    has_an_address_of_each_family_and_nothing_else(&stage, &mut shell);
    edns_is_spoken_in_the_version_that_there_is(&mut shell);
    what_is_not_granted_does_not_exist_whoever_is_asked(&stage, &mut shell);
}

fn has_an_address_of_each_family_and_nothing_else(stage: &Stage, shell: &mut Shell) {
    for (kind, transport) in [("A", "+notcp"), ("AAAA", "+notcp"), ("A", "+tcp")] {
        let answer = shell.dig(&format!("{transport} {NAME} {kind}"));
        assert_eq!(status(&answer), "NOERROR", "{answer}");
        let [line] = section(&answer, "ANSWER")[..] else {
            panic!("{answer}")
        };
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ttl: u32 = fields[1].parse().unwrap();
        assert!((1..=60).contains(&ttl), "{answer}");
        assert_eq!((fields[2], fields[3]), ("IN", kind), "{answer}");
        let address: IpAddr = fields[4].parse().unwrap();
        // Of ranges that nothing real is reached under.
        let is_own = match address {
            IpAddr::V4(address) => address.octets()[..2] == [198, 19],
            IpAddr::V6(address) => address.segments()[0] == 0xfd6c,
        };
        assert!(is_own && address.is_ipv6() == (kind == "AAAA"), "{answer}");
    }
    // Whatever else could lead a client elsewhere, or tell where the service is.
    for kind in ["HTTPS", "SVCB", "CNAME", "MX", "TXT", "SRV", "NS", "ANY"] {
        let answer = shell.dig(&format!("+notcp {NAME} {kind}"));
        assert_eq!(status(&answer), "NOERROR", "{kind}: {answer}");
        assert!(is_negative(&answer), "{kind}: {answer}");
    }
    let address = stage.lab.address();
    let reverse = shell.dig(&format!("-x {address}"));
    assert_eq!(status(&reverse), "NXDOMAIN", "{reverse}");
}

fn edns_is_spoken_in_the_version_that_there_is(shell: &mut Shell) {
    let spoken = shell.dig(&format!("+edns=0 +bufsize=4096 +dnssec {NAME} A"));
    assert!(
        spoken.contains("EDNS: version: 0, flags: do; udp: 1232"),
        "{spoken}"
    );
    assert_eq!(status(&spoken), "NOERROR", "{spoken}");
    let without = shell.dig(&format!("+noedns {NAME} A"));
    assert!(!without.contains("EDNS:"), "{without}");
    assert_eq!(status(&without), "NOERROR", "{without}");
    let later = shell.dig(&format!("+edns=1 +noednsneg {NAME} A"));
    assert_eq!(status(&later), "BADVERS", "{later}");
    assert!(section(&later, "ANSWER").is_empty(), "{later}");
}

fn what_is_not_granted_does_not_exist_whoever_is_asked(stage: &Stage, shell: &mut Shell) {
    // The machine knows this name.
    for server in ["", "@8.8.8.8", "@127.0.0.1", "+tcp", "+tcp @8.8.8.8"] {
        let answer = shell.dig(&format!("{server} {OTHER_NAME} A"));
        assert_eq!(status(&answer), "NXDOMAIN", "{server}: {answer}");
        assert!(is_negative(&answer), "{server}: {answer}");
        let granted = shell.dig(&format!("{server} {NAME} A"));
        assert_eq!(status(&granted), "NOERROR", "{server}: {granted}");
    }
    let explained = stage.lanyard.explain_last(OTHER_NAME).unwrap();
    assert!(explained.contains("grant"), "{explained}");
}

/// By the name as it is, and by a part of it that the search list completes: a name that is not granted is none of
/// many, and the search goes on.
#[test]
fn every_resolver_finds_what_is_granted_and_nothing_else() {
    let stage = stage();
    let configuration = "nameserver 192.0.2.53\nsearch corp.example demo.test\noptions ndots:5\n";
    let configuration = stage.lab.write("resolv.conf", configuration).unwrap();
    let is_virtual = |address: &String| {
        address.starts_with("198.19.") || address.starts_with("fd6c:616e:7961:7264:")
    };
    for resolver in Resolver::all(&stage.lab).unwrap() {
        let name = resolver.name;
        let mut command: Vec<&str> = resolver.command.iter().map(String::as_str).collect();
        command.extend([NAME, OTHER_NAME]);
        let plain = &mut stage.lanyard.run_as(TOOLS, Some(USER), &command);
        let printed = said(&stage, plain);
        let found = resolvers::addresses(&printed).unwrap();
        let own = &found[NAME];
        assert!(
            own.len() == 2 && own.iter().all(is_virtual),
            "{name}: {printed}"
        );
        assert!(found[OTHER_NAME].is_empty(), "{name}: {printed}");

        command.extend(["api", "other"]);
        let run = stage.lanyard.run_as(TOOLS, Some(USER), &command);
        let printed = said(
            &stage,
            &mut resolvers::with_resolv_conf(&run, &configuration),
        );
        let found = resolvers::addresses(&printed).unwrap();
        assert_eq!(found[NAME].len(), 2, "{name}: {printed}");
        let expected = if resolver.searches {
            found[NAME].clone()
        } else {
            BTreeSet::new()
        };
        assert_eq!(found["api"], expected, "{name}: {printed}");
        let others = [OTHER_NAME, "other"].map(|other| found[other].len());
        assert_eq!(others, [0, 0], "{name}: {printed}");
    }
}

/// Of an observed agent every name is looked up as the machine does it; what is too long for a datagram is asked
/// for again.
#[test]
fn a_long_answer_comes_over_tcp() {
    let stage = stage();
    let name = format!("{}.{}.demo.test", "a".repeat(60), "b".repeat(60));
    let lines = (1..=16).map(|number| format!("fd77::{number:x} {name}\n"));
    stage.lab.write("hosts", lines.collect::<String>()).unwrap();
    let watched = whoever("watched").replace("spec:", "spec:\n  enforcement: Observe");
    stage.lab.write("manifests/watched.yaml", watched).unwrap();
    stage
        .lanyard
        .until_enforcement("default/watched", "Observe")
        .unwrap();
    let mut shell = Shell::start_as(&stage, "watched");
    let cut = shell.dig(&format!("+noedns +ignore +notcp {name} AAAA"));
    assert!(cut.contains("flags: qr tc rd ra"), "{cut}");
    assert!(section(&cut, "ANSWER").is_empty(), "{cut}");
    for way in ["+noedns", "+edns=0 +bufsize=4096", "+tcp"] {
        let whole = shell.dig(&format!("{way} {name} AAAA"));
        assert_eq!(section(&whole, "ANSWER").len(), 16, "{way}: {whole}");
    }
}

/// The service is where it is: a client may prefer either family.
#[test]
fn a_service_of_one_family_is_reached_over_either() {
    const V4_ALONE: &str = NAME;
    const V6_ALONE: &str = OTHER_NAME;
    let stage = stage();
    let address = stage.lab.add_v6().unwrap();
    // The daemon's own, in place.
    let hosts = format!("{} {V4_ALONE}\n{address} {V6_ALONE}\n", stage.lab.address());
    stage.lab.write("hosts", hosts).unwrap();
    grant(&stage, "sixth", V6_ALONE);
    for name in [V4_ALONE, V6_ALONE] {
        for family in ["-4", "-6"] {
            let url = format!("https://{name}/");
            let curl = [
                "curl",
                "-sS",
                family,
                "-w",
                "%{http_code} %{remote_ip}",
                &url,
            ];
            let answer = said(&stage, &mut stage.lanyard.run_as(TOOLS, Some(USER), &curl));
            let range = if family == "-4" {
                "401 198.19."
            } else {
                "401 fd6c:"
            };
            // Without a credential it asks for its token: it was reached.
            assert!(answer.contains(range), "{name} {family}: {answer}");
        }
    }
}

#[test]
fn a_name_keeps_its_addresses_through_grants_and_restarts_and_shares_them_with_none() {
    let mut stage = stage();
    let mut shell = Shell::start(&stage);
    let first = shell.addresses(NAME);
    assert_eq!(first.len(), 2);
    // Another grant for the same name, after a time without any.
    std::fs::remove_file(stage.lab.path("manifests/named-grant.yaml")).unwrap();
    stage.lanyard.until_gone("default/named").unwrap();
    assert_eq!(shell.addresses(NAME), BTreeSet::new());
    grant(&stage, "later", OTHER_NAME);
    let other = shell.addresses(OTHER_NAME);
    assert!(other.len() == 2 && other.is_disjoint(&first), "{other:?}");
    grant(&stage, "again", NAME);
    assert_eq!(shell.addresses(NAME), first, "under another grant");
    stage.lanyard.kill_brokers().unwrap();
    assert_eq!(shell.addresses(NAME), first, "with another broker");
    stage.lanyard.kill_everything().unwrap();
    stage.lanyard.start(&stage.lab).unwrap();
    assert_eq!(shell.addresses(NAME), first, "with another node agent");
    assert_eq!(shell.addresses(OTHER_NAME), other);
    // What was remembered leads to its own name alone.
    let v4: Vec<Ipv4Addr> = first
        .iter()
        .filter_map(|address| address.to_string().parse().ok())
        .collect();
    let fronted = shell.does(&format!(
        "curl -sS --max-time 20 --resolve {OTHER_NAME}:443:{} https://{OTHER_NAME}/ || echo refused",
        v4[0]
    ));
    assert!(
        fronted.contains("refused") || fronted.contains("421"),
        "{fronted}"
    );
    shell.0.end().unwrap();
}

/// As many names as a scope can have; the rest are refused and counted, and take nothing from the others.
#[test]
fn names_beyond_those_that_a_scope_can_have_are_refused_and_counted() {
    const MOST: usize = 4096;
    const BEYOND: usize = 7;
    let stage = stage();
    let mut shell = Shell::start(&stage);
    let first = shell.addresses(NAME);
    // One is there already.
    let grants = (0..MOST - 1 + BEYOND).map(|number| {
        let name = format!("many-{number}");
        let host = format!("h{number}.demo.test");
        let grant = NamedGrant {
            host: &host,
            authority: None,
            credential: None,
            ..stage.grant(&name)
        };
        grant.yaml()
    });
    let grants: Vec<String> = grants.collect();
    for (part, some) in grants.chunks(500).enumerate() {
        let file = format!("manifests/many-{part}.yaml");
        stage.lab.write(&file, some.join("---\n")).unwrap();
    }
    let last = format!("default/many-{}", grants.len() - 1);
    stage.lanyard.until_live(&last).unwrap();
    assert_eq!(shell.addresses(NAME), first);
    let names: Vec<String> = (0..grants.len())
        .map(|number| format!("h{number}.demo.test A"))
        .collect();
    let asked = stage.lab.write("names", names.join("\n")).unwrap();
    let asked = stage.lab.copy_program(&asked, "programs/names").unwrap();
    let answers = shell.does(&format!("dig +short -f {}", asked.display()));
    let found: BTreeSet<&str> = answers.split_whitespace().collect();
    assert_eq!(found.len(), MOST - 1, "each has an address of its own");
    let status = stage.lanyard.status().unwrap();
    assert_eq!(status["counters"]["RefusedNames"], BEYOND);
    assert!(stage.lanyard.daemon_log().contains("names were refused"));
    shell.0.end().unwrap();
}

/// Of a name that is granted every resolver finds the address that can be connected to, and clients connect.
#[test]
fn a_machine_without_ipv6_is_told_of_no_address_that_it_lacks() {
    let mut stage = stage();
    let wrapper = lanyard::built("without-ipv6").unwrap();
    let wrapper = stage
        .lab
        .copy_program(&wrapper, "bin/without-ipv6")
        .unwrap();
    let without = |command: &Command| lab::wrapped(Command::new(&wrapper), command);
    let sockets = "import socket; socket.socket(socket.AF_INET6)";
    let made = without(Command::new(&stage.python).args(["-c", sockets])).output();
    let made = String::from_utf8_lossy(&made.unwrap().stderr).into_owned();
    assert!(made.contains("Address family not supported"), "{made}");
    stage.lanyard.kill_everything().unwrap();
    stage
        .lanyard
        .start_under(&stage.lab, Some(&wrapper))
        .unwrap();
    stage.lanyard.until_live("default/named").unwrap();
    for resolver in Resolver::all(&stage.lab).unwrap() {
        let mut command: Vec<&str> = resolver.command.iter().map(String::as_str).collect();
        command.extend([NAME, OTHER_NAME]);
        let run = stage.lanyard.run_as(TOOLS, Some(USER), &command);
        let printed = said(&stage, &mut without(&run));
        let found = resolvers::addresses(&printed).unwrap();
        let own: Vec<&String> = found[NAME].iter().collect();
        assert!(
            own.len() == 1 && own[0].starts_with("198.19."),
            "{}: {printed}",
            resolver.name
        );
        assert!(found[OTHER_NAME].is_empty(), "{}: {printed}", resolver.name);
    }
    let url = stage.url("/");
    let run = stage
        .lanyard
        .run_as(TOOLS, Some(USER), &["curl", "-sS", &url]);
    assert!(said(&stage, &mut without(&run)).contains("no token"));
    let refused = stage.lanyard.run_as(
        TOOLS,
        Some(USER),
        &[
            "curl",
            "-sS",
            "--max-time",
            "15",
            &stage.url("/").replace(NAME, OTHER_NAME),
        ],
    );
    let refused = without(&refused).output().unwrap();
    assert!(!refused.status.success(), "{refused:?}");
}
