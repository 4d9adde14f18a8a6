//! Bodies on their way through, and those that are made here.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use clock::Clock;
use hyper::body::{Frame, Incoming, SizeHint};

use super::headers;
use crate::registry::Served;

/// What goes wrong while a body is carried.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body that is carried on, or made here.
pub(crate) enum Body {
    /// There at once.
    Full(Option<Bytes>),
    /// The application's, as it comes.
    Answer(Incoming),
    /// The client's, as it comes.
    Upload(Upload),
}

/// A body that is there at once.
pub(crate) fn full(text: impl Into<Bytes>) -> Body {
    Body::Full(Some(text.into()).filter(|text| !text.is_empty()))
}

/// The body of a request. What a client may not say before it, it may not say after it either.
pub(crate) struct Upload {
    body: Incoming,
    served: Arc<Served>,
    progress: Arc<Progress>,
}

impl Upload {
    pub(crate) fn new(body: Incoming, served: &Arc<Served>, clock: &Clock) -> Self {
        Self { body, served: Arc::clone(served), progress: Arc::new(Progress::new(clock)) }
    }

    pub(crate) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }
}

/// When the application last took something of a body.
pub(crate) struct Progress {
    clock: Clock,
    last: AtomicU64,
}

impl Progress {
    pub(crate) fn new(clock: &Clock) -> Self {
        let this = Self { clock: clock.clone(), last: AtomicU64::new(0) };
        this.note();
        this
    }

    pub(crate) fn note(&self) {
        let now = u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    pub(crate) fn last(&self) -> Duration {
        Duration::from_millis(self.last.load(Ordering::Relaxed))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Full(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Answer(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Self::Upload(upload) => {
                let frame = ready!(Pin::new(&mut upload.body).poll_frame(context));
                upload.progress.note();
                Poll::Ready(frame.map(|frame| match frame {
                    Ok(mut frame) => {
                        if let Some(trailers) = frame.trailers_mut() {
                            headers::strip_hop_by_hop(trailers);
                            headers::strip_reserved(trailers);
                            upload.served.app.rewrites().strip(trailers);
                        }
                        Ok(frame)
                    }
                    Err(error) => Err(error.into()),
                }))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(text) => text.is_none(),
            Self::Answer(body) | Self::Upload(Upload { body, .. }) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::Answer(body) | Self::Upload(Upload { body, .. }) => body.size_hint(),
        }
    }
}
