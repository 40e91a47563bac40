//! Requests whose end nobody wrote, for the node agent was killed: their brokers ended with it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    path::Path,
};

use lanyard_protocol::record::{Event, Outcome, Record, ScopeRef};
use uuid::Uuid;

use super::files;

/// How many files are looked through, the last ones.
const FILES: usize = 2;

/// What is in the record before anything new is written.
pub struct LeftOpen(Vec<(File, u64)>);

impl LeftOpen {
    /// What is in the record at `path` now.
    pub fn of(path: &Path) -> io::Result<Self> {
        let mut files = files::newest_first(path)?;
        files.truncate(FILES);
        files.reverse();
        let with_length = files.into_iter().map(|file| {
            let length = file.metadata()?.len();
            Ok((file, length))
        });
        with_length.collect::<io::Result<_>>().map(Self)
    }

    /// The ends that are missing. Reads whole files: for a thread of its own.
    pub fn ends(self) -> io::Result<Vec<Event>> {
        let mut open = BTreeMap::new();
        for (file, length) in self.0 {
            for line in BufReader::new(file.take(length)).split(b'\n') {
                look_at(&line?, &mut open);
            }
        }
        Ok(open.into_iter().map(end).collect())
    }
}

fn look_at(line: &[u8], open: &mut BTreeMap<Uuid, ScopeRef>) {
    // A line that a crash cut is nobody's.
    let line = std::str::from_utf8(line).unwrap_or_default();
    if !line.contains("\"RequestIntended\"") && !line.contains("\"RequestEnded\"") {
        return;
    }
    let Ok(record) = serde_json::from_str::<Record>(line) else {
        return;
    };
    if let Event::RequestIntended { scope, .. } = record.event {
        open.insert(record.id, scope);
    } else if let Event::RequestEnded { intent, .. } = record.event {
        open.remove(&intent);
    }
}

/// How much it carried, nobody told.
fn end((intent, scope): (Uuid, ScopeRef)) -> Event {
    Event::RequestEnded {
        scope,
        intent,
        status: None,
        sent_bytes: 0,
        received_bytes: 0,
        outcome: Outcome::BrokerEnded,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use lanyard_protocol::record::{GrantRef, Process, Request};

    use super::{super::Recorder, *};
    use crate::kernel::clock::Moment;

    const NOW: Moment = Moment {
        boot: 1,
        wall: Timestamp::UNIX_EPOCH,
    };

    fn scope() -> ScopeRef {
        ScopeRef {
            name: "bot-1".into(),
            agent: "default/bot".parse().unwrap(),
            uid: 1000,
        }
    }

    fn intended() -> Event {
        Event::RequestIntended {
            scope: scope(),
            process: Process {
                pid: 1,
                exec_id: 1,
                path: None,
                sha256: None,
                level: None,
                reason: None,
            },
            request: Request {
                method: "GET".into(),
                host: "api.example.com".parse().unwrap(),
                port: 443,
                path: "/".into(),
                mcp: None,
            },
            grant: GrantRef {
                key: "default/api".parse().unwrap(),
                uid: lanyard_access::object::Uid::new("u"),
                spec_hash: lanyard_access::digest::Sha256Digest::new([0; 32]),
            },
            credential: None,
        }
    }

    #[test]
    fn what_has_no_end_gets_one_and_what_comes_later_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.jsonl");
        let mut recorder = Recorder::open(path.clone(), "n".into()).unwrap();
        let ended = recorder.write(intended(), NOW).unwrap();
        let open = recorder.write(intended(), NOW).unwrap();
        recorder.write(end((ended, scope())), NOW).unwrap();
        let left = LeftOpen::of(&path).unwrap();
        recorder.write(intended(), NOW).unwrap();
        assert_eq!(left.ends().unwrap(), [end((open, scope()))]);
    }
}
