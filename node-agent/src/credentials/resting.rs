//! Credentials between two requests. A static one rests for a minute at most; what failed is not asked for
//! again at once. No I/O.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use tokio::sync::watch;

use super::{CredentialError, Obtained, Place, Wanted, locked::Locked};

/// How long a credential rests that nobody uses.
const IDLE: u64 = nanos(Duration::from_mins(1));

/// How long one is used that everybody uses: then its source is asked whether it is still the same.
const FRESH: u64 = nanos(Duration::from_mins(1));

/// How long it is taken for the newest, even when a service refuses it: a service that refuses everything does
/// not have its source asked at every request.
const NEWEST: u64 = nanos(Duration::from_secs(5));

/// How long a source that failed is left alone; each further failure doubles it.
const FIRST_PAUSE: u64 = nanos(Duration::from_secs(1));
const LONGEST_PAUSE: u64 = nanos(Duration::from_secs(30));

const SECOND: u64 = nanos(Duration::from_secs(1));

/// Boot-clock nanoseconds of half a thousand years fit.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the durations here are minutes at most"
)]
const fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

/// A credential that rests here.
#[derive(Clone)]
pub struct Held {
    /// The user name, of sources that have one.
    pub username: Option<String>,
    /// Tells it from those before and after it.
    pub version: u64,
    secret: Rc<Locked>,
}

impl Held {
    /// Shows the secret to the one that sends it to a broker.
    pub fn reveal(&self) -> &[u8] {
        self.secret.reveal()
    }
}

/// What there is of a credential.
pub enum Look {
    /// It rests here.
    Held(Held),
    /// Its source failed, and is left alone for now.
    Failed(CredentialError),
    /// Somebody obtains it: wait until that changes, and look again.
    Wait(watch::Receiver<()>),
    /// The caller obtains it now, and [settles](Resting::settle) it.
    Obtain(watch::Receiver<()>),
}

/// All that rest here, by their source.
#[derive(Default)]
pub struct Resting {
    entries: BTreeMap<Place, Entry>,
    versions: u64,
}

struct Entry {
    /// What it was obtained from: one that was written anew since is another.
    source: Wanted,
    held: Option<Rest>,
    failed: Option<Failure>,
    obtaining: Option<watch::Sender<()>>,
}

struct Rest {
    held: Held,
    obtained_at: u64,
    used_at: u64,
}

struct Failure {
    error: CredentialError,
    count: u32,
    until: u64,
}

impl Resting {
    /// What there is of the credential of `source` at `now`, in nanoseconds of the boot clock.
    pub fn look(&mut self, source: &Wanted, refused_version: u64, now: u64) -> Look {
        let entry = self.entries.entry(source.place());
        let entry = entry.or_insert_with(|| Entry::new(source));
        if entry.source != *source {
            *entry = Entry::new(source);
        }
        entry.age(now);
        // One that was obtained just now is the newest there is, whoever refused it.
        let is_newest = |rest: &Rest| {
            rest.held.version > refused_version || now.saturating_sub(rest.obtained_at) < NEWEST
        };
        if let Some(rest) = entry.held.as_mut().filter(|rest| is_newest(rest)) {
            rest.used_at = now;
            return Look::Held(rest.held.clone());
        }
        if let Some(obtaining) = &entry.obtaining {
            return Look::Wait(obtaining.subscribe());
        }
        if let Some(failure) = entry.failed.as_ref().filter(|failure| failure.until > now) {
            return Look::Failed(CredentialError::Again {
                error: failure.error.to_string(),
                seconds: (failure.until - now).div_ceil(SECOND),
            });
        }
        let sender = watch::Sender::new(());
        let settled = sender.subscribe();
        entry.obtaining = Some(sender);
        Look::Obtain(settled)
    }

    /// Takes what was obtained from `source`, or why it was not; whoever waits for it looks again.
    pub fn settle(&mut self, source: &Wanted, result: Result<Obtained, CredentialError>, now: u64) {
        let Some(entry) = self.entries.get_mut(&source.place()) else {
            return;
        };
        if entry.source != *source {
            return;
        }
        entry.obtaining = None;
        match result {
            Ok(obtained) => {
                let known = entry.held.take().map(|rest| rest.held);
                let held = self.versions.held(obtained, known);
                entry.failed = None;
                entry.held = Some(Rest {
                    held,
                    obtained_at: now,
                    used_at: now,
                });
            }
            Err(error) => {
                let count = entry.failed.as_ref().map_or(0, |failure| failure.count);
                let pause = FIRST_PAUSE << count.min(6);
                entry.held = None;
                entry.failed = Some(Failure {
                    error,
                    count: count + 1,
                    until: now + pause.min(LONGEST_PAUSE),
                });
            }
        }
    }

    /// Forgets what rested for too long, and what nothing is written of any more.
    pub fn sweep(&mut self, is_written: impl Fn(&Wanted) -> bool, now: u64) {
        self.entries.retain(|_, entry| {
            entry.age(now);
            let is_left = entry
                .failed
                .as_ref()
                .is_some_and(|failure| failure.until + LONGEST_PAUSE > now);
            let is_of_use = entry.held.is_some() || entry.obtaining.is_some() || is_left;
            is_of_use && is_written(&entry.source)
        });
    }
}

trait Versions {
    fn held(&mut self, obtained: Obtained, known: Option<Held>) -> Held;
}

impl Versions for u64 {
    /// What is obtained again and is the same stays the version it was: a service that refused it would refuse
    /// it again.
    fn held(&mut self, obtained: Obtained, known: Option<Held>) -> Held {
        let is_same = |known: &Held| {
            known.reveal() == obtained.secret.as_slice() && known.username == obtained.username
        };
        if let Some(known) = known.filter(is_same) {
            return known;
        }
        *self += 1;
        Held {
            username: obtained.username,
            version: *self,
            secret: Rc::new(Locked::new(&obtained.secret)),
        }
    }
}

impl Entry {
    fn new(source: &Wanted) -> Self {
        Self {
            source: source.clone(),
            held: None,
            failed: None,
            obtaining: None,
        }
    }

    fn age(&mut self, now: u64) {
        let is_old = |rest: &Rest| {
            now.saturating_sub(rest.used_at) >= IDLE
                || now.saturating_sub(rest.obtained_at) >= FRESH
        };
        if self.held.as_ref().is_some_and(is_old) {
            self.held = None;
        }
    }
}

#[cfg(test)]
mod tests;
