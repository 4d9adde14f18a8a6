//! One request to an application, and how long its answer is waited for.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use clock::Clock;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::Notify;

use super::{
    body::{Body, Progress},
    pool::Pool,
};

/// How long an application may take to answer when it has taken the last byte of a request that came with a body, and to
/// take the next one. The proxy waits as long for answers to requests without a body.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(300);

/// Interim answers (1xx) to one request that are passed over. More are none that somebody waits for. Nobody tells us of those
/// over HTTP/2, where h2 drops each as it comes: they cost what they take to read, for as long as the client waits.
const MOST_INTERIM: u32 = 100;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The connection, or what came over it.
    Broken(hyper_util::client::legacy::Error),
    /// None came in time.
    Late,
    /// Interim answers without end.
    Interim,
}

/// Sends a request. `progress` is that of its body.
pub(crate) async fn send(
    pool: &Pool,
    clock: &Clock,
    mut request: Request<Body>,
    is_http2: bool,
    progress: Option<&Progress>,
) -> Result<Response<Incoming>, Failed> {
    let interim = Arc::new(Interim::default());
    // The connection to the application counts: it alone sees them.
    if !is_http2 {
        let counting = Arc::clone(&interim);
        hyper::ext::on_informational(&mut request, move |_| counting.count());
    }
    let answer = async {
        tokio::select! {
            biased;
            answer = pool.send(request, is_http2) => answer.map_err(Failed::Broken),
            () = interim.too_many.notified() => Err(Failed::Interim),
        }
    };
    match progress {
        Some(progress) => in_time(clock, progress, answer).await.unwrap_or(Err(Failed::Late)),
        None => answer.await,
    }
}

#[derive(Default)]
struct Interim {
    seen: AtomicU32,
    too_many: Notify,
}

impl Interim {
    fn count(&self) {
        if self.seen.fetch_add(1, Ordering::Relaxed) == MOST_INTERIM {
            self.too_many.notify_one();
        }
    }
}

/// What comes of `answer`, unless nothing happens for too long.
async fn in_time<T>(clock: &Clock, progress: &Progress, answer: impl Future<Output = T>) -> Option<T> {
    let mut answer = pin!(answer);
    loop {
        let left = (progress.last() + ANSWER_WITHIN).saturating_sub(clock.monotonic());
        if left.is_zero() {
            return None;
        }
        if let Ok(answer) = clock.timeout(left, answer.as_mut()).await {
            return Some(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use clock::ManualClock;
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn an_answer_is_waited_for_from_the_last_byte_of_the_request() {
        let manual = ManualClock::new(Clock::system().now());
        let progress = Arc::new(Progress::new(&manual.clock()));
        let (clock, of_task) = (manual.clock(), Arc::clone(&progress));
        let mut waiting = JoinSet::new();
        waiting.spawn(async move { in_time(&clock, &of_task, pending::<()>()).await });
        manual.parked(1).await;
        manual.advance(ANSWER_WITHIN / 2);
        progress.note();
        manual.advance(ANSWER_WITHIN / 2);
        manual.parked(1).await;
        manual.advance(ANSWER_WITHIN / 2 - Duration::from_millis(1));
        tokio::task::yield_now().await;
        assert!(waiting.try_join_next().is_none(), "a byte was taken not so long ago");
        manual.advance(Duration::from_millis(1));
        assert_eq!(waiting.join_next().await.unwrap().unwrap(), None);
    }
}
