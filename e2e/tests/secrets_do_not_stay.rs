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
            name: self.name,
            agent: TOOLS,
            host: NAME,
            port: self.port,
            protocol: "HTTPS",
            resource: Vec::new(),
            authority: Some(&stage.service.authority),
            credential: Some(self.name),
            spec: Vec::new(),
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

#[test]
fn after_a_reply_the_broker_has_no_form_of_the_secret() {
    let stage = Stage::set().unwrap();
    stage
        .lab
        .write("manifests/tools.yaml", whoever(TOOLS))
        .unwrap();
    let service = counterparts::holding(&stage.lab, &WAYS.map(|way| way.port)).unwrap();
    for way in &WAYS {
        way.write(&stage);
    }
    let mut client = Dialogue::with_peer(&stage, TOOLS, "kept.py", &[NAME]).unwrap();
    let broker = stage.lanyard.only_broker().unwrap();
    let node_agent = stage.lanyard.daemon().unwrap();
    let forms = Forms::of(TOKEN);
    let found = |pid| memory::find(pid, &forms);
    for way in &WAYS {
        client.say(&format!("{} /held", way.port)).unwrap();
        let first = until_arrived(&service, way, 1);
        for pid in [broker, node_agent] {
            let places = found(pid).unwrap();
            assert!(!places.is_empty(), "the search finds nothing: {}", way.name);
        }
        service.release().unwrap();
        assert_eq!(client.hear().unwrap(), "200 done");
        let mut last = Vec::new();
        let gone = wait::until("the broker has no form of the secret", SOON, || {
            last = found(broker)?;
            Ok(last.is_empty().then_some(()))
        });
        gone.unwrap_or_else(|error| panic!("{}: {error}: {last:#?}", way.name));
        assert!(is_connected(broker, way.port), "{}", way.name);
        assert_eq!(client.ask(&format!("{} /", way.port)).unwrap(), "200 done");
        let second = until_arrived(&service, way, 2);
        assert_eq!(first.connection, second.connection, "{}", way.name);
        service.hold().unwrap();
    }
    let mut last = Vec::new();
    let gone = wait::until("the node agent has no form of the secret", REST, || {
        last = found(node_agent)?;
        Ok(last.is_empty().then_some(()))
    });
    gone.unwrap_or_else(|error| panic!("{error}: {last:#?}"));
}
