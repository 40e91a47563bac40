//! Waiting for a state, never for a time.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Longer than anything here takes on a busy machine; what takes longer never comes.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Waits until `look` finds something, and says what was waited for if it never does.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            started.elapsed() < LIMIT,
            "waited {LIMIT:?} in vain until {what}"
        );
        thread::sleep(Duration::from_millis(1));
    }
}
