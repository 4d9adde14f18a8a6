use std::{
    collections::HashMap,
    pin::Pin,
    task::{Context, Waker},
};

use proptest::{collection::vec, prelude::*};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;

/// What happens to the channels of a connection, from both sides, in any order.
#[derive(Clone, Debug)]
enum Step {
    Noise(Vec<u8>),
    Open(u32, u32),
    Dial(u32),
    Data(u32, usize),
    Adjust(u32, u32),
    Eof(u32),
    Close(u32),
    Answer(usize, bool),
    Read(usize, usize),
    Write(usize, usize),
    Shutdown(usize),
    Drop(usize),
    Pump(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let id = || 0..24_u32;
    let stream = || 0..8_usize;
    prop_oneof![
        vec(any::<u8>(), 0..40).prop_map(Step::Noise),
        (0..100_000_u32, 0..70_000_u32).prop_map(|(window, longest)| Step::Open(window, longest)),
        id().prop_map(Step::Dial),
        (id(), 0..40_000_usize).prop_map(|(id, length)| Step::Data(id, length)),
        (id(), any::<u32>()).prop_map(|(id, more)| Step::Adjust(id, more)),
        id().prop_map(Step::Eof),
        id().prop_map(Step::Close),
        (stream(), any::<bool>()).prop_map(|(stream, good)| Step::Answer(stream, good)),
        (stream(), 0..100_000_usize).prop_map(|(stream, most)| Step::Read(stream, most)),
        (stream(), 0..100_000_usize).prop_map(|(stream, length)| Step::Write(stream, length)),
        stream().prop_map(Step::Shutdown),
        stream().prop_map(Step::Drop),
        (0..300_000_usize).prop_map(Step::Pump),
    ]
}

/// A message as the client would write it; none for what only our side does.
fn message(step: &Step, peer: u32) -> Option<Vec<u8>> {
    Some(match step {
        Step::Noise(bytes) => bytes.clone(),
        Step::Open(window, longest) => {
            Message::new(CHANNEL_OPEN).string(TRANSPORT).u32(peer).u32(*window).u32(*longest).done()
        }
        Step::Dial(id) => {
            let request = format!(r#"{{"address":"{AUTH}"}}"#);
            Message::new(CHANNEL_REQUEST).u32(*id).string(DIAL).bool(true).raw(request.as_bytes()).done()
        }
        Step::Data(id, length) => Message::new(CHANNEL_DATA).u32(*id).string(vec![7; *length]).done(),
        Step::Adjust(id, more) => Message::new(CHANNEL_WINDOW_ADJUST).u32(*id).u32(*more).done(),
        Step::Eof(id) => Message::new(CHANNEL_EOF).u32(*id).done(),
        Step::Close(id) => Message::new(CHANNEL_CLOSE).u32(*id).done(),
        _ => return None,
    })
}

/// The other end of a channel.
fn act(step: &Step, streams: &mut Vec<Stream>) {
    let context = &mut Context::from_waker(Waker::noop());
    let (Step::Answer(at, _) | Step::Read(at, _) | Step::Write(at, _) | Step::Shutdown(at) | Step::Drop(at)) = step
    else {
        return;
    };
    if streams.is_empty() {
        return;
    }
    let at = at % streams.len();
    let stream = &mut streams[at];
    match step {
        Step::Answer(_, good) => stream.answer(if *good { Ok(()) } else { Err("no".to_owned()) }),
        Step::Read(_, most) => {
            let mut bytes = vec![0; *most];
            let _ = Pin::new(stream).poll_read(context, &mut ReadBuf::new(&mut bytes));
        }
        Step::Write(_, length) => {
            let _ = Pin::new(stream).poll_write(context, &vec![1; *length]);
        }
        Step::Shutdown(_) => {
            let _ = Pin::new(stream).poll_shutdown(context);
        }
        _ => drop(streams.swap_remove(at)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_said_the_bounds_hold(steps in vec(step(), 1..300)) {
        let mut channels = Channels::new(Arc::new(Notify::new()));
        let mut streams = Vec::new();
        // By what the client calls each channel: how much more it may be sent.
        let mut allowed: HashMap<u32, u64> = HashMap::new();
        let mut peers: HashMap<u32, u32> = HashMap::new();
        for (peer, step) in (1000_u32..).zip(&steps) {
            let mut out = Vec::new();
            if let Some(message) = message(step, peer) {
                let known = match step {
                    Step::Dial(id) | Step::Data(id, _) | Step::Adjust(id, _) | Step::Eof(id) | Step::Close(id) => {
                        channels.open.contains_key(id)
                    }
                    _ => true,
                };
                let taken = channels.take(&message, None, &mut out);
                prop_assert!(known || taken.is_err(), "a message for no channel");
                match (step, taken) {
                    (Step::Adjust(id, more), Ok(_)) => {
                        *allowed.entry(peers[id]).or_default() += u64::from(*more);
                    }
                    (_, Ok(Some(stream))) => streams.push(stream),
                    _ => {}
                }
            }
            act(step, &mut streams);
            let most = if let Step::Pump(most) = step { Some(*most) } else { None };
            if let Some(most) = most {
                channels.pump(most, &mut out);
            }
            let mut sent = 0;
            for message in &out {
                let mut reader = Reader::new(&message[1..]);
                match message[0] {
                    CHANNEL_OPEN_CONFIRMATION => {
                        let (peer, id) = (reader.u32().unwrap(), reader.u32().unwrap());
                        let Step::Open(window, _) = step else { panic!("nobody asked") };
                        allowed.insert(peer, u64::from(*window));
                        peers.insert(id, peer);
                    }
                    CHANNEL_DATA => {
                        let allowed = allowed.get_mut(&reader.u32().unwrap()).unwrap();
                        let length = reader.string().unwrap().len();
                        prop_assert!(length <= LONGEST_DATA && *allowed >= length as u64, "more than the client takes");
                        *allowed -= length as u64;
                        sent += length;
                    }
                    _ => {}
                }
            }
            prop_assert!(most.is_none_or(|most| sent <= most));
            prop_assert!(channels.open.len() <= MOST_CHANNELS);
            for channel in channels.open.values() {
                let (inbound, outbound) = channel.pipe.held();
                prop_assert!(inbound <= WINDOW && outbound <= 64 * 1024, "{inbound} {outbound}");
                prop_assert!(channel.window + channel.owed + inbound <= WINDOW, "a window that grows");
            }
        }
    }
}

#[test]
fn a_channel_that_leads_nowhere_keeps_no_connection() {
    let mut channels = Channels::new(Arc::default());
    let mut out = Out::new();
    channels.take(&message(&Step::Open(1000, 1000), 1).unwrap(), None, &mut out).unwrap();
    assert!(!channels.is_busy(), "nobody has said where it goes");
    let stream = channels.take(&message(&Step::Dial(0), 1).unwrap(), None, &mut out).unwrap();
    assert!(channels.is_busy(), "it is dialled");
    let stream = stream.unwrap();
    stream.answer(Ok(()));
    channels.pump(1000, &mut out);
    assert!(channels.is_busy(), "it carries");
    channels.take(&message(&Step::Close(0), 1).unwrap(), None, &mut out).unwrap();
    assert!(!channels.is_busy());
}
