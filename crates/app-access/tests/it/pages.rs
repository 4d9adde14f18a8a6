//! Pages of other sites at the listener of an application that speaks no HTTP.

use app_access::Door;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::front::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_says_nothing_to_a_tcp_application() {
    let world = World::new(Door::Tunnel("postgres".into())).await;
    for (origin, is_let_in) in [("https://evil.example", false), ("http://localhost:3000", true)] {
        let said = format!("POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\nContent-Length: 5\r\n\r\nflush");
        let mut stream = TcpStream::connect(&world.local).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard.ends_with(&said), is_let_in, "{heard}");
        assert_eq!(heard.contains("403 Forbidden") && heard.contains(&format!("a page of {origin} asks")), !is_let_in);
    }
}
