//! What the API counts: each call by method and outcome, and how long it took.
//!
//! Names and labels are those of the usual gRPC middleware, so that dashboards for other gRPC servers fit.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use clock::Clock;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use telemetry::metrics::{Counter, EncodeLabelSet, Family, Histogram, Registry};
use tonic::{Code, Status, body::Body};

/// Which method: labels of what is counted before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct MethodLabels {
    /// `unary`, `server_stream` or `bidi_stream`.
    pub(crate) grpc_type: &'static str,
    /// `package.Service`.
    pub(crate) grpc_service: &'static str,
    /// The method alone.
    pub(crate) grpc_method: &'static str,
}

impl MethodLabels {
    /// Whether the caller may send many messages.
    pub(crate) fn is_dialogue(self) -> bool {
        self.grpc_type == "bidi_stream"
    }
}

/// Which method, and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    grpc_type: &'static str,
    grpc_service: &'static str,
    grpc_method: &'static str,
    grpc_code: &'static str,
}

/// The counters of all methods. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Metrics {
    started: Family<MethodLabels, Counter>,
    handled: Family<CallLabels, Counter>,
    seconds: Family<MethodLabels, Histogram, fn() -> Histogram>,
}

fn seconds() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

impl Default for Metrics {
    fn default() -> Self {
        Self { started: Family::default(), handled: Family::default(), seconds: Family::new_with_constructor(seconds) }
    }
}

impl Metrics {
    /// Shows the counters in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("grpc_server_started", "Calls that began", self.started.clone());
        registry.register("grpc_server_handled", "Calls that ended, by outcome", self.handled.clone());
        registry.register("grpc_server_handling_seconds", "How long calls took, in seconds", self.seconds.clone());
    }

    /// A call begins.
    pub(crate) fn begin(&self, method: MethodLabels, clock: &Clock) -> Call {
        self.started.get_or_create(&method).inc();
        Call { metrics: self.clone(), method, clock: clock.clone(), began: clock.monotonic(), code: Code::Cancelled }
    }
}

/// A call that runs; counted as ended when dropped. Until its status is known it counts as cancelled by the caller.
pub(crate) struct Call {
    metrics: Metrics,
    method: MethodLabels,
    clock: Clock,
    began: Duration,
    code: Code,
}

impl Call {
    /// The answer's head is there: a failure, a unary answer, or a stream that is counted when it has ended.
    pub(crate) fn answered(mut self, response: Response<Body>) -> Response<Body> {
        match code_of(response.headers()) {
            Some(code) => self.code = code,
            None if self.method.grpc_type == "unary" => self.code = Code::Ok,
            None => {
                return response.map(|body| Body::new(Counted { body, call: self }));
            }
        }
        response
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let MethodLabels { grpc_type, grpc_service, grpc_method } = self.method;
        let labels = CallLabels { grpc_type, grpc_service, grpc_method, grpc_code: name(self.code) };
        self.metrics.handled.get_or_create(&labels).inc();
        let took = self.clock.monotonic().saturating_sub(self.began);
        self.metrics.seconds.get_or_create(&self.method).observe(took.as_secs_f64());
    }
}

/// A streaming answer that is read for its status.
struct Counted {
    body: Body,
    call: Call,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(code) = frame.trailers_ref().and_then(code_of) {
                    self.call.code = code;
                }
            }
            Poll::Ready(Some(Err(status))) => self.call.code = status.code(),
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}

/// The spelling that dashboards know.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        telemetry::metrics::render(&registry)
    }

    const UNARY: MethodLabels = MethodLabels { grpc_type: "unary", grpc_service: "a.B", grpc_method: "C" };
    const STREAM: MethodLabels = MethodLabels { grpc_type: "server_stream", ..UNARY };

    #[test]
    fn a_call_counts_once_under_the_code_it_ended_with() {
        let (metrics, clock) = (Metrics::default(), Clock::system());
        let _ = metrics.begin(UNARY, &clock).answered(Response::new(Body::empty()));
        let _ = metrics.begin(UNARY, &clock).answered(Status::not_found("x").into_http());
        // Nobody waited for the answer.
        drop(metrics.begin(UNARY, &clock));
        let text = text(&metrics);
        let labels = "grpc_type=\"unary\",grpc_service=\"a.B\",grpc_method=\"C\"";
        for line in [
            format!("grpc_server_started_total{{{labels}}} 3"),
            format!("grpc_server_handled_total{{{labels},grpc_code=\"OK\"}} 1"),
            format!("grpc_server_handled_total{{{labels},grpc_code=\"NotFound\"}} 1"),
            format!("grpc_server_handled_total{{{labels},grpc_code=\"Canceled\"}} 1"),
            format!("grpc_server_handling_seconds_count{{{labels}}} 3"),
        ] {
            assert!(text.contains(&line), "{line}\n{text}");
        }
    }

    #[tokio::test]
    async fn a_stream_counts_at_its_end() {
        use http_body_util::{BodyExt, StreamBody};
        let (metrics, clock) = (Metrics::default(), Clock::system());
        let mut trailers = HeaderMap::new();
        trailers.insert(Status::GRPC_STATUS, http::HeaderValue::from_static("14"));
        let frames = [Ok::<_, Status>(Frame::data(Bytes::from_static(b"x"))), Ok(Frame::trailers(trailers))];
        let body = Body::new(StreamBody::new(futures_util::stream::iter(frames)));
        let answer = metrics.begin(STREAM, &clock).answered(Response::new(body));
        assert!(!text(&metrics).contains("grpc_code"), "counted before its end");
        answer.into_body().collect().await.unwrap();
        assert!(text(&metrics).contains("grpc_code=\"Unavailable\"} 1"), "{}", text(&metrics));
    }
}
