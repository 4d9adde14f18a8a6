//! The plain port, where an ACME authority asks.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use net::{Listener, ListenerOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};
use tokio_util::sync::CancellationToken;

use super::world::{World, world, world_with};
use crate::acme::http;

/// The port for plain HTTP, and more connections to it from one address than it has places, none of which says anything.
async fn crowded(world: &World) -> (SocketAddr, Vec<TcpStream>) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), ListenerOptions::default()).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(http::accept(Arc::clone(&world.proxy), listener, CancellationToken::new()));
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    (address, silent)
}

#[tokio::test]
async fn connections_of_one_address_that_say_nothing_keep_no_other_address_away() {
    let world = world().await;
    let (address, _silent) = crowded(&world).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut authority = socket.connect(address).await.unwrap();
    authority.write_all(b"GET / HTTP/1.1\r\nHost: proxy.example\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    let answered = tokio::time::timeout(Duration::from_secs(8), authority.read_exact(&mut answer)).await;
    answered.expect("all places are taken").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 308");
}

#[tokio::test]
async fn nobody_waits_for_a_place_without_end() {
    let world = world_with(|config| config.limits.waiting_deadline = Duration::from_millis(300)).await;
    let (_, mut silent) = crowded(&world).await;
    let ended = tokio::time::timeout(Duration::from_secs(8), silent[299].read(&mut [0])).await;
    assert_eq!(ended.expect("it waits for its turn to say nothing").unwrap(), 0);
}
