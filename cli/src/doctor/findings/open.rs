//! What an agent, or somebody beside it, can still do. The rows of docs/threat-model.md that apply to this
//! machine.

use super::{Finding, State};
use crate::doctor::facts::{Facts, Kernel, NodeAgent, ReachedBy, Service};

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let services = facts.services.iter();
    let mut all: Vec<_> = services
        .map(|service| escape(service, &facts.kernel))
        .collect();
    all.push(other_scopes(&facts.kernel));
    all.extend(executed_later(facts));
    all.push(neighbour(&facts.kernel));
    all.extend(always());
    all.extend(observed(&facts.node_agent));
    all
}

/// Rows 7 and 10: something outside runs the agent's code.
fn escape(service: &Service, kernel: &Kernel) -> Finding {
    let about = "escape";
    match &service.reached_by {
        ReachedBy::Socket(path) => {
            let there = format!("{} listens on {}", service.name, path.display());
            if kernel.has_unix_hooks {
                let says =
                    format!("{there}; refused unless unixSockets of the local policy lists it");
                return Finding::new(about, State::Closed, says);
            }
            let says = format!("{there}, and this tier lets an agent ask it to act outside");
            Finding::new(about, State::Open, says).todo(
                "use a kernel of 6.7 or later, stop the service, or run agents as a user who may not reach it",
            )
        }
        ReachedBy::Program(path) => {
            let says = format!(
                "{} is at {}; it gains no rights under no_new_privs",
                service.name,
                path.display()
            );
            if kernel.landlock == 0 {
                let says =
                    format!("{says}, but without Landlock the files of its service are reached");
                return Finding::new(about, State::Open, says).todo("switch Landlock on");
            }
            Finding::new(about, State::Closed, says)
        }
    }
}

fn other_scopes(kernel: &Kernel) -> Finding {
    let about = "start-up files";
    if kernel.landlock == 0 {
        let says = "an agent can write .bashrc, .profile, crontabs and autostart files of your home folder";
        return Finding::new(about, State::Open, says).todo("switch Landlock on");
    }
    let says =
        "start-up files, credentials and other agents' state of your home folder are out of reach";
    Finding::new(about, State::Closed, says)
}

fn executed_later(facts: &Facts) -> Option<Finding> {
    if facts.executed_later.is_empty() {
        return None;
    }
    let says = format!(
        "an agent may write in this folder, and this runs outside a scope when you or a tool next use it: {}",
        facts.executed_later.join(", ")
    );
    let remedy = "look at what changed (git diff) before you run it, or run it as an agent too";
    Some(Finding::new("run later", State::Open, says).todo(remedy))
}

/// Row 5.
fn neighbour(kernel: &Kernel) -> Finding {
    let about = "same user, outside";
    let says = match kernel.ptrace_scope {
        Some(1..) => {
            "a program of yours outside a scope can still change an agent's files; Yama keeps it from tracing the agent, except from a parent"
        }
        Some(0) | None => {
            "a program of yours outside a scope can still trace an agent and change its files"
        }
    };
    Finding::new(about, State::Open, says).todo(
        "run agents as a user of their own where that matters, and set kernel.yama.ptrace_scope=1",
    )
}

/// What holds on every machine.
fn always() -> [Finding; 4] {
    let root = "an agent that runs as root can undo what is enforced";
    let tool = "a grant to a tool is a grant to whoever may execute it in that scope";
    let echo = "a service that sends back pieces of a request, or the request changed, gives a brokered secret away";
    let record = "root can change the record: it has no chain and no signature yet";
    [
        Finding::new("root", State::Open, root).todo("run agents as an ordinary user"),
        Finding::new("granted tools", State::Open, tool)
            .todo("grant to programs that do one thing, and for as long as it takes"),
        Finding::new("echoed secrets", State::Open, echo)
            .todo("give credentials to services that you trust with them"),
        Finding::new("record", State::Open, record).todo("copy it away where that matters"),
    ]
}

fn observed(node_agent: &NodeAgent) -> Option<Finding> {
    let NodeAgent::Answers { observes: true, .. } = node_agent else {
        return None;
    };
    let says = "an AgentIdentity says Observe: nothing is refused to that agent";
    let remedy = "lanyard suggest --as NAME, and then enforcement: Enforce";
    Some(Finding::new("observed agents", State::Open, says).todo(remedy))
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    fn docker() -> Service {
        Service {
            name: "docker",
            reached_by: ReachedBy::Socket("/run/docker.sock".into()),
        }
    }

    fn states(facts: &Facts, about: &str) -> Vec<State> {
        let found = findings(facts);
        let of_it = found.iter().filter(|finding| finding.about == about);
        of_it.map(|finding| finding.state).collect()
    }

    #[test]
    fn a_service_behind_a_socket_is_closed_where_the_kernel_has_the_hook_and_open_elsewhere() {
        let mut facts = sample::machine();
        assert!(states(&facts, "escape").is_empty());
        facts.services = vec![docker()];
        assert_eq!(states(&facts, "escape"), [State::Closed]);
        facts.kernel.has_unix_hooks = false;
        assert_eq!(states(&facts, "escape"), [State::Open]);
    }

    #[test]
    fn without_landlock_files_are_open() {
        let mut facts = sample::machine();
        facts.services = vec![Service {
            name: "crontab",
            reached_by: ReachedBy::Program("/usr/bin/crontab".into()),
        }];
        assert_eq!(states(&facts, "start-up files"), [State::Closed]);
        assert_eq!(states(&facts, "escape"), [State::Closed]);
        facts.kernel.landlock = 0;
        assert_eq!(states(&facts, "start-up files"), [State::Open]);
        assert_eq!(states(&facts, "escape"), [State::Open]);
    }

    #[test]
    fn every_open_line_says_what_to_do() {
        let mut facts = sample::machine();
        facts.kernel.has_unix_hooks = false;
        facts.kernel.landlock = 0;
        facts.services = vec![docker()];
        facts.executed_later = vec![".git/hooks".into(), "Makefile".into()];
        facts.node_agent = NodeAgent::Answers {
            node: "local".into(),
            version: "1".into(),
            problems: 0,
            observes: true,
        };
        let found = findings(&facts);
        for finding in found.iter().filter(|finding| finding.state == State::Open) {
            assert!(!finding.remedy.is_empty(), "{finding:?}");
        }
        assert_eq!(states(&facts, "run later"), [State::Open]);
        assert_eq!(states(&facts, "observed agents"), [State::Open]);
    }
}
