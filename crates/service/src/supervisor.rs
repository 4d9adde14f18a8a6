//! Named tasks that somebody watches: an exit or a panic is seen, logged, and acted upon.

use std::{
    collections::BTreeMap,
    fmt::Display,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clock::Clock;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::Stop;

/// What happens when a task ends before anybody asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The program cannot go on: everything stops softly and [`Supervisor::run`] says which task it was.
    Fatal,
    /// It is started again, after a pause.
    Restart(Restarts),
    /// It may end; a failure or panic is logged and no more.
    Finish,
}

/// The pause before a task is started again: doubles from `first` to `longest`, and starts over after the task has
/// run for `longest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restarts {
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Default for Restarts {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(30) }
    }
}

/// How a task ended when it should not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// It returned an error, given with its causes.
    #[error("task {task:?} failed: {reason}")]
    Failed {
        /// The task.
        task: String,
        /// Its error.
        reason: String,
    },
    /// It panicked.
    #[error("task {task:?} panicked: {reason}")]
    Panicked {
        /// The task.
        task: String,
        /// The panic's message.
        reason: String,
    },
    /// It returned, though it is meant to run for ever.
    #[error("task {task:?} ended by itself")]
    Ended {
        /// The task.
        task: String,
    },
}

/// How the whole came to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The task that could not go on, if that is why.
    pub fatal: Option<TaskError>,
    /// Tasks that had to be cut off because they did not finish in time.
    pub cut_off: Vec<String>,
}

/// Starts tasks and watches them. Cheap to clone; all clones are one supervisor.
#[derive(Clone)]
pub struct Supervisor(Arc<Shared>);

struct Shared {
    clock: Clock,
    stop: Stop,
    tracker: TaskTracker,
    running: Mutex<BTreeMap<String, usize>>,
    fatal: Mutex<Option<TaskError>>,
    failed: CancellationToken,
}

/// How one run of a task ended.
enum End {
    Returned(Result<(), String>),
    Panicked(String),
    CutOff,
}

impl Supervisor {
    /// A supervisor without tasks.
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Shared {
            clock,
            stop: Stop::new(),
            tracker: TaskTracker::new(),
            running: Mutex::default(),
            fatal: Mutex::default(),
            failed: CancellationToken::new(),
        }))
    }

    /// The stop that every task is given.
    pub fn stop(&self) -> &Stop {
        &self.0.stop
    }

    /// Starts a named task. `start` makes the future, anew for each restart; it gets the [`Stop`].
    pub fn spawn<F, E>(
        &self,
        name: impl Into<String>,
        policy: Policy,
        mut start: impl FnMut(Stop) -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let (name, this) = (name.into(), self.clone());
        self.note_start(&name);
        self.launch(async move {
            this.watch(&name, policy, &mut start).await;
            this.note_end(&name);
        });
    }

    /// Starts a piece of work that is not restarted: a connection, a reply to a signal.
    pub fn spawn_once(&self, name: impl Into<String>, work: impl Future<Output = ()> + Send + 'static) {
        let (name, this) = (name.into(), self.clone());
        self.note_start(&name);
        self.launch(async move {
            let work = async move {
                work.await;
                Ok::<(), String>(())
            };
            if let End::Panicked(reason) = this.run_once(work).await {
                tracing::error!(task = name, reason, "task panicked");
            }
            this.note_end(&name);
        });
    }

    /// Waits for the end: a soft or hard stop, or a fatal task. Then gives the tasks `grace` to finish, unless a hard
    /// stop comes first, and cuts off what is left.
    pub async fn run(&self, grace: Duration) -> Outcome {
        tokio::select! {
            () = self.0.stop.requested() => {}
            () = self.0.failed.cancelled() => self.0.stop.soft(),
        }
        self.0.tracker.close();
        let mut outcome = Outcome::default();
        let drained = async {
            tokio::select! {
                () = self.0.tracker.wait() => true,
                () = self.0.stop.forced() => false,
            }
        };
        if !matches!(self.0.clock.timeout(grace, drained).await, Ok(true)) {
            outcome.cut_off = lock(&self.0.running).keys().cloned().collect();
            self.0.stop.hard();
            self.0.tracker.wait().await;
        }
        outcome.fatal = lock(&self.0.fatal).take();
        outcome
    }

    /// The names of the tasks that run now.
    pub fn running(&self) -> Vec<String> {
        lock(&self.0.running).keys().cloned().collect()
    }

    async fn watch<F, E>(&self, name: &str, policy: Policy, start: &mut (impl FnMut(Stop) -> F + Send))
    where
        F: Future<Output = Result<(), E>> + Send,
        E: Display + Send,
    {
        let mut pause = Duration::ZERO;
        loop {
            let began = self.0.clock.monotonic();
            let end = self.run_once(start(self.0.stop.clone())).await;
            let stopping = self.0.stop.is_requested();
            let error = match end {
                End::CutOff => return,
                End::Returned(Ok(())) if stopping || policy == Policy::Finish => return,
                End::Returned(Ok(())) => TaskError::Ended { task: name.to_owned() },
                End::Returned(Err(reason)) => TaskError::Failed { task: name.to_owned(), reason },
                End::Panicked(reason) => TaskError::Panicked { task: name.to_owned(), reason },
            };
            tracing::error!(task = name, error = %error, "task ended");
            match policy {
                Policy::Finish => return,
                Policy::Fatal => {
                    lock(&self.0.fatal).get_or_insert(error);
                    self.0.failed.cancel();
                    return;
                }
                Policy::Restart(_) if stopping => return,
                Policy::Restart(Restarts { first, longest }) => {
                    let ran = self.0.clock.monotonic().saturating_sub(began);
                    pause = if pause.is_zero() || ran >= longest { first } else { (pause * 2).min(longest) };
                    tokio::select! {
                        () = self.0.clock.sleep(pause) => {}
                        () = self.0.stop.requested() => return,
                    }
                }
            }
        }
    }

    /// Runs a future to its end, its panic, or the hard stop.
    async fn run_once<E: Display>(&self, work: impl Future<Output = Result<(), E>> + Send) -> End {
        tokio::select! {
            biased;
            () = self.0.stop.forced() => End::CutOff,
            end = CatchPanic(Box::pin(work)) => match end {
                Ok(Ok(())) => End::Returned(Ok(())),
                // `{:#}` shows the causes of an `anyhow::Error`; others print as usual.
                Ok(Err(error)) => End::Returned(Err(format!("{error:#}"))),
                Err(reason) => End::Panicked(reason),
            },
        }
    }

    #[allow(clippy::disallowed_methods, reason = "this is the place that the ban on bare spawns points to")]
    fn launch(&self, future: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.0.tracker.track_future(future));
    }

    fn note_start(&self, name: &str) {
        *lock(&self.0.running).entry(name.to_owned()).or_default() += 1;
    }

    fn note_end(&self, name: &str) {
        let mut running = lock(&self.0.running);
        if let Some(count) = running.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                running.remove(name);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Polls a future and turns its panic into a value. The future is dropped afterwards and never polled again, so no
/// broken state of its own can be seen.
struct CatchPanic<F>(Pin<Box<F>>);

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        let future = self.0.as_mut();
        match std::panic::catch_unwind(AssertUnwindSafe(|| future.poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => std::task::Poll::Ready(Err(panic_message(payload.as_ref()))),
        }
    }
}

fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests;
