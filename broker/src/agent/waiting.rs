//! Who waits for which answer, and for how long.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lanyard_protocol::broker::answer::Answer;
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep},
};

use super::CallError;

/// How often it is looked who waited too long: a timer for each call would cost more than the call.
const LOOK: Duration = Duration::from_secs(1);

/// The calls without an answer.
#[derive(Default)]
pub(super) struct Waiting {
    table: Mutex<Table>,
    /// That a call waits, and nobody looks how long.
    is_unwatched: Notify,
}

#[derive(Default)]
struct Table {
    calls: BTreeMap<u64, Waiter>,
    is_watched: bool,
}

struct Waiter {
    answer: oneshot::Sender<Result<Answer, CallError>>,
    until: Instant,
}

/// Held by who carries the answers; when it is gone, none comes any more.
#[derive(Debug)]
pub(super) struct Answering(pub(super) Arc<Waiting>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.table().calls.clear();
    }
}

impl Waiting {
    /// The answer to the call of that number, if it comes within the limit or a moment later. A caller that gives up
    /// is forgotten.
    pub(super) fn begin(
        &self,
        id: u64,
        limit: Duration,
    ) -> impl Future<Output = Result<Answer, CallError>> {
        let (answer, answered) = oneshot::channel();
        let until = Instant::now() + limit;
        let waited = Waited { id, waiting: self };
        let mut table = self.table();
        table.calls.insert(id, Waiter { answer, until });
        if !table.is_watched {
            table.is_watched = true;
            self.is_unwatched.notify_one();
        }
        drop(table);
        async move {
            let _waited = waited;
            answered.await.unwrap_or(Err(CallError::Gone))
        }
    }

    /// The answer came. Who no longer waits is not owed it.
    pub(super) fn answer(&self, id: u64, answer: Answer) {
        let waiter = self.table().calls.remove(&id);
        if let Some(waiter) = waiter {
            let _ = waiter.answer.send(Ok(answer));
        }
    }

    /// Tells who waited too long.
    pub(super) async fn keep_time(&self) -> Infallible {
        loop {
            self.is_unwatched.notified().await;
            loop {
                sleep(LOOK).await;
                if self.expire(Instant::now()) {
                    break;
                }
            }
        }
    }

    /// Whether nobody waits any more, so that nobody has to look.
    fn expire(&self, now: Instant) -> bool {
        let mut table = self.table();
        for (_, late) in table.calls.extract_if(.., |_, waiter| waiter.until <= now) {
            let _ = late.answer.send(Err(CallError::Timeout));
        }
        table.is_watched = !table.calls.is_empty();
        !table.is_watched
    }

    /// No code panics while it holds the table; what it holds is whole in any case.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Waiting({} calls)", self.table().calls.len())
    }
}

/// Takes a caller that gives up out of the table.
struct Waited<'a> {
    id: u64,
    waiting: &'a Waiting,
}

impl Drop for Waited<'_> {
    fn drop(&mut self) {
        self.waiting.table().calls.remove(&self.id);
    }
}
