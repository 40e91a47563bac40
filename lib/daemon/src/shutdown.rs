//! How a process is told to end: the first signal drains, the second aborts.

use std::{future::Future, io};

use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Why the signals could not be watched.
#[derive(Debug, Error)]
#[error("watch for SIGTERM and SIGINT: {0}")]
pub struct WatchSignalsError(#[from] io::Error);

/// The second signal came before the work was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("ended by a second signal before everything was finished")]
pub struct Aborted;

/// SIGTERM and SIGINT, from the moment this is made.
#[derive(Debug)]
pub struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
}

impl Shutdown {
    /// Takes the two signals over: from now on they end nothing by themselves.
    pub fn watch() -> Result<Self, WatchSignalsError> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal. May be dropped and called again without losing one.
    pub async fn signalled(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for `work`, which was told to finish after the first signal; a second one gives it up.
    pub async fn drain<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Aborted> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.signalled() => Err(Aborted),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future, process, time::Duration};

    use tokio::time::timeout;

    use super::*;

    /// Signals reach the whole process: one test sends them all.
    #[tokio::test(flavor = "current_thread")]
    async fn the_first_signal_drains_and_the_second_aborts() {
        let mut shutdown = Shutdown::watch().unwrap();
        let limit = Duration::from_secs(10);

        send("TERM");
        timeout(limit, shutdown.signalled()).await.unwrap();

        let done = timeout(limit, shutdown.drain(future::ready(7)));
        assert_eq!(done.await.unwrap(), Ok(7));

        send("INT");
        let aborted = timeout(limit, shutdown.drain(future::pending::<()>()));
        assert_eq!(aborted.await.unwrap(), Err(Aborted));
    }

    fn send(name: &str) {
        let status = process::Command::new("/bin/sh")
            .args(["-c", &format!("kill -{name} {}", process::id())])
            .status()
            .unwrap();
        assert!(status.success());
    }
}
