use api::r#gen::tessera::v1::{
    AppSessionReport, AppSessionReportRequest, AppSessionRequestCount, AppSessionRequests, app_session_report::Seen,
};
use clock::{ManualClock, Timestamp};
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody};
use prost::Message as _;
use tonic::Code;

use super::*;

/// A message that says to be `length` bytes long and stops after `sent` of them.
fn unfinished(length: u32, sent: usize) -> impl Body<Data = Bytes, Error = Status> + Unpin {
    let bytes = [&[0][..], &length.to_be_bytes(), &vec![0; sent]].concat();
    // Cut in the middle of the length.
    let frames = [bytes[..3].to_vec(), bytes[3..].to_vec()].map(|bytes| Ok(Frame::data(Bytes::from(bytes))));
    StreamBody::new(stream::iter(frames).chain(stream::pending()))
}

/// Reads what is there; the status if it was refused.
fn read(received: &mut (impl Body<Data = Bytes, Error = Status> + Unpin)) -> Result<(), Code> {
    loop {
        match received.frame().now_or_never() {
            Some(Some(Ok(_))) => {}
            Some(Some(Err(status))) => return Err(status.code()),
            Some(None) | None => return Ok(()),
        }
    }
}

const LARGE: u32 = 4 << 20;

#[test]
fn a_connection_and_a_user_have_a_budget_each() {
    let users = Users::default();
    let connection = Arc::new(Budget::of_connection());
    let begin = |connection: &Arc<Budget>, name: &str| {
        let charge = Charge::new(Arc::clone(connection), Some(users.budget(name)));
        let mut received = Received::new(unfinished(LARGE, 10), charge, None);
        read(&mut received).map(|()| received)
    };
    // What is announced counts, not what came.
    let first = begin(&connection, "ann").unwrap();
    let second = begin(&connection, "ann").unwrap();
    assert_eq!(begin(&connection, "ann").err(), Some(Code::ResourceExhausted));
    drop(first);
    let third = begin(&connection, "ann").unwrap();

    // On further connections until the user's own budget is at its end; nobody else's is.
    let others: Vec<_> = (0..10).map(|_| Arc::new(Budget::of_connection())).collect();
    let held: Vec<_> = others.iter().map_while(|other| begin(other, "ann").ok()).collect();
    assert_eq!(held.len(), BYTES_OF_USER / MAX_MESSAGE - 3, "two are held already, and the prefixes count");
    assert!(begin(&others[9], "bob").is_ok());
    drop((second, third, held));
    assert!(begin(&connection, "ann").is_ok());
    // What was refused has taken nothing.
    let left = |budget: &Budget| budget.0.load(Ordering::Acquire);
    assert_eq!((left(&connection), left(&users.budget("ann"))), (BYTES_OF_CONNECTION, BYTES_OF_USER));
}

#[test]
fn messages_after_the_message_count_too() {
    let charge = Charge::new(Arc::new(Budget::of_stranger()), None);
    let chunks = stream::iter((0..100).map(|_| Ok::<_, Status>(Frame::data(Bytes::from(vec![0; 4096])))));
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let mut request = Received::new(StreamBody::new(chunks), charge, Some(clock.clock()));
    assert_eq!(read(&mut request), Err(Code::ResourceExhausted));
}

#[test]
fn a_dialogue_may_go_on_for_ever() {
    let connection = Arc::new(Budget::of_stranger());
    let message = [&[0][..], &50_000_u32.to_be_bytes(), &[7; 50_000]].concat();
    let bytes = Bytes::from(message.repeat(100));
    // In pieces that end anywhere.
    let pieces = (0..bytes.len()).step_by(16_381).map(|at| bytes.slice(at..bytes.len().min(at + 16_381)));
    let frames = stream::iter(pieces.map(|piece| Ok::<_, Status>(Frame::data(piece))));
    let mut dialogue = Received::new(StreamBody::new(frames), Charge::new(Arc::clone(&connection), None), None);
    assert_eq!(read(&mut dialogue), Ok(()));
    drop(dialogue);
    assert_eq!(connection.0.load(Ordering::Acquire), BYTES_OF_STRANGER);
}

#[tokio::test]
async fn a_request_that_does_not_end_is_given_up() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let connection = Arc::new(Budget::of_connection());
    let charge = || Charge::new(Arc::clone(&connection), None);
    let mut request = Received::new(unfinished(LARGE, 10), charge(), Some(clock.clock()));
    let mut dialogue = Received::new(unfinished(LARGE, 10), charge(), None);
    assert_eq!(read(&mut request), Ok(()));
    clock.advance(ARRIVES_WITHIN - Duration::from_secs(1));
    assert_eq!(read(&mut request), Ok(()));
    clock.advance(Duration::from_secs(1));
    assert_eq!(read(&mut request), Err(Code::DeadlineExceeded));
    assert_eq!(read(&mut dialogue), Ok(()));
}

#[test]
fn users_who_left_are_forgotten() {
    let users = Users::default();
    let stays = users.budget("stays");
    for number in 0..10_000 {
        users.budget(&number.to_string());
    }
    assert!(users.0.lock().unwrap().budgets.len() < 200);
    assert!(Arc::ptr_eq(&stays, &users.budget("stays")));
}

#[test]
fn what_an_agent_reports_in_one_call_fits_twice_on_a_connection() {
    // 512 lines in 128 reports, and 512 in 5: see agent-app/recorder.rs.
    for (reports, lines) in [(128, 3), (5, 101)] {
        let like =
            AppSessionRequestCount { method: "DELETE".into(), path: "x".repeat(200), status_code: 200, count: 300 };
        let requests = AppSessionRequests { chunk_id: "c".repeat(36), requests: vec![like; lines] };
        let report = AppSessionReport {
            certificate: vec![1; 2000],
            client_addr: "192.0.2.7:12345".into(),
            seen: Some(Seen::Requests(requests)),
        };
        let bytes = Bytes::from(AppSessionReportRequest { reports: vec![report; reports] }.encode_to_vec());
        let connection = Arc::new(Budget::of_connection());
        let mut held = Vec::new();
        for _ in 0..2 {
            let charge = Charge::new(Arc::clone(&connection), None);
            charge.inflated(bytes.len()).unwrap();
            let mut paid = Paid::new(bytes.clone(), Arc::clone(&charge));
            let read = AppSessionReportRequest::decode(&mut paid);
            assert!(read.is_ok() && paid.refused().is_none(), "{reports} {lines}");
            held.push(charge);
        }
    }
}
