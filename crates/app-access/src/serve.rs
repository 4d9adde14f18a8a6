//! Takes connections and leads each to its application.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clock::Clock;
use crypto::Random;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use net::BoxIo;
use service::{Signal, Signals, Stop};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{Keyring, Listener, failure::Failure, forward::Forwarder, tcp};

/// How many connections are served at once; more wait.
const MAX_CONNECTIONS: usize = 4096;

/// After an error of the listener itself, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// How long whoever connects may stay silent. An application that speaks first is waited for by its client, so when there is
/// no certificate, from which we know such an application, not even a slow client is waited for that long.
const QUIET: Duration = Duration::from_secs(30);
const QUIET_WITHOUT_CERTIFICATE: Duration = Duration::from_secs(2);

/// How long connections may go on when this process is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// A place on this machine that leads to applications.
pub struct Local {
    /// Where programs knock.
    pub listener: Listener,
    /// Where it leads.
    pub door: Door,
    /// What is shown there.
    pub keyring: Arc<dyn Keyring>,
    /// Source of time.
    pub clock: Clock,
    /// Names of requests.
    pub random: Random,
}

/// Where a listener leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// To this application.
    Tunnel(String),
    /// To the application that the host of each request names.
    Proxy,
}

/// Serves until this process is told to stop; connections have some seconds then, unless it is told again.
pub async fn serve_until_told(local: Local, mut signals: Signals) {
    let (clock, stop) = (local.clock.clone(), Stop::new());
    let serving = serve(local, stop.clone());
    tokio::pin!(serving);
    loop {
        tokio::select! {
            () = &mut serving => return,
            () = grace(&clock, &stop) => stop.hard(),
            signal = signals.next() => match signal {
                Signal::Stop | Signal::StopGracefully if stop.is_requested() => stop.hard(),
                Signal::Stop | Signal::StopGracefully => {
                    let seconds = GRACE.as_secs();
                    tracing::info!("stopping; connections that are open have {seconds} s, unless this is told again");
                    stop.soft();
                }
                _ => {}
            }
        }
    }
}

/// What connections have running beside themselves, each with the place of its connection.
#[derive(Clone)]
pub(crate) struct Tasks {
    made: mpsc::UnboundedSender<Task>,
    place: Arc<OwnedSemaphorePermit>,
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Tasks {
    /// Runs on when the connection is over, as one of those that are waited for at the end.
    pub(crate) fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        let place = Arc::clone(&self.place);
        // Fails when nobody serves any more.
        drop(self.made.send(Box::pin(async move {
            task.await;
            drop(place);
        })));
    }
}

/// Serves until it is stopped; connections that are open then may finish what they do until the stop is hard.
pub async fn serve(local: Local, stop: Stop) {
    let Local { listener, door, keyring, clock, random } = local;
    let reach = listener.reach();
    let forwarder = Arc::new(Forwarder { door, keyring, clock: clock.clone(), random, reach });
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (made, mut tasks) = mpsc::unbounded_channel();
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            () = stop.requested() => break,
            Some(ended) = connections.join_next() => {
                report(ended);
                continue;
            }
            Some(task) = tasks.recv() => {
                connections.spawn(task);
                continue;
            }
            next = next => next,
        };
        match (place, stream) {
            (Ok(place), Ok(stream)) => {
                let tasks = Tasks { made: made.clone(), place: Arc::new(place) };
                connections.spawn(Box::pin(connection(Arc::clone(&forwarder), stream, tasks, stop.clone())) as Task);
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "a connection was not accepted");
                clock.sleep(PAUSE).await;
            }
            (Err(_), _) => break,
        }
    }
    drop((listener, made));
    let finished = async {
        loop {
            tokio::select! {
                biased;
                Some(task) = tasks.recv() => drop(connections.spawn(task)),
                Some(ended) = connections.join_next() => report(ended),
                else => return,
            }
        }
    };
    tokio::select! {
        () = finished => {}
        () = stop.forced() => {}
    }
}

/// A panic in one task ends that task; it is said aloud.
pub(crate) fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a task of a local listener panicked");
    }
}

async fn connection(forwarder: Arc<Forwarder>, mut stream: BoxIo, tasks: Tasks, stop: Stop) {
    let mut failed = None;
    if let Door::Tunnel(app) = &forwarder.door {
        match forwarder.access(app).await {
            Ok(access) if access.is_tcp() => {
                if let Err(error) = tcp::carry(&forwarder, &access, &mut stream).await {
                    tracing::warn!(app, %error, "a connection to an application broke");
                }
                return;
            }
            Ok(_) => {}
            // Told to the caller in the answer to its first request, if it speaks HTTP.
            Err(failure) => failed = Some(failure),
        }
    }
    http(forwarder, stream, tasks, stop, failed).await;
}

async fn http(forwarder: Arc<Forwarder>, stream: BoxIo, tasks: Tasks, stop: Stop, failed: Option<Failure>) {
    let is_proxy = forwarder.door == Door::Proxy;
    let quiet = if failed.is_some() { QUIET_WITHOUT_CERTIFICATE } else { QUIET };
    let (asked, failed) = (CancellationToken::new(), Arc::new(Mutex::new(failed)));
    let silence = silence(forwarder.clock.clone(), quiet, asked.clone(), Arc::clone(&failed));
    let answer = service_fn(move |request| {
        asked.cancel();
        let failed = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (forwarder, tasks) = (Arc::clone(&forwarder), tasks.clone());
        async move { Ok::<_, Infallible>(forwarder.answer(request, &tasks, failed).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new());
    let builder = if is_proxy { builder.http1_only() } else { builder };
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), answer);
    tokio::pin!(serving);
    let outcome = tokio::select! {
        outcome = serving.as_mut() => outcome,
        () = silence => return,
        () = stop.requested() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(error, "a local connection ended");
    }
}

/// Ends when nobody has asked for anything for too long.
async fn silence(clock: Clock, span: Duration, asked: CancellationToken, failed: Arc<Mutex<Option<Failure>>>) {
    if clock.timeout(span, asked.cancelled()).await.is_ok() {
        return std::future::pending().await;
    }
    if let Some(error) = &*failed.lock().unwrap_or_else(PoisonError::into_inner) {
        tracing::warn!(%error, "a connection did not reach its application");
    }
}

/// The time that is left to connections once a stop is requested.
async fn grace(clock: &Clock, stop: &Stop) {
    stop.requested().await;
    clock.sleep(GRACE).await;
}
