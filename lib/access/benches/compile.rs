//! What compiling and deciding cost with 10,000 identities and 100,000 grants.
//!
//! `cargo bench -p lanyard-access` prints one line for each figure, in microseconds. Without `--bench`,
//! as under `cargo test --benches`, a hundredth of the objects shows that it works.

#![expect(clippy::print_stdout, reason = "the table is what a bench is for")]

use std::{collections::BTreeSet, hint::black_box, time::Duration, time::Instant};

use jiff::{SignedDuration, Timestamp};
use lanyard_access::{
    approval::{Approval, Verdict},
    compile::{Change, Compiler, Written, compile},
    decide::{Asks, Request, decide},
    digest::Sha256Digest,
    evidence::EvidenceLevel,
    grant::{self, Grant, Protocol, Resource, Tls},
    host::Host,
    identity::{Enforcement, Identity, ProcessAccess},
    lifetime::{GrantDuration, Lifetime},
    mcp::McpRule,
    object::{Namespace, ObjectKey, ObjectName, Uid},
    policy::{ApprovalRule, Effect, Limits, Policy},
    port::Port,
    process::{ChildrenRule, ProcessSelector},
};

/// How many namespaces and hosts there are, whatever else there is.
const NAMESPACES: usize = 100;
const HOSTS: usize = 1_000;

fn main() {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let identities = if is_bench { 10_000 } else { 100 };
    let world = World {
        identities,
        grants_each: 10,
    };
    memory(&world);
    println!(
        "{:<52} | {:>5} | {:>10} | {:>10}",
        "name", "runs", "median", "p99"
    );
    line(
        &format!("whole compile, {world}"),
        1,
        vec![world.written(); 5],
        |written| compile(written, now()),
    );
    changes(&world);
    // Where a tenth of the objects gives the same figure, the total does not count.
    changes(&World {
        identities: identities / 10,
        ..world
    });
    decisions(10);
    decisions(1_000);
}

/// One change at a time to a compiler that is up to date.
fn changes(world: &World) {
    let mut compiler = Compiler::default();
    compiler.replace(world.written());
    compiler.compile(now());
    let mut take = |change: Change| {
        compiler.apply(change);
        compiler.compile(now())
    };
    let grants = || {
        (0..1_000)
            .map(|n| n * 7 % world.grants())
            .map(|n| world.grant(n))
    };
    let changed = |grant: Grant| Grant {
        spec_hash: digest(usize::MAX),
        lifetime: Lifetime::For(minutes(5)),
        ..grant
    };
    let revoked = |grant| Grant {
        revoked: true,
        ..changed(grant)
    };
    let write = |grant: Grant| Change::Grant(grant.key.clone(), Some(grant));
    let changed = grants().map(|grant| write(changed(grant)));
    line(
        &format!("one grant changed, {world}"),
        1,
        changed,
        &mut take,
    );
    let revoked = grants().map(|grant| write(revoked(grant)));
    line(
        &format!("one grant revoked, {world}"),
        1,
        revoked,
        &mut take,
    );
    let identities = (0..1_000).map(|n| {
        let mut identity = world.identity(n * 7 % world.identities);
        identity.processes[0].sha256 = digest(n + 1);
        Change::Identity(identity.key.clone(), Some(identity))
    });
    line(
        &format!("one identity changed, {world}"),
        1,
        identities,
        &mut take,
    );
    for (about, runs, hosts, namespaces) in [
        ("1 host", 100, vec![7], vec![]),
        ("1 namespace", 100, vec![], vec![7]),
        ("everything", 6, vec![], vec![]),
    ] {
        let policies = (0..runs).map(|n| {
            let longest = minutes(if n % 2 == 0 { 3 } else { 4 });
            let policy = policy(1_000, &hosts, &namespaces, Some(longest), None);
            Change::Policy(policy.name.clone(), Some(policy))
        });
        line(
            &format!("one policy for {about}, {world}"),
            1,
            policies,
            &mut take,
        );
    }
}

fn decisions(grants: usize) {
    let world = World {
        identities: 1,
        grants_each: grants,
    };
    let desired = compile(world.written(), now());
    let agent = &desired.agents[&world.identity(0).key];
    let port = Port::new(443).expect("a port");
    let hosts: Vec<Host> = (0..HOSTS).map(host).collect();
    // One decision takes hardly longer than a look at the clock: a hundred are one run.
    let runs = (0..1_000).map(|run| (0..100).map(move |n| (run * 100 + n) % HOSTS));
    line(
        &format!("decide(), {grants} grants of the agent"),
        100,
        runs,
        |numbers| {
            for number in numbers {
                let request = Request {
                    level: EvidenceLevel::Image,
                    host: &hosts[number],
                    port,
                    asks: Asks::Protocol(Protocol::Https),
                };
                black_box(decide(agent, black_box(&request), now()));
            }
        },
    );
}

/// Runs `run` on each input and prints the figures of one of the `count` things that it does.
fn line<I, O>(
    name: &str,
    count: u32,
    inputs: impl IntoIterator<Item = I>,
    mut run: impl FnMut(I) -> O,
) {
    let mut times: Vec<Duration> = inputs
        .into_iter()
        .map(|input| {
            let start = Instant::now();
            let output = run(input);
            let time = start.elapsed();
            drop(output);
            time / count
        })
        .collect();
    times.sort_unstable();
    let micros = |percent: usize| {
        let place = (times.len() * percent / 100).min(times.len() - 1);
        times[place].as_secs_f64() * 1e6
    };
    let (runs, median, p99) = (times.len(), micros(50), micros(99));
    println!("{name:<52} | {runs:>5} | {median:>10.2} | {p99:>10.2}");
}

/// Prints what an up-to-date compiler takes, by what the process has in memory before and after.
fn memory(world: &World) {
    let written = world.written();
    let before = resident_kib();
    let mut compiler = Compiler::default();
    compiler.replace(written);
    compiler.compile(now());
    let (before, after) = (before / 1024, resident_kib() / 1024);
    black_box(&compiler);
    println!("memory, {world}: {before} MiB as written, {after} MiB with what follows from it");
}

/// What the process has in memory, as the kernel counts it (proc(5), `VmRSS`); 0 if it does not say.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Objects by number, so that no two runs differ.
#[derive(Debug, Clone, Copy)]
struct World {
    identities: usize,
    grants_each: usize,
}

impl std::fmt::Display for World {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} grants", self.grants())
    }
}

impl World {
    const fn grants(&self) -> usize {
        self.identities * self.grants_each
    }

    /// All objects; one host in fifty needs an approval, and has it.
    fn written(&self) -> Written {
        let rule = ApprovalRule {
            count: 1,
            valid_for: minutes(60),
        };
        let guarded: Vec<usize> = (0..HOSTS).step_by(50).collect();
        let approval = policy(0, &guarded, &[], None, Some(rule));
        let limits = (1..20).map(|n| policy(n, &[], &[n], Some(minutes(30)), None));
        let policies = limits.chain([approval]);
        let grants = || (0..self.grants()).map(|n| self.grant(n));
        let guarded: BTreeSet<Host> = guarded.into_iter().map(host).collect();
        let approved = grants().filter(|grant| guarded.contains(&grant.resource.host));
        let identities = (0..self.identities).map(|n| self.identity(n));
        Written {
            identities: identities.map(|i| (i.key.clone(), i)).collect(),
            grants: grants().map(|g| (g.key.clone(), g)).collect(),
            policies: policies.map(|p| (p.name.clone(), p)).collect(),
            approvals: approved.map(|g| (g.key.clone(), approval_of(&g))).collect(),
            ..Written::default()
        }
    }

    fn identity(&self, number: usize) -> Identity {
        let number = number % self.identities;
        Identity {
            key: key(number, &format!("agent-{number}")),
            uid: uid(number),
            processes: vec![ProcessSelector {
                name: name("main"),
                path: "/usr/bin/python3.12".parse().expect("a path"),
                sha256: digest(0),
                script: None,
                children: ChildrenRule::None,
            }],
            enforcement: Enforcement::Enforce,
            process_access: ProcessAccess::None,
        }
    }

    fn grant(&self, number: usize) -> Grant {
        let identity = self.identity(number / self.grants_each);
        Grant {
            key: ObjectKey {
                namespace: identity.key.namespace.clone(),
                name: name(&format!("grant-{number}")),
            },
            uid: uid(number),
            spec_hash: digest(number),
            identity: identity.key,
            requires: None,
            resource: Resource {
                host: host(number * 37 % HOSTS),
                port: Port::new(443).expect("a port"),
                protocol: Protocol::Https,
                tls: Tls::Terminate,
                http: Vec::new(),
                mcp: McpRule::default(),
                conditions: Vec::new(),
                allow_private: false,
                ca_bundle: None,
            },
            credential: None,
            limits: grant::Limits::default(),
            lifetime: Lifetime::For(minutes(60)),
            not_before: None,
            activated_at: None,
            revoked: false,
            asked: None,
        }
    }
}

fn approval_of(grant: &Grant) -> Approval {
    Approval {
        key: grant.key.clone(),
        grant: grant.key.clone(),
        grant_uid: grant.uid.clone(),
        spec_hash: grant.spec_hash,
        approver: "ann@example.com".to_owned(),
        verdict: Verdict::Approve,
        decided_at: now() - SignedDuration::from_mins(1),
    }
}

fn policy(
    number: usize,
    hosts: &[usize],
    namespaces: &[usize],
    max_duration: Option<GrantDuration>,
    approval: Option<ApprovalRule>,
) -> Policy {
    Policy {
        name: name(&format!("policy-{number}")),
        namespaces: namespaces.iter().copied().map(namespace).collect(),
        hosts: hosts.iter().copied().map(host).collect(),
        effect: Effect::Limit(Limits {
            max_duration,
            approval,
        }),
    }
}

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().expect("a time")
}

fn minutes(minutes: u64) -> GrantDuration {
    GrantDuration::new(Duration::from_mins(minutes)).expect("a duration")
}

fn host(number: usize) -> Host {
    format!("host-{number}.example.com")
        .parse()
        .expect("a host")
}

fn namespace(number: usize) -> Namespace {
    let number = number % NAMESPACES;
    format!("team-{number}").parse().expect("a namespace")
}

fn name(text: &str) -> ObjectName {
    text.parse().expect("a name")
}

fn key(number: usize, text: &str) -> ObjectKey {
    ObjectKey {
        namespace: namespace(number),
        name: name(text),
    }
}

/// As long as the API server's.
fn uid(number: usize) -> Uid {
    Uid::new(format!("00000000-0000-4000-8000-{number:012x}"))
}

fn digest(number: usize) -> Sha256Digest {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Sha256Digest::new(bytes)
}
