//! Waiting for a state, never for a time.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Longer than anything here takes on a busy machine; what takes longer never comes.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Waits until `look` finds something, and says what was waited for if it never does.
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within_limit(look).unwrap_or_else(|| panic!("waited {LIMIT:?} in vain until {what}"))
}

/// Waits until `look` finds something.
pub(crate) fn within_limit<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        let found = look();
        if found.is_some() || started.elapsed() > LIMIT {
            return found;
        }
        thread::sleep(Duration::from_millis(1));
    }
}
