//! How much was carried under grants that allow only so much. It is on disk before it is used, so that neither a
//! crash nor a restart gives anything back.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    rc::Rc,
};

use lanyard_access::{desired::LiveGrant, grant::Limits};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::{sync::Mutex, task::spawn_blocking};
use tracing::error;
use uuid::Uuid;

use crate::{
    deadline::Spec,
    kernel::clock::Moment,
    node::{Node, Shared},
};

/// Why nothing may be carried.
#[derive(Debug, Error)]
pub enum UsageError {
    /// As much was carried as the grant allows.
    #[error("as much was carried under the grant as it allows")]
    UsedUp,
    /// What was carried cannot be read or written, and what is not counted is not carried.
    #[error("{attempt} the count of a grant {path}: {source}", path = .path.display())]
    System {
        /// What was attempted.
        attempt: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What was carried under one life and spec of a grant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    uses: u64,
    bytes: u64,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// One request.
    Use,
    /// As many bytes as that, or as are left.
    Bytes(u64),
    /// To give back bytes that were not carried.
    Return(u64),
}

impl Count {
    /// The count afterwards, and how much of it is granted; nothing when nothing is left.
    pub fn after(self, ask: Ask, limits: Limits) -> Option<(Self, u64)> {
        let Self { uses, bytes } = self;
        let left = |limit: Option<std::num::NonZeroU64>, used: u64| {
            limit.map_or(u64::MAX, |limit| limit.get().saturating_sub(used))
        };
        let (count, granted) = match ask {
            Ask::Use => (
                Self {
                    uses: uses.saturating_add(1),
                    bytes,
                },
                left(limits.uses, uses).min(1),
            ),
            Ask::Bytes(wanted) => {
                let granted = wanted.min(left(limits.bytes, bytes));
                (
                    Self {
                        uses,
                        bytes: bytes.saturating_add(granted),
                    },
                    granted,
                )
            }
            Ask::Return(unused) => {
                let bytes = bytes.saturating_sub(unused);
                return Some((Self { uses, bytes }, unused));
            }
        };
        (granted > 0).then_some((count, granted))
    }

    /// Whether nothing more can be carried.
    pub fn is_used_up(self, limits: Limits) -> bool {
        let is_reached = |limit: Option<std::num::NonZeroU64>, used| {
            limit.is_some_and(|limit| used >= limit.get())
        };
        is_reached(limits.uses, self.uses) || is_reached(limits.bytes, self.bytes)
    }
}

/// A count, and whether it was read from its file.
type Counted = Rc<Mutex<Option<Count>>>;

/// The counts of one node.
#[derive(Default)]
pub struct Usage {
    counts: BTreeMap<Spec, Counted>,
    /// Requests under way, each with its scope.
    open: BTreeMap<Uuid, (u32, LiveGrant)>,
    /// Bytes that a scope's broker leased and did not give back: no more than that is taken back from it.
    leased: BTreeMap<(u32, Spec), u64>,
}

impl Usage {
    /// Forgets, here and on disk, what is of no grant any more.
    pub fn sweep(&mut self, folder: &Path, is_written: impl Fn(&Spec) -> bool) {
        self.counts.retain(|spec, _| is_written(spec));
        let Ok(entries) = fs::read_dir(folder) else {
            return;
        };
        let kept: Vec<PathBuf> = self
            .counts
            .keys()
            .map(|spec| file_of(folder, spec))
            .collect();
        for entry in entries.flatten() {
            if !kept.contains(&entry.path()) && is_old(&entry) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// What a broker asks for, of which it may give back no more than it has.
    pub fn bounded(&self, scope: u32, grant: &LiveGrant, ask: Ask) -> Ask {
        let key = (scope, (grant.uid.clone(), grant.spec_hash));
        match ask {
            Ask::Return(unused) => {
                Ask::Return(unused.min(self.leased.get(&key).copied().unwrap_or(0)))
            }
            Ask::Use | Ask::Bytes(_) => ask,
        }
    }

    /// So much was given to a broker, or taken back.
    pub fn leased(&mut self, scope: u32, grant: &LiveGrant, ask: Ask, bytes: u64) {
        let key = (scope, (grant.uid.clone(), grant.spec_hash));
        let leased = self.leased.entry(key).or_default();
        match ask {
            Ask::Bytes(_) => *leased = leased.saturating_add(bytes),
            Ask::Return(_) => *leased = leased.saturating_sub(bytes),
            Ask::Use => {}
        }
    }

    fn counted(&mut self, spec: &Spec) -> Counted {
        Rc::clone(self.counts.entry(spec.clone()).or_default())
    }
}

/// A grant that was deleted by mistake and written again within a month has its count still.
fn is_old(entry: &fs::DirEntry) -> bool {
    const MONTH: std::time::Duration = std::time::Duration::from_hours(31 * 24);
    let modified = entry.metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > MONTH))
}

/// Counts what is asked for under a grant, and says how much of it may be carried. Who asks at the same time
/// waits: no two are given the last use.
pub async fn count(node: &Shared, grant: &LiveGrant, ask: Ask) -> Result<u64, UsageError> {
    let spec = (grant.uid.clone(), grant.spec_hash);
    let (counted, folder) = {
        let mut node = node.borrow_mut();
        let folder = folder_of(&node);
        (node.usage.counted(&spec), folder)
    };
    let path = file_of(&folder, &spec);
    let mut count = counted.lock().await;
    let known = match *count {
        Some(known) => known,
        None => on_disk(path.clone(), |path| read(&path)).await?,
    };
    let Some((after, granted)) = known.after(ask, grant.limits) else {
        *count = Some(known);
        drop(count);
        node.borrow_mut().end_if_used_up(grant, Moment::now());
        return Err(UsageError::UsedUp);
    };
    on_disk(path, move |path| write(&path, after)).await?;
    *count = Some(after);
    Ok(granted)
}

pub(crate) fn folder_of(node: &Node) -> PathBuf {
    node.place.state.join("usage")
}

fn file_of(folder: &Path, (uid, hash): &Spec) -> PathBuf {
    let hash = hash.to_string();
    folder.join(format!("{uid}-{}", &hash[..16]))
}

async fn on_disk<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce(PathBuf) -> Result<T, UsageError> + Send + 'static,
) -> Result<T, UsageError> {
    let failed = path.clone();
    let done = spawn_blocking(move || work(path)).await;
    done.unwrap_or_else(|error| {
        error!(%error, "a count was not kept");
        Err(UsageError::System {
            attempt: "keep",
            path: failed,
            source: io::Error::other(error),
        })
    })
}

fn read(path: &Path) -> Result<Count, UsageError> {
    let failed = |source| UsageError::System {
        attempt: "read",
        path: path.to_owned(),
        source,
    };
    match fs::read(path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map_err(|error| failed(io::Error::other(error)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Count::default()),
        Err(error) => Err(failed(error)),
    }
}

/// Beside it first, so that a crash leaves one whole count or the other.
fn write(path: &Path, count: Count) -> Result<(), UsageError> {
    let failed = |source| UsageError::System {
        attempt: "write",
        path: path.to_owned(),
        source,
    };
    let folder = path.parent().unwrap_or(path);
    let new = path.with_extension("new");
    let text = serde_json::to_vec(&count).map_err(|error| failed(io::Error::other(error)))?;
    let written = || {
        fs::create_dir_all(folder)?;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(&text)?;
        file.sync_data()?;
        fs::rename(&new, path)?;
        fs::File::open(folder)?.sync_data()
    };
    written().map_err(failed)
}

impl Node {
    /// A request under a grant with limits was let begin.
    pub fn use_opened(&mut self, intent: Uuid, scope: u32, grant: &LiveGrant) {
        if !grant.limits.is_none() {
            self.usage.open.insert(intent, (scope, grant.clone()));
        }
    }

    /// What became of it is recorded.
    pub fn use_closed(&mut self, intent: Uuid, now: Moment) {
        if let Some((_, grant)) = self.usage.open.remove(&intent) {
            self.end_if_used_up(&grant, now);
        }
    }

    /// The broker of a scope is gone, and all that was open with it.
    pub(crate) fn usage_ended(&mut self, scope: u32, now: Moment) {
        // What it did not give back counts as carried.
        self.usage.leased.retain(|(of, _), _| *of != scope);
        let of_scope = |(_, (open_in, _)): (&Uuid, &mut (u32, LiveGrant))| *open_in == scope;
        let gone = self
            .usage
            .open
            .extract_if(.., |id, open| of_scope((id, open)));
        let gone: Vec<LiveGrant> = gone.map(|(_, (_, grant))| grant).collect();
        for grant in gone {
            self.end_if_used_up(&grant, now);
        }
    }

    /// A grant under which nothing more can be carried ends with the last of its requests: what was let begin
    /// goes on.
    fn end_if_used_up(&mut self, grant: &LiveGrant, now: Moment) {
        let spec = (grant.uid.clone(), grant.spec_hash);
        let is_open = self
            .usage
            .open
            .values()
            .any(|(_, open)| open.uid == grant.uid);
        // Whoever counts just now looks afterwards.
        let is_used_up = self
            .usage
            .counted(&spec)
            .try_lock()
            .is_ok_and(|count| count.is_some_and(|count| count.is_used_up(grant.limits)));
        if is_used_up && !is_open {
            self.compiler
                .use_up(&grant.key, &grant.uid, &grant.spec_hash);
            self.apply(now, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    const fn limits(uses: u64, bytes: u64) -> Limits {
        Limits {
            uses: NonZeroU64::new(uses),
            bytes: NonZeroU64::new(bytes),
        }
    }

    #[test]
    fn as_many_uses_are_given_as_are_allowed() {
        let limits = limits(2, 0);
        let mut count = Count::default();
        for used_up in [false, true] {
            let (after, granted) = count.after(Ask::Use, limits).unwrap();
            assert_eq!((granted, after.is_used_up(limits)), (1, used_up));
            count = after;
        }
        assert_eq!(count.after(Ask::Use, limits), None);
        // Bytes have no limit here.
        assert!(count.after(Ask::Bytes(u64::MAX), limits).is_some());
    }

    #[test]
    fn bytes_are_leased_down_to_the_last_and_given_back() {
        let limits = limits(0, 100);
        let lease = |count: Count, wanted| count.after(Ask::Bytes(wanted), limits);
        let (count, granted) = lease(Count::default(), 70).unwrap();
        assert_eq!(granted, 70);
        let (count, granted) = lease(count, 70).unwrap();
        assert_eq!(granted, 30);
        assert_eq!(lease(count, 1), None);
        let (count, _) = count.after(Ask::Return(10), limits).unwrap();
        assert_eq!(lease(count, 70).unwrap().1, 10);
    }

    #[test]
    fn a_count_is_read_back_and_a_damaged_one_allows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("usage/one");
        assert_eq!(read(&path).unwrap(), Count::default());
        let count = Count { uses: 3, bytes: 5 };
        write(&path, count).unwrap();
        assert_eq!(read(&path).unwrap(), count);
        fs::write(&path, "{").unwrap();
        assert!(matches!(read(&path), Err(UsageError::System { .. })));
    }
}
