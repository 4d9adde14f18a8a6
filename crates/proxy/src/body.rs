//! Bodies of answers: our own, or an agent's, passed on as it comes.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use crate::applications::{pool::Way, running::Running};

/// The body of a request to an agent.
pub(crate) enum RequestBody {
    /// None.
    Empty,
    /// The client's, and whether it has turned out to be broken.
    Client(Incoming, Arc<AtomicBool>),
}

/// The body of an answer.
pub(crate) enum Body {
    /// Ours.
    Own(Option<Bytes>),
    /// An agent's; the connection goes back into the pool at its end.
    Agent(Incoming, Option<Way>, Option<Running>),
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self::Own(None)
    }

    /// The request is over when the body is.
    pub(crate) fn while_running(mut self, request: Running) -> Self {
        if let Self::Agent(_, _, running) = &mut self {
            *running = Some(request);
        }
        self
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Own(Some(text.into()))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Own(Some(bytes.into()))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::Own(Some(Bytes::from_static(text.as_bytes())))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Agent(body, way, _) => {
                let polled = Pin::new(body).poll_frame(context);
                if let Poll::Ready(None) = polled
                    && let Some(way) = way.take()
                {
                    way.give_back();
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Agent(body, ..) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Agent(body, ..) => body.size_hint(),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        // A body that was known to be over is never polled.
        if let Self::Agent(body, way, _) = self
            && http_body::Body::is_end_stream(body)
            && let Some(way) = way.take()
        {
            way.give_back();
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Client(body, is_broken) => {
                let polled = Pin::new(body).poll_frame(context);
                if let Poll::Ready(Some(Err(_))) = polled {
                    is_broken.store(true, Ordering::Relaxed);
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Client(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Client(body, _) => body.size_hint(),
        }
    }
}
