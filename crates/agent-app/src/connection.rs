//! One stream of the tunnel, when it is known whose: HTTP or plain bytes, until it ends or is not allowed any more.

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    rt::Executor,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use net::BoxIo;
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    access::Refusal,
    guard::Guard,
    web::{self, Body, answer, headers::Via},
};

/// How long somebody who is refused from the start is answered for.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// Streams of one connection at a time; a proxy pools by session.
const MAX_STREAMS: u32 = 256;

/// Unread bytes of one request over HTTP/2.
const WINDOW: u32 = 1024 * 1024;

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// What a connection has running beside itself; it ends with the connection.
#[derive(Clone)]
pub(crate) struct Tasks(mpsc::UnboundedSender<Task>);

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        let task = Box::pin(async move { drop(future.await) });
        // Fails when the connection is over, and the task with it.
        drop(self.0.send(task));
    }
}

/// Runs what is made with the tasks that it makes, until all of it is done or the session may not go on; then everything
/// is dropped.
pub(crate) async fn guarded<F: Future<Output = ()>>(guard: &Arc<Guard>, make: impl FnOnce(Tasks) -> F) {
    let (tasks, mut made) = mpsc::unbounded_channel();
    let mut running = JoinSet::new();
    let connection = make(Tasks(tasks));
    let refused = guard.refused();
    tokio::pin!(connection, refused);
    let mut is_open = true;
    while is_open || !running.is_empty() || !made.is_empty() {
        tokio::select! {
            refusal = &mut refused => {
                guard.log_cut(&refusal);
                return;
            }
            () = &mut connection, if is_open => is_open = false,
            Some(task) = made.recv() => drop(running.spawn(task)),
            Some(ended) = running.join_next(), if !running.is_empty() => {
                // What it served has ended with it.
                if let Err(error) = ended && error.is_panic() {
                    tracing::error!(%error, "what ran beside a connection panicked");
                }
            }
        }
    }
}

/// Serves HTTP to a session.
pub(crate) async fn http(io: BoxIo, protocol: Protocol, guard: &Arc<Guard>) {
    if let Err(refusal) = guard.check().await {
        guard.log_refusal(&refusal);
        return refuse(io, protocol, guard, refusal).await;
    }
    guarded(guard, |tasks| {
        let (stopping, guard) = (guard.stopping(), Arc::clone(guard));
        async move {
            let answering = tasks.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let (guard, tasks) = (Arc::clone(&guard), answering.clone());
                async move { Ok::<_, Infallible>(web::request::handle(request, &guard, &tasks).await) }
            });
            // When the agent stops, what runs comes to its end; a connection that only waits would hold it up.
            macro_rules! run {
                ($connection:expr) => {{
                    let mut connection = pin!($connection);
                    tokio::select! {
                        ended = connection.as_mut() => ended,
                        () = stopping.cancelled() => {
                            connection.as_mut().graceful_shutdown();
                            connection.await
                        }
                    }
                }};
            }
            let ended = match protocol {
                Protocol::Http1 => {
                    let server = http1::Builder::new().serve_connection(TokioIo::new(io), service);
                    run!(server.with_upgrades())
                }
                Protocol::Http2 => {
                    let mut server = http2::Builder::new(tasks);
                    server
                        .max_concurrent_streams(MAX_STREAMS)
                        .initial_stream_window_size(WINDOW)
                        .initial_connection_window_size(4 * WINDOW);
                    run!(server.serve_connection(TokioIo::new(io), service))
                }
            };
            if let Err(error) = ended {
                tracing::debug!(error = chain(&error), "a connection of a proxy ended early");
            }
        }
    })
    .await;
}

/// Answers the refusal, for a moment.
async fn refuse(io: BoxIo, protocol: Protocol, guard: &Arc<Guard>, refusal: Refusal) {
    let (tasks, mut made) = mpsc::unbounded_channel();
    let (refusal, source) = (Arc::new(refusal), guard.source());
    let service = service_fn(move |request: Request<Incoming>| {
        let via = Via::read(request.headers(), request.uri().authority().map(|host| host.as_str()), source);
        let answer: Response<Body> = answer::refused(&refusal, &via);
        async move { Ok::<_, Infallible>(answer) }
    });
    let answering = async move {
        match protocol {
            Protocol::Http1 => {
                drop(http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(io), service).await);
            }
            Protocol::Http2 => {
                drop(http2::Builder::new(Tasks(tasks)).serve_connection(TokioIo::new(io), service).await);
            }
        }
    };
    let mut running = JoinSet::new();
    tokio::pin!(answering);
    let serving = async {
        loop {
            tokio::select! {
                () = &mut answering => return,
                Some(task) = made.recv() => drop(running.spawn(task)),
            }
        }
    };
    // Whoever has not read the answer by now does not want it.
    if guard.clock().timeout(REFUSED_FOR, serving).await.is_err() {
        tracing::debug!("a refused connection was left open");
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
