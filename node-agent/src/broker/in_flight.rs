//! How many calls of one broker are answered at a time. What is more stays with the broker: it is not read.

use std::sync::Arc;

use lanyard_protocol::{
    broker::{Call, FromBroker},
    frame::{FrameError, Incoming},
};
use prost::Message as _;
use tokio::{
    io::AsyncRead,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_local,
};

/// Calls of one broker at a time, of ordinary length. A longer one takes the room of several.
const CALLS: usize = 256;

/// The length up to which a call is an ordinary one.
const ORDINARY: usize = 32 << 10;

/// Begins what `answer` does with each call as it comes, until the stream ends.
pub(super) async fn answer_each<F>(
    reader: &mut Incoming<impl AsyncRead + Unpin>,
    answer: impl Fn(Call) -> F,
) -> Result<(), FrameError>
where
    F: Future<Output = ()> + 'static,
{
    let room = Arc::new(Semaphore::new(CALLS));
    loop {
        let message: FromBroker = reader.receive().await?;
        let Some(call) = message.call else { continue };
        let place = place(&room, call.encoded_len()).await;
        let answering = answer(call);
        spawn_local(async move {
            answering.await;
            drop(place);
        });
    }
}

/// Waits for the room that a call of that length takes. The semaphore is never closed.
async fn place(room: &Arc<Semaphore>, length: usize) -> Option<OwnedSemaphorePermit> {
    let places = (1 + length / ORDINARY).min(CALLS);
    let places = u32::try_from(places).unwrap_or(1);
    Arc::clone(room).acquire_many_owned(places).await.ok()
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        rc::Rc,
        time::Duration,
    };

    use lanyard_protocol::{
        broker::{ReturnBytes, call},
        frame,
    };
    use tokio::{net::UnixStream, sync::Notify, task::LocalSet, time::timeout};

    use super::*;

    const SENT: u64 = 100_000;

    fn call(id: u64, grant: String) -> FromBroker {
        let asked = call::Call::ReturnBytes(ReturnBytes { grant, bytes: 1 });
        FromBroker {
            call: Some(Call {
                id,
                call: Some(asked),
            }),
        }
    }

    #[derive(Default)]
    struct Answered {
        begun: RefCell<Vec<u64>>,
        most: Cell<usize>,
        now: Cell<usize>,
        go: Notify,
        may_go: Cell<bool>,
    }

    impl Answered {
        async fn answer(self: Rc<Self>, call: Call) {
            self.begun.borrow_mut().push(call.id);
            self.now.set(self.now.get() + 1);
            self.most.set(self.most.get().max(self.now.get()));
            while !self.may_go.get() {
                self.go.notified().await;
            }
            self.now.set(self.now.get() - 1);
        }
    }

    /// Reads what `send` writes, and answers nothing until that has stopped; then all of it.
    async fn flooded(messages: Vec<FromBroker>) -> (usize, Rc<Answered>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let answered = Rc::new(Answered::default());
        let known = Rc::clone(&answered);
        let reading = spawn_local(async move {
            let answer = |call| Rc::clone(&known).answer(call);
            answer_each(&mut Incoming::new(ours), answer).await
        });
        let writing = spawn_local(async move {
            let mut theirs = theirs;
            for message in messages {
                frame::send_all(&mut theirs, std::iter::once(&message))
                    .await
                    .unwrap();
            }
        });
        // The clock goes on when nothing else does: when whoever floods is not read any more.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!writing.is_finished(), "all of it was read");
        let stuck = answered.begun.borrow().len();
        answered.may_go.set(true);
        answered.go.notify_waiters();
        writing.await.unwrap();
        let ended = timeout(Duration::from_secs(30), reading).await.unwrap();
        assert!(matches!(ended, Ok(Err(FrameError::Closed))));
        (stuck, answered)
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_calls_waits_with_whoever_sends_it_and_is_answered_in_its_order() {
        let messages = (0..SENT).map(|id| call(id, "default/api".into()));
        let local = LocalSet::new();
        let (stuck, answered) = local.run_until(flooded(messages.collect())).await;
        assert_eq!(stuck, CALLS);
        assert_eq!(answered.most.get(), CALLS);
        assert!(answered.begun.borrow().iter().copied().eq(0..SENT));
    }

    #[tokio::test(start_paused = true)]
    async fn long_calls_take_the_room_of_many() {
        let long = "x".repeat(1 << 20);
        let messages = (0..100).map(|id| call(id, long.clone())).collect();
        let local = LocalSet::new();
        let (stuck, answered) = local.run_until(flooded(messages)).await;
        assert_eq!(stuck, CALLS / (1 + (1 << 20) / ORDINARY));
        assert_eq!(answered.begun.borrow().len(), 100);
    }
}
