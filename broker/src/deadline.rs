//! Ends what a grant no longer allows, at its deadline or when a new state no longer has it.

use std::{io, os::fd::OwnedFd, sync::Arc};

use jiff::Timestamp;
use lanyard_protocol::record::GrantRef;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::watch,
};

use crate::{clock, scope::Scope};

/// Returns as soon as that grant gives no access any more.
///
/// Who waits is woken by each new state, and by [`keep_time`] at each deadline.
pub(crate) async fn ended(scope: &mut watch::Receiver<Arc<Scope>>, grant: &GrantRef) {
    loop {
        if !scope.borrow_and_update().holds(grant, clock::boot_now()) {
            return;
        }
        if scope.changed().await.is_err() {
            return;
        }
    }
}

/// Wakes all who watch the scope when one of its grants ends. Runs as long as the broker does.
///
/// One timer on `CLOCK_BOOTTIME` serves the whole process: tokio's own stand still while the machine is
/// suspended.
pub(crate) async fn keep_time(scope: &watch::Sender<Arc<Scope>>) -> io::Error {
    match Timer::new() {
        Ok(timer) => loop {
            let mut changes = scope.subscribe();
            let next = changes.borrow_and_update().next_end(clock::boot_now());
            let ended = async {
                match next {
                    Some(end) => timer.reached(end).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                result = ended => match result {
                    Ok(()) => scope.send_modify(|_| ()),
                    Err(error) => return error,
                },
                _ = changes.changed() => {}
            }
        },
        Err(error) => error,
    }
}

struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Boottime, flags)?;
        #[expect(
            deprecated,
            reason = "unsound only for types whose descriptor may change or close; an `OwnedFd` is none"
        )]
        let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
        Ok(Self(timer))
    }

    async fn reached(&self, end: Timestamp) -> io::Result<()> {
        let at = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: end.as_second(),
                tv_nsec: end.subsec_nanosecond().into(),
            },
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::ABSTIME, &at)?;
        self.0
            .async_io(Interest::READABLE, |timer| {
                Ok(rustix::io::read(timer, &mut [0; 8])?)
            })
            .await?;
        Ok(())
    }
}
