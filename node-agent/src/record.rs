//! The record: one JSON object a line, appended; as many files of it as are kept, the oldest of which is forgotten for a
//! new one.

mod files;
mod left_open;

pub use self::left_open::LeftOpen;

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use lanyard_protocol::record::{Event, FORMAT, Record};
use thiserror::Error;
use tokio::sync::broadcast;
use tracing::warn;
use uuid::{ContextV7, Timestamp, Uuid};

use crate::kernel::clock::Moment;

/// Refusals kept in memory for `explain --last`.
const REFUSALS: usize = 512;
/// Lines a slow follower may be behind before it misses some.
const BEHIND: usize = 4096;

/// Why the record could not be written or read. What needs a record is refused then.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The system refused.
    #[error("{attempt} the record {path}: {source}", path = .path.display())]
    System {
        /// What was attempted.
        attempt: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An event has no JSON.
    #[error("an event cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// How long one file gets, in bytes.
const EACH: u64 = 64 << 20;

/// Writes the record of one node.
pub struct Recorder {
    node: String,
    path: PathBuf,
    file: File,
    /// How many bytes are in it.
    length: u64,
    /// At which length another one is begun.
    full_at: u64,
    /// How long one file gets.
    each: u64,
    /// Whether the file ends within a line: after a crash, or after a write that failed half-way.
    is_cut: bool,
    context: ContextV7,
    refusals: VecDeque<Record>,
    lines: broadcast::Sender<Arc<str>>,
}

impl Recorder {
    /// Opens the record for appending. Only root reads it.
    pub fn open(path: PathBuf, node: String) -> Result<Self, RecordError> {
        Self::open_with(path, node, EACH)
    }

    fn open_with(path: PathBuf, node: String, each: u64) -> Result<Self, RecordError> {
        let failed = |source| RecordError::System {
            attempt: "open",
            path: path.clone(),
            source,
        };
        let file = append_to(&path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let (lines, _) = broadcast::channel(BEHIND);
        let is_cut = ends_within_a_line(&file).map_err(|source| RecordError::System {
            attempt: "read",
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            is_cut,
            node,
            path,
            file,
            length,
            full_at: each,
            each,
            context: ContextV7::new(),
            refusals: VecDeque::new(),
            lines,
        })
    }

    /// Writes one event. When this returns, it is in the file.
    pub fn write(&mut self, event: Event, now: Moment) -> Result<Uuid, RecordError> {
        let seconds = u64::try_from(now.wall.as_second()).unwrap_or(0);
        let nanos = u32::try_from(now.wall.subsec_nanosecond()).unwrap_or(0);
        let id = Uuid::new_v7(Timestamp::from_unix(&self.context, seconds, nanos));
        let record = Record {
            format: FORMAT,
            id,
            at: now.wall,
            node: self.node.clone(),
            event,
        };
        let line = serde_json::to_string(&record)?;
        // What was cut stays a line of its own, and takes no whole record with it.
        let before = if self.is_cut { "\n" } else { "" };
        let text = format!("{before}{line}\n");
        self.is_cut = true;
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|source| self.failed("write", source))?;
        self.is_cut = false;
        self.length += text.len() as u64;
        self.begin_another_when_full();
        if record.event.is_refusal() {
            self.refusals.truncate(REFUSALS - 1);
            self.refusals.push_front(record);
        }
        // Without followers there is nobody to send to.
        let _ = self.lines.send(line.into());
        Ok(id)
    }

    /// The last refusal that `visible` accepts.
    pub fn last_refusal(&self, visible: impl Fn(&Record) -> bool) -> Option<&Record> {
        self.refusals.iter().find(|record| visible(record))
    }

    /// The file, for [`find`] and [`last`].
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every line that is written from now on.
    pub fn follow(&self) -> broadcast::Receiver<Arc<str>> {
        self.lines.subscribe()
    }

    /// What is written is written: where no other file can be begun, this one goes on.
    fn begin_another_when_full(&mut self) {
        if self.length < self.full_at {
            return;
        }
        match self.begin_another() {
            Ok(file) => {
                self.file = file;
                self.length = 0;
                self.full_at = self.each;
            }
            Err(error) => {
                warn!(%error, "another file of the record could not be begun; this one goes on");
                self.full_at = self.length + self.each;
            }
        }
    }

    /// The next file is open before anything is moved: there is always one that is written and found.
    fn begin_another(&self) -> io::Result<File> {
        let next = files::earlier(&self.path, 0);
        let file = append_to(&next)?;
        files::shift(&self.path)?;
        std::fs::rename(next, &self.path)?;
        Ok(file)
    }

    fn failed(&self, attempt: &'static str, source: io::Error) -> RecordError {
        RecordError::System {
            attempt,
            path: self.path.clone(),
            source,
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .read(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

fn ends_within_a_line(file: &File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    Ok(last != [b'\n'])
}

/// The record with that id, in the files of the record at `path`. Reads all of them: for a thread of its own.
pub fn find(path: &Path, id: Uuid) -> Result<Option<Record>, RecordError> {
    let wanted = id.to_string();
    for file in files::newest_first(path).map_err(|source| failed_to_read(path, source))? {
        for line in BufReader::new(file).lines() {
            let line = line.map_err(|source| failed_to_read(path, source))?;
            if line.contains(&wanted)
                && let Ok(record) = serde_json::from_str::<Record>(&line)
                && record.id == id
            {
                return Ok(Some(record));
            }
        }
    }
    Ok(None)
}

/// The last `count` lines of the record at `path`. Reads whole files: for a thread of its own.
pub fn last(path: &Path, count: usize) -> Result<Vec<String>, RecordError> {
    let mut last = VecDeque::new();
    for file in files::newest_first(path).map_err(|source| failed_to_read(path, source))? {
        let missing = count - last.len();
        let mut of_file = VecDeque::new();
        for line in BufReader::new(file).lines() {
            of_file.push_back(line.map_err(|source| failed_to_read(path, source))?);
            if of_file.len() > missing {
                of_file.pop_front();
            }
        }
        of_file.append(&mut last);
        last = of_file;
        if last.len() >= count {
            break;
        }
    }
    Ok(last.into())
}

fn failed_to_read(path: &Path, source: io::Error) -> RecordError {
    RecordError::System {
        attempt: "read",
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use lanyard_protocol::record::ScopeRef;

    use super::*;

    const NOW: Moment = Moment {
        boot: 1,
        wall: jiff::Timestamp::UNIX_EPOCH,
    };

    fn refusal(name: &str, uid: u32) -> Event {
        let scope = ScopeRef {
            name: "bot-1".into(),
            agent: "bot".parse().unwrap(),
            uid,
        };
        Event::NameRefused {
            scope,
            name: name.into(),
        }
    }

    fn recorder() -> (tempfile::TempDir, Recorder) {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::open(folder.path().join("record.jsonl"), "n".into()).unwrap();
        (folder, recorder)
    }

    #[test]
    fn ids_are_in_the_order_of_writing_also_within_a_millisecond() {
        let (_folder, mut recorder) = recorder();
        let ids: Vec<Uuid> = (0..100)
            .map(|_| recorder.write(refusal("a", 1), NOW).unwrap())
            .collect();
        assert!(ids.is_sorted());
    }

    #[test]
    fn a_line_that_a_crash_cut_takes_no_other_with_it() {
        let (folder, mut recorder) = recorder();
        recorder.write(refusal("a", 1), NOW).unwrap();
        recorder.file.write_all(b"{\"cut").unwrap();
        let path = folder.path().join("record.jsonl");
        let mut recorder = Recorder::open(path, "n".into()).unwrap();
        let after = recorder.write(refusal("b", 1), NOW).unwrap();
        assert_eq!(find(recorder.path(), after).unwrap().unwrap().id, after);
    }

    #[test]
    fn a_record_is_found_by_its_id_and_no_other() {
        let (_folder, mut recorder) = recorder();
        let first = recorder.write(refusal("a", 1), NOW).unwrap();
        recorder.write(refusal("b", 1), NOW).unwrap();
        assert_eq!(find(recorder.path(), first).unwrap().unwrap().id, first);
        assert_eq!(find(recorder.path(), Uuid::nil()).unwrap(), None);
    }

    #[test]
    fn a_full_file_gives_way_to_another_and_the_oldest_of_all_is_forgotten() {
        const WRITTEN: usize = 200;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.jsonl");
        let mut recorder = Recorder::open_with(path.clone(), "n".into(), 2_000).unwrap();
        let ids: Vec<Uuid> = (0..WRITTEN)
            .map(|_| recorder.write(refusal("a", 1), NOW).unwrap())
            .collect();
        let names = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names, files::KEPT + 1, "and no more");
        let kept = last(&path, WRITTEN).unwrap();
        assert!(kept.len() < WRITTEN, "the oldest are gone");
        let oldest = ids[WRITTEN - kept.len()];
        assert!(
            kept[0].contains(&oldest.to_string()),
            "in order, none left out"
        );
        assert!(kept[kept.len() - 1].contains(&ids[WRITTEN - 1].to_string()));
        assert_eq!(last(&path, 25).unwrap(), kept[kept.len() - 25..]);
        assert_eq!(find(&path, oldest).unwrap().unwrap().id, oldest);
        assert_eq!(find(&path, ids[0]).unwrap(), None);

        let mut recorder = Recorder::open_with(path.clone(), "n".into(), 2_000).unwrap();
        recorder.write(refusal("b", 1), NOW).unwrap();
        assert!(last(&path, 1).unwrap()[0].contains(r#""name":"b""#));
    }

    #[test]
    fn where_no_other_file_can_be_begun_this_one_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.jsonl");
        // What stands in the way cannot be renamed over.
        std::fs::create_dir_all(files::earlier(&path, 1).join("folder")).unwrap();
        let mut recorder = Recorder::open_with(path.clone(), "n".into(), 500).unwrap();
        let ids: Vec<Uuid> = (0..20)
            .map(|_| recorder.write(refusal("a", 1), NOW).unwrap())
            .collect();
        let all = std::fs::read_to_string(&path).unwrap();
        assert!(ids.iter().all(|id| all.contains(&id.to_string())));
    }

    #[test]
    fn the_last_refusal_is_the_last_that_may_be_seen() {
        let (_folder, mut recorder) = recorder();
        let mine = recorder.write(refusal("a", 1), NOW).unwrap();
        recorder.write(refusal("b", 2), NOW).unwrap();
        let visible = |record: &Record| record.event.scope().is_some_and(|scope| scope.uid == 1);
        assert_eq!(recorder.last_refusal(visible).unwrap().id, mine);
    }

    #[test]
    fn a_follower_gets_what_was_and_what_comes() {
        let (_folder, mut recorder) = recorder();
        recorder.write(refusal("a", 1), NOW).unwrap();
        recorder.write(refusal("b", 1), NOW).unwrap();
        let mut coming = recorder.follow();
        let past = last(recorder.path(), 1).unwrap();
        recorder.write(refusal("c", 1), NOW).unwrap();
        assert!(past.len() == 1 && past[0].contains(r#""name":"b""#));
        assert!(coming.try_recv().unwrap().contains(r#""name":"c""#));
    }
}
