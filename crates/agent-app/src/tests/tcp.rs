//! TCP applications.

use std::sync::atomic::Ordering;

use domain::resources::app::PortRange;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::kit::{Kit, app, lock};
use crate::Config;

/// An application that answers with what it reads, and its port.
async fn echo() -> (u16, impl Future<Output = ()> + Send) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut read, mut write) = stream.split();
                drop(tokio::io::copy(&mut read, &mut write).await);
            });
        }
    };
    (port, serving)
}

#[tokio::test]
async fn bytes_go_both_ways_until_a_lock() {
    let (port, running) = echo().await;
    let config = Config { apps: vec![app("db", &format!("tcp://127.0.0.1:{port}"))], ..Config::default() };
    let mut kit = Kit::new(config).await;
    kit.run(running);
    let shown = kit.session("s", "db").await;
    let mut streams = kit.connect_both(&shown, "teleport-tcp").await;
    let mut answer = [0; 4];
    for stream in &mut streams {
        stream.write_all(b"ping").await.unwrap();
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"ping");
    }
    kit.put(lock("alice"));
    for stream in &mut streams {
        let ended = stream.read(&mut answer).await;
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    }
    let mut stream = kit.connect(&shown, "teleport-tcp").await;
    let refused = stream.read(&mut answer).await;
    assert!(matches!(refused, Ok(0) | Err(_)), "{refused:?}");
}

#[tokio::test]
async fn the_session_says_which_port_and_the_application_which_there_are() {
    let (port, running) = echo().await;
    let mut document = app("db", "tcp://127.0.0.1");
    document.spec.tcp_ports =
        vec![PortRange { port: 1, end_port: 0 }, PortRange { port: u32::from(port), end_port: 0 }];
    let mut kit = Kit::new(Config { apps: vec![document], ..Config::default() }).await;
    kit.run(running);
    for (wanted, is_served) in [(usize::from(port), true), (0, false), (2, false)] {
        kit.auth.port.store(wanted, Ordering::Relaxed);
        let shown = kit.session(&format!("s-{wanted}"), "db").await;
        let mut stream = kit.connect(&shown, "teleport-tcp").await;
        let mut answer = [0; 4];
        let answered = match stream.write_all(b"ping").await {
            Ok(()) => stream.read_exact(&mut answer).await.is_ok(),
            Err(_) => false,
        };
        assert_eq!(answered, is_served, "{wanted}");
    }
}
