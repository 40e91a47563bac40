//! How long two directions may be without a byte in either.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::{Instant, timeout},
};

/// Ends both directions when nothing came in either for a while.
#[derive(Debug)]
pub(super) struct Stillness {
    longest: Duration,
    since: Mutex<Instant>,
}

impl Stillness {
    /// From now on.
    pub(super) fn within(longest: Duration) -> Self {
        Self {
            longest,
            since: Mutex::new(Instant::now()),
        }
    }

    /// Reads in one direction. That it is still is no error while something comes in the other.
    pub(super) async fn read(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        into: &mut [u8],
    ) -> io::Result<usize> {
        loop {
            let left = self.longest.saturating_sub(self.since().elapsed());
            match timeout(left, from.read(into)).await {
                Ok(read) => {
                    *self.lock() = Instant::now();
                    return read;
                }
                Err(elapsed) if self.since().elapsed() >= self.longest => {
                    return Err(elapsed.into());
                }
                Err(_) => {}
            }
        }
    }

    fn since(&self) -> Instant {
        *self.lock()
    }

    /// No code panics while it holds it.
    fn lock(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncWriteExt as _, duplex},
        time::sleep,
    };

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[tokio::test(start_paused = true)]
    async fn one_direction_may_be_still_while_the_other_is_not_and_both_may_not() {
        let stillness = Stillness::within(HOUR);
        let (mut silent, _silent) = duplex(64);
        let (mut lively, mut sends) = duplex(64);
        let began = Instant::now();
        let there = async { stillness.read(&mut silent, &mut [0; 8]).await };
        let back = async {
            while stillness.read(&mut lively, &mut [0; 8]).await? > 0 {}
            Ok(0)
        };
        let sending = async {
            for _ in 0..6 {
                sleep(HOUR / 2).await;
                sends.write_all(b"x").await.unwrap();
            }
            std::future::pending::<()>().await;
        };
        let ended: io::Result<(usize, usize)> = tokio::select! {
            ended = async { tokio::try_join!(back, there) } => ended,
            () = sending => unreachable!("it never ends"),
        };
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let lasted = began.elapsed();
        assert!(lasted >= 4 * HOUR && lasted < 5 * HOUR, "{lasted:?}");
    }
}
