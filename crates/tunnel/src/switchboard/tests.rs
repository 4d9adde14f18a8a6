//! Links over in-memory streams: an agent's driver on one side, a switchboard on the other.

#![allow(clippy::disallowed_methods, reason = "a test's task ends with its runtime")]

use std::{
    io::IoSlice,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use clock::ManualClock;
use crypto::Random;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{
    agent::{Agent, Dial, Entry},
    link::{self, Serve},
};

/// Echoes what it is sent; refuses the service "no".
struct Echo;

#[async_trait]
impl Serve for Echo {
    async fn admit(&self, open: &Open) -> Result<(), String> {
        if open.service == "no" { Err("not served here".into()) } else { Ok(()) }
    }

    async fn serve(&self, open: Open, stream: Stream) {
        let (mut read, mut write) = tokio::io::split(stream);
        if open.service == "silent" {
            return std::future::pending().await;
        }
        let _ = tokio::io::copy(&mut read, &mut write).await;
        let _ = write.shutdown().await;
    }
}

/// A proxy within this process: whoever dials it is attached to its switchboard.
struct Port {
    board: Switchboard,
    stop: CancellationToken,
    is_dead: AtomicBool,
}

#[async_trait]
impl Dial for Port {
    async fn dial(&self, _: &str) -> io::Result<Transport> {
        if self.is_dead.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (board, stop) = (self.board.clone(), self.stop.clone());
        tokio::spawn(async move { board.attach("agent", Transport::plain(theirs), stop).await });
        Ok(Transport::plain(ours))
    }
}

fn port() -> (Arc<Port>, watch::Sender<Vec<Peer>>) {
    let (tell, peers) = watch::channel(Vec::new());
    let board = Switchboard::new("proxy".into(), "1".into(), peers, Clock::system());
    (Arc::new(Port { board, stop: CancellationToken::new(), is_dead: AtomicBool::new(false) }), tell)
}

fn agent(port: &Arc<Port>, stop: &CancellationToken) -> watch::Receiver<Vec<String>> {
    let (connected, seen) = watch::channel(Vec::new());
    let (_, entry) = watch::channel(Entry::fixed(vec!["entry".into()]));
    let agent = Agent {
        entry,
        dial: Arc::clone(port) as _,
        serve: Arc::new(Echo),
        connected,
        clock: Clock::system(),
        random: Random::seeded(3),
    };
    tokio::spawn(agent.run(stop.clone()));
    seen
}

/// Waits until it is so.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    Clock::system().timeout(Duration::from_secs(60), waited).await.expect("not within a minute");
}

async fn echo(board: &Switchboard, bytes: &[u8]) -> Vec<u8> {
    let stream = board.open("agent", &Open::service("echo")).await.unwrap();
    let (mut read, mut write) = tokio::io::split(stream);
    let mut back = Vec::new();
    let send = async {
        write.write_all(bytes).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let (_, read) = tokio::join!(send, read.read_to_end(&mut back));
    read.unwrap();
    back
}

#[tokio::test]
async fn bytes_go_both_ways_and_end() {
    let (port, _tell) = port();
    let mut seen = agent(&port, &CancellationToken::new());
    seen.wait_for(|proxies| proxies == &["proxy".to_owned()]).await.unwrap();
    // Beyond every window, so that flow control has to hand room back.
    let long: Vec<u8> = (0..9_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    assert_eq!(echo(&port.board, &long).await, long);
    assert_eq!(echo(&port.board, b"").await, b"");
}

#[tokio::test]
async fn streams_that_nobody_reads_stop_no_others() {
    let (port, _tell) = port();
    let mut seen = agent(&port, &CancellationToken::new());
    seen.wait_for(|proxies| !proxies.is_empty()).await.unwrap();
    let (bytes, mut unread) = (vec![7; 4_000_000], Vec::new());
    // One kind answers and is not read, the other does not read; each takes as much as it may.
    for service in ["echo", "silent"].repeat(12) {
        let mut stream = port.board.open("agent", &Open::service(service)).await.unwrap();
        let written = tokio::time::timeout(Duration::from_millis(50), stream.write_all(&bytes)).await;
        assert!(written.is_err(), "{service} takes everything");
        unread.push(stream);
    }
    let echoed = tokio::time::timeout(Duration::from_secs(10), echo(&port.board, &bytes)).await;
    assert_eq!(echoed.expect("it has to wait for streams of somebody else"), bytes);
}

#[tokio::test]
async fn a_refusal_says_why_and_who_is_unknown_is_not_connected() {
    let (port, _tell) = port();
    let mut seen = agent(&port, &CancellationToken::new());
    seen.wait_for(|proxies| !proxies.is_empty()).await.unwrap();
    let refused = port.board.open("agent", &Open::service("no")).await.unwrap_err();
    assert_eq!(refused.to_string(), "refused: not served here");
    let unknown = port.board.open("other", &Open::service("echo")).await.unwrap_err();
    assert!(matches!(unknown, OpenError::NotConnected(_)), "{unknown}");
}

#[tokio::test]
async fn a_stream_nobody_reads_holds_one_window_and_its_neighbours_go_on() {
    let (port, _tell) = port();
    let mut seen = agent(&port, &CancellationToken::new());
    seen.wait_for(|proxies| !proxies.is_empty()).await.unwrap();
    let mut stuck = port.board.open("agent", &Open::service("silent")).await.unwrap();
    let mut sent = 0;
    while let Ok(written) = tokio::time::timeout(Duration::from_millis(300), stuck.write(&[0; 65536])).await {
        sent += written.unwrap();
        assert!(sent < 4 * 1024 * 1024, "a stream that nobody reads takes {sent} bytes");
    }
    assert_eq!(echo(&port.board, b"neighbour").await, b"neighbour");
}

#[tokio::test]
async fn a_draining_proxy_lets_streams_end_and_takes_no_new_ones() {
    let (port, _tell) = port();
    let stop = CancellationToken::new();
    let mut seen = agent(&port, &stop);
    seen.wait_for(|proxies| !proxies.is_empty()).await.unwrap();
    let mut running = port.board.open("agent", &Open::service("echo")).await.unwrap();
    running.write_all(b"before").await.unwrap();
    port.is_dead.store(true, Ordering::Relaxed);
    port.stop.cancel();
    seen.wait_for(Vec::is_empty).await.unwrap();
    assert!(!port.board.is_connected("agent"));
    assert!(port.board.open("agent", &Open::service("echo")).await.is_err());
    running.write_all(b" and after").await.unwrap();
    running.shutdown().await.unwrap();
    let mut back = String::new();
    running.read_to_string(&mut back).await.unwrap();
    assert_eq!(back, "before and after");
}

#[tokio::test]
async fn an_agent_that_stops_lets_streams_end_first() {
    let (port, _tell) = port();
    let stop = CancellationToken::new();
    let mut seen = agent(&port, &stop);
    seen.wait_for(|proxies| !proxies.is_empty()).await.unwrap();
    let mut running = port.board.open("agent", &Open::service("echo")).await.unwrap();
    running.write_all(b"x").await.unwrap();
    stop.cancel();
    let mut back = [0; 1];
    running.read_exact(&mut back).await.unwrap();
    running.write_all(b"y").await.unwrap();
    running.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"y");
}

#[tokio::test]
async fn a_proxy_that_stops_after_its_agent_cuts_no_stream() {
    let (port, _tell) = port();
    let stop = CancellationToken::new();
    let mut seen = agent(&port, &stop);
    seen.wait_for(|proxies| !proxies.is_empty()).await.unwrap();
    let mut running = port.board.open("agent", &Open::service("echo")).await.unwrap();
    running.write_all(b"x").await.unwrap();
    stop.cancel();
    until(async || !port.board.is_connected("agent")).await;
    port.stop.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;
    running.write_all(b"y").await.unwrap();
    running.shutdown().await.unwrap();
    let mut back = String::new();
    running.read_to_string(&mut back).await.unwrap();
    assert_eq!(back, "xy");
}

/// Takes every stream, and reads nothing.
struct Deaf;

#[async_trait]
impl Serve for Deaf {
    async fn admit(&self, _: &Open) -> Result<(), String> {
        Ok(())
    }

    async fn serve(&self, _: Open, stream: Stream) {
        std::future::pending::<()>().await;
        drop(stream);
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_listen_keeps_no_proxy_from_leaving_it() {
    let (port, tell) = port();
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (board, stop) = (port.board.clone(), port.stop.clone());
    tokio::spawn(async move { board.attach("agent", Transport::plain(theirs), stop).await });
    tokio::spawn(async move {
        link::serve(Transport::plain(ours), Arc::new(Deaf), &Clock::system(), CancellationToken::new()).await
    });
    // Until no window has room for another message.
    for round in 0..64 {
        let peer = |number| Peer { id: format!("{round}-{number}"), address: Some("a".repeat(800)) };
        tell.send_replace((0..64).map(peer).collect());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(port.board.is_connected("agent"));
    port.stop.cancel();
    let until = tokio::time::Instant::now() + HEARD_WITHIN * 2;
    while port.board.is_connected("agent") {
        assert!(tokio::time::Instant::now() < until, "the proxy waits for an agent that does not read");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The first dial panics, the second leads to somebody who answers pings and says nothing, the third to somebody who says
/// who it is and then nothing more; later ones to a proxy.
struct Odd {
    port: Arc<Port>,
    dials: AtomicUsize,
}

#[async_trait]
impl Dial for Odd {
    async fn dial(&self, address: &str) -> io::Result<Transport> {
        let turn = self.dials.fetch_add(1, Ordering::Relaxed);
        assert!(turn > 0, "a defect");
        if turn > 2 {
            return self.port.dial(address).await;
        }
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        tokio::spawn(async move {
            let clock = Clock::system();
            let (opener, link) = Opener::begin(Transport::plain(theirs), "agent", &clock).await.unwrap();
            let link = tokio::spawn(link);
            if turn == 2 {
                let mut stream = opener.open(&Open::service(CONTROL), &clock).await.unwrap();
                let hello = Hello { proxy: "proxy".into(), incarnation: "0".into(), peers: Vec::new() };
                control::write(&mut stream, &Message::Hello(hello)).await.unwrap();
                stream.shutdown().await.unwrap();
                let _ = stream.read(&mut [0]).await;
            }
            link.await.unwrap();
            drop(opener);
        });
        Ok(Transport::plain(ours))
    }
}

#[tokio::test]
async fn a_dial_that_panics_or_meets_nobody_is_made_again() {
    let (port, _tell) = port();
    let manual = ManualClock::new(Clock::system().now());
    let (connected, seen) = watch::channel(Vec::new());
    let (_, entry) = watch::channel(Entry::fixed(vec!["entry".into()]));
    let agent = Agent {
        entry,
        dial: Arc::new(Odd { port: Arc::clone(&port), dials: AtomicUsize::new(0) }),
        serve: Arc::new(Echo),
        connected,
        clock: manual.clock(),
        random: Random::seeded(3),
    };
    tokio::spawn(agent.run(CancellationToken::new()));
    pass(&manual, Duration::from_secs(40)).await;
    assert_eq!(*seen.borrow(), ["proxy"], "it is dialled no more");
    assert!(port.board.is_connected("agent"), "a proxy that says nothing more is believed to open streams");
}

#[tokio::test]
async fn a_link_whose_other_end_leaves_is_closed_to_new_streams_while_old_ones_run() {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let clock = Clock::system();
    tokio::spawn(
        async move { link::serve(Transport::plain(theirs), Arc::new(Echo), &Clock::system(), stopping).await },
    );
    let (opener, link) = Opener::begin(Transport::plain(ours), "agent", &clock).await.unwrap();
    tokio::spawn(link);
    let mut running = opener.open(&Open::service("echo"), &clock).await.unwrap();
    stop.cancel();
    until(async || opener.open(&Open::service("echo"), &clock).await.is_err()).await;
    assert!(opener.is_closed());
    running.write_all(b"x").await.unwrap();
    running.read_exact(&mut [0]).await.unwrap();
}

#[tokio::test]
async fn a_half_open_link_is_given_up_after_an_unanswered_ping() {
    let manual = ManualClock::new(Clock::system().now());
    let clock = manual.clock();
    let (ours, mut near) = tokio::io::duplex(64 * 1024);
    let (mut far, theirs) = tokio::io::duplex(64 * 1024);
    let cut = CancellationToken::new();
    let cable = cut.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
            // Nobody answers, and nobody closes.
            () = cable.cancelled() => std::future::pending::<()>().await,
        }
    });
    tokio::spawn(async move {
        link::serve(Transport::plain(theirs), Arc::new(Echo), &Clock::system(), CancellationToken::new()).await
    });
    let (opener, driver) = Opener::begin(Transport::plain(ours), "agent", &clock).await.unwrap();
    let driver = tokio::spawn(driver);
    drop(opener.open(&Open::service("echo"), &clock).await.unwrap());
    for _ in 0..4 {
        pass(&manual, link::PING_EVERY).await;
        assert!(!opener.is_closed(), "pings are answered");
    }
    cut.cancel();
    pass(&manual, link::PING_EVERY + link::PONG_WITHIN + Duration::from_secs(2)).await;
    driver.await.unwrap();
    assert!(opener.is_closed());
}

#[tokio::test]
async fn an_agent_that_makes_links_without_end_keeps_the_newest_of_them() {
    let (port, _tell) = port();
    let mut agents = Vec::new();
    for _ in 0..LINKS + 3 {
        let mut seen = agent(&port, &CancellationToken::new());
        seen.wait_for(|proxies| !proxies.is_empty()).await.unwrap();
        agents.push(seen);
    }
    assert!(port.board.links()["agent"].len() <= LINKS);
    agents[0].wait_for(Vec::is_empty).await.expect("the oldest is told to leave");
    assert_eq!(echo(&port.board, b"the newest").await, b"the newest");
}

/// Lets simulated time go by, with enough real turns in each second for the streams to carry what they must.
async fn pass(manual: &ManualClock, span: Duration) {
    for _ in 0..=span.as_secs() {
        manual.advance(Duration::from_secs(1));
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_link_over_which_a_stream_was_too_slow_is_passed_over_until_a_ping_is_answered() {
    let manual = ManualClock::new(Clock::system().now());
    let clock = manual.clock();
    let (ours, mut near) = tokio::io::duplex(64 * 1024);
    let (mut far, theirs) = tokio::io::duplex(64 * 1024);
    let (hold, mut held) = watch::channel(false);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
                held = held.wait_for(|is_held| *is_held) => drop(held.unwrap()),
            }
            held.wait_for(|is_held| !is_held).await.unwrap();
        }
    });
    tokio::spawn(async move {
        link::serve(Transport::plain(theirs), Arc::new(Echo), &Clock::system(), CancellationToken::new()).await
    });
    let (opener, driver) = Opener::begin(Transport::plain(ours), "agent", &clock).await.unwrap();
    tokio::spawn(driver);
    let open = async || opener.open(&Open::service("echo"), &clock).await.map(drop);
    open().await.unwrap();
    hold.send_replace(true);
    let (slow, ()) = tokio::join!(open(), pass(&manual, link::OPEN_WITHIN + Duration::from_secs(1)));
    assert!(matches!(slow, Err(OpenError::TooSlow(_))), "{slow:?}");
    // At once: no clock moves here.
    assert!(matches!(open().await, Err(OpenError::TooSlow(_))));
    hold.send_replace(false);
    pass(&manual, Duration::from_secs(1)).await;
    open().await.unwrap();
    assert!(!opener.is_closed());
}

#[tokio::test]
async fn parts_go_out_together_and_in_order() {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    tokio::spawn(async move {
        link::serve(Transport::plain(ours), Arc::new(Echo), &Clock::system(), CancellationToken::new()).await
    });
    let (opener, driver) = Opener::begin(Transport::plain(theirs), "agent", &Clock::system()).await.unwrap();
    tokio::spawn(driver);
    let mut stream = opener.open(&Open::service("echo"), &Clock::system()).await.unwrap();
    let (head, body) = (vec![1; 100], vec![2; 200_000]);
    let parts = [IoSlice::new(&head), IoSlice::new(&[]), IoSlice::new(&body)];
    let written = stream.write_vectored(&parts).await.unwrap();
    assert!(written > head.len() && written < head.len() + body.len(), "{written}");
    let mut back = vec![0; written];
    stream.read_exact(&mut back).await.unwrap();
    assert!(back[..100] == head[..] && back[100..] == body[..written - 100]);
    assert_eq!(stream.write_vectored(&[]).await.unwrap(), 0);
}
