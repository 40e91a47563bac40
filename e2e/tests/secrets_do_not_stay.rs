//! A secret is in the broker for one request, and in the node agent for a minute without use.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::{fs, time::Duration};

use lanyard_e2e::{
    counterparts::{self, Arrived, Holding},
    dialogue::Dialogue,
    forms::Forms,
    grant::{NamedGrant, credential, whoever},
    memory,
    scenes::{LOGIN, Stage, TOKEN, TOOLS},
    service::NAME,
    wait,
};

/// Far less than the connection to the service is kept, and nothing else of the request is left by then.
const SOON: Duration = Duration::from_secs(10);

/// A minute without use, and as long again for a machine that does much else.
const REST: Duration = Duration::from_mins(2);

/// Each way to put it in, at a port of its own: a credential source, its lines, and what arrives then.
struct Way {
    port: u16,
    name: &'static str,
    source: &'static [&'static str],
    injection: &'static [&'static str],
}

const FROM_FILE: &[&str] = &[
    "type: SecretKey",
    "secretKey:",
    "  name: service",
    "  key: token",
];
/// From a command.
const PAIR: &[&str] = &["type: Basic", "basic:", "  name: login"];

const WAYS: [Way; 4] = [
    Way {
        port: 8470,
        name: "bearer",
        source: FROM_FILE,
        injection: &["type: Bearer"],
    },
    Way {
        port: 8471,
        name: "header",
        source: FROM_FILE,
        injection: &[
            "type: Header",
            "header:",
            "  name: Authorization",
            "  prefix: \"token \"",
        ],
    },
    Way {
        port: 8472,
        name: "basic",
        source: PAIR,
        injection: &["type: Basic"],
    },
    Way {
        port: 8473,
        name: "query",
        source: FROM_FILE,
        injection: &["type: Query", "query:", "  parameter: key"],
    },
];

impl Way {
    fn write(&self, stage: &Stage) {
        let source = credential(self.name, self.source, self.injection, &[NAME]);
        let grant = NamedGrant {
            port: self.port,
            credential: Some(self.name),
            ..stage.grant(self.name)
        };
        for (file, text) in [("source", source), ("grant", grant.yaml())] {
            let file = format!("manifests/{}-{file}.yaml", self.name);
            stage.lab.write(&file, text).unwrap();
        }
        let key = format!("default/{}", self.name);
        stage.lanyard.until_live(&key).unwrap();
    }

    /// Whether the service got what it is to get.
    fn is_right(&self, arrived: &Arrived) -> bool {
        match self.name {
            "bearer" => arrived.authorization == format!("Bearer {TOKEN}"),
            "header" => arrived.authorization == format!("token {TOKEN}"),
            "basic" => arrived.authorization == format!("Basic {}", pair()),
            _ => arrived.target.ends_with(&format!("?key={TOKEN}")),
        }
    }
}

fn pair() -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(format!("{LOGIN}:{TOKEN}"))
}

fn until_arrived(service: &Holding, way: &Way, count: usize) -> Arrived {
    let found = wait::until("the request arrived", SOON, || {
        let mut arrived = service.arrived(way.port)?;
        Ok((arrived.len() == count).then(|| arrived.pop()).flatten())
    });
    let arrived = found.unwrap();
    assert!(way.is_right(&arrived), "{}: {arrived:?}", way.name);
    arrived
}

fn is_connected(broker: u32, port: u16) -> bool {
    const ESTABLISHED: &str = "01";
    let remote = format!(":{port:04X}");
    let sockets = fs::read_to_string(format!("/proc/{broker}/net/tcp")).unwrap();
    sockets.lines().any(|socket| {
        let mut words = socket.split_whitespace().skip(2);
        words
            .next()
            .is_some_and(|address| address.ends_with(&remote))
            && words.next() == Some(ESTABLISHED)
    })
}

/// A client with connections to the service, at every port of it.
struct Scene {
    stage: Stage,
    service: Holding,
    client: Dialogue,
    broker: u32,
    node_agent: u32,
    forms: Forms,
}

impl Scene {
    fn set() -> Self {
        let stage = Stage::set().unwrap();
        stage
            .lab
            .write("manifests/tools.yaml", whoever(TOOLS))
            .unwrap();
        let service = counterparts::holding(&stage.lab, &WAYS.map(|way| way.port)).unwrap();
        for way in &WAYS {
            way.write(&stage);
        }
        let client = Dialogue::with_peer(&stage, TOOLS, "kept.py", &[NAME]).unwrap();
        Self {
            broker: stage.lanyard.only_broker().unwrap(),
            node_agent: stage.lanyard.daemon().unwrap(),
            stage,
            service,
            client,
            forms: Forms::of(TOKEN),
        }
    }

    /// That both have it while a request is open: a search that finds nothing proves nothing.
    fn is_held(&self, what: &str) {
        for pid in [self.broker, self.node_agent] {
            let places = memory::find(pid, &self.forms).unwrap();
            assert!(!places.is_empty(), "the search finds nothing: {what}");
        }
    }

    fn is_gone(&self, pid: u32, limit: Duration, what: &str) {
        let mut last = Vec::new();
        let gone = wait::until("no form of the secret is there", limit, || {
            last = memory::find(pid, &self.forms)?;
            Ok(last.is_empty().then_some(()))
        });
        gone.unwrap_or_else(|error| {
            panic!(
                "{what}: {error}: {last:#?}\n{}",
                self.stage.lanyard.daemon_log()
            )
        });
    }
}

#[test]
fn after_a_reply_the_broker_has_no_form_of_the_secret() {
    let mut scene = Scene::set();
    for way in &WAYS {
        scene.client.say(&format!("{} /held", way.port)).unwrap();
        let first = until_arrived(&scene.service, way, 1);
        scene.is_held(way.name);
        scene.service.release().unwrap();
        assert_eq!(scene.client.hear().unwrap(), "200 done");
        scene.is_gone(scene.broker, SOON, way.name);
        assert!(is_connected(scene.broker, way.port), "{}", way.name);
        let reply = scene.client.ask(&format!("{} /", way.port)).unwrap();
        assert_eq!(reply, "200 done");
        let second = until_arrived(&scene.service, way, 2);
        assert_eq!(first.connection, second.connection, "{}", way.name);
        scene.service.hold().unwrap();
    }
    scene.is_gone(scene.node_agent, REST, "the node agent");
}

#[test]
fn what_is_refused_or_left_does_not_leave_it_behind_either() {
    let mut scene = Scene::set();
    for way in &WAYS {
        let port = way.port;
        let reply = scene.client.ask(&format!("{port} /refused")).unwrap();
        assert_eq!(reply, "401 done", "{}", way.name);
        scene.is_gone(scene.broker, SOON, way.name);
        let asked = scene.client.ask(&format!("{port} /held leave")).unwrap();
        assert_eq!(asked, "asked", "{}", way.name);
        wait::until("the request arrived", SOON, || {
            let arrived = scene.service.arrived(port)?;
            let held = arrived
                .last()
                .is_some_and(|last| last.target.starts_with("/held"));
            Ok(held.then_some(()))
        })
        .unwrap();
        scene.is_held(way.name);
        assert_eq!(scene.client.ask("now").unwrap(), "left");
        scene.is_gone(scene.broker, SOON, way.name);
    }
}
