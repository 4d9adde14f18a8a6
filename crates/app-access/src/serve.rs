//! Takes connections and leads each to its application.

use std::{convert::Infallible, sync::Arc, time::Duration};

use clock::Clock;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use net::BoxIo;
use service::{Signal, Signals, Stop};
use tokio::{io::copy_bidirectional, sync::Semaphore, task::JoinSet};

use crate::{Keyring, Listener, forward::Forwarder};

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

/// Serves until it is stopped; connections that are open then may finish what they do until the stop is hard.
pub async fn serve(listener: Listener, door: Door, keyring: Arc<dyn Keyring>, clock: Clock, stop: Stop) {
    let forwarder = Arc::new(Forwarder { door, keyring, clock: clock.clone() });
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let stream = tokio::select! {
            () = stop.requested() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match stream {
            Ok(stream) => {
                let (forwarder, stop) = (Arc::clone(&forwarder), stop.clone());
                connections.spawn(async move {
                    connection(forwarder, stream, stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                clock.sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    tokio::select! {
        () = finished => {}
        () = stop.forced() => {}
    }
}

async fn connection(forwarder: Arc<Forwarder>, mut stream: BoxIo, stop: Stop) {
    if let Door::Tunnel(app) = &forwarder.door {
        match forwarder.keyring.access(app).await {
            Ok(access) if access.is_tcp() => {
                let outcome = match access.connect().await {
                    Ok(mut there) => {
                        let copied = copy_bidirectional(&mut stream, &mut there).await;
                        copied.map(|_| ()).map_err(|error| domain::Error::unavailable(error.to_string()))
                    }
                    Err(error) => {
                        forwarder.keyring.discard(&access).await;
                        Err(error)
                    }
                };
                if let Err(error) = outcome {
                    tracing::info!(app, %error, "a connection to an application ended");
                }
                return;
            }
            // Told to the caller in an answer to its request, if it speaks HTTP.
            Ok(_) | Err(_) => {}
        }
    }
    http(forwarder, stream, stop).await;
}

async fn http(forwarder: Arc<Forwarder>, stream: BoxIo, stop: Stop) {
    let is_proxy = forwarder.door == Door::Proxy;
    let answer = service_fn(move |request| {
        let forwarder = Arc::clone(&forwarder);
        async move { Ok::<_, Infallible>(forwarder.answer(request).await) }
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
