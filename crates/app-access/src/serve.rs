//! Takes connections and leads each to its application.

use std::{convert::Infallible, io, pin::Pin, sync::Arc, time::Duration};

use clock::Clock;
use domain::{Error, error::Kind};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use net::BoxIo;
use service::{Signal, Signals, Stop};
use tokio::{
    io::copy_bidirectional,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::{JoinError, JoinSet},
};

use crate::{Access, Keyring, Listener, forward::Forwarder};

/// How many connections are served at once; more wait.
const MAX_CONNECTIONS: usize = 4096;

/// After an error of the listener itself, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Where a listener leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// To this application.
    Tunnel(String),
    /// To the application that the host of each request names.
    Proxy,
}

/// Serves until this process is told to stop; told again, it does not wait for connections.
pub async fn serve_until_told(
    listener: Listener,
    door: Door,
    keyring: Arc<dyn Keyring>,
    clock: Clock,
    mut signals: Signals,
) {
    let stop = Stop::new();
    let serving = serve(listener, door, keyring, clock, stop.clone());
    tokio::pin!(serving);
    loop {
        tokio::select! {
            () = &mut serving => return,
            signal = signals.next() => match signal {
                Signal::Stop | Signal::StopGracefully if stop.is_requested() => stop.hard(),
                Signal::Stop | Signal::StopGracefully => stop.soft(),
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
pub async fn serve(listener: Listener, door: Door, keyring: Arc<dyn Keyring>, clock: Clock, stop: Stop) {
    let reach = listener.reach();
    let forwarder = Arc::new(Forwarder { door, keyring, clock: clock.clone(), reach });
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

/// A panic in one connection ends that connection; it is said aloud.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a local connection panicked");
    }
}

async fn connection(forwarder: Arc<Forwarder>, mut stream: BoxIo, tasks: Tasks, stop: Stop) {
    if let Door::Tunnel(app) = &forwarder.door {
        match forwarder.keyring.access(app).await {
            Ok(access) if access.is_tcp() => {
                if let Err(error) = tcp(&forwarder, &access, &mut stream).await {
                    tracing::info!(app, %error, "a connection to an application ended");
                }
                return;
            }
            // Told to the caller in an answer to its request, if it speaks HTTP.
            Ok(_) | Err(_) => {}
        }
    }
    http(forwarder, stream, tasks, stop).await;
}

/// Carries a connection. The proxy says that it does not take a certificate by hanging up without a word (RFC 8446 §6.1),
/// which no application can make it do.
async fn tcp(forwarder: &Forwarder, access: &Arc<Access>, stream: &mut BoxIo) -> Result<(), Error> {
    let mut there = match access.connect().await {
        Ok(there) => there,
        Err(error) => {
            if error.kind == Kind::Denied {
                forwarder.keyring.discard(access).await;
            }
            return Err(error);
        }
    };
    let copied = copy_bidirectional(stream, &mut there).await;
    let Err(error) = copied else { return Ok(()) };
    if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) {
        forwarder.keyring.discard(access).await;
    }
    Err(Error::unavailable(error.to_string()))
}

async fn http(forwarder: Arc<Forwarder>, stream: BoxIo, tasks: Tasks, stop: Stop) {
    let is_proxy = forwarder.door == Door::Proxy;
    let answer = service_fn(move |request| {
        let (forwarder, tasks) = (Arc::clone(&forwarder), tasks.clone());
        async move { Ok::<_, Infallible>(forwarder.answer(request, &tasks).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new());
    let builder = if is_proxy { builder.http1_only() } else { builder };
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), answer);
    tokio::pin!(serving);
    let outcome = tokio::select! {
        outcome = serving.as_mut() => outcome,
        () = stop.requested() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(error, "a local connection ended");
    }
}
