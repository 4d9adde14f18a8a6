//! What proxies say of themselves and learn of each other, at an auth service that does nothing else.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use api::r#gen::tessera::v1::{ListProxiesResponse, ProxyServer, UpsertProxyRequest, UpsertProxyResponse};
use bytes::Bytes;
use client::{Client, Credentials};
use clock::Clock;
use crypto::Random;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::UnixListener;
use tunnel::Peer;

use super::world::world;

/// What was said, and how often it was asked who is there.
#[derive(Default)]
struct Heard {
    said: Vec<ProxyServer>,
    asked: usize,
}

fn server(host_id: &str, tunnel_addrs: &[&str]) -> ProxyServer {
    ProxyServer {
        host_id: host_id.into(),
        public_addrs: vec![format!("{host_id}.example:443")],
        tunnel_addrs: tunnel_addrs.iter().map(|&address| address.into()).collect(),
        ..ProxyServer::default()
    }
}

/// A client of that auth service.
async fn auth(path: &Path, heard: Arc<Mutex<Heard>>) -> Client {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        let answer = service_fn(move |request: Request<Incoming>| {
            let heard = Arc::clone(&heard);
            async move {
                let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let (answer, status) = match method.as_str() {
                    "UpsertProxy" => {
                        let said = UpsertProxyRequest::decode(&body[5..]).unwrap().proxy.unwrap();
                        heard.lock().unwrap().said.push(said);
                        (UpsertProxyResponse::default().encode_to_vec(), "0")
                    }
                    "ListProxies" => {
                        heard.lock().unwrap().asked += 1;
                        let proxies = vec![server("beef", &[]), server("cafe", &["tunnel.example:3024"])];
                        (ListProxiesResponse { proxies }.encode_to_vec(), "0")
                    }
                    _ => (Vec::new(), "14"),
                };
                let length = u32::try_from(answer.len()).unwrap().to_be_bytes();
                let frame = Bytes::from([&[0], &length[..], &answer].concat());
                let trailers =
                    HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static(status))]);
                let body = Full::new(frame).with_trailers(async { Some(Ok(trailers)) });
                Ok::<_, io::Error>(Response::builder().header("content-type", "application/grpc").body(body).unwrap())
            }
        });
        while let Ok((stream, _)) = listener.accept().await {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), answer.clone()));
        }
    });
    let address = format!("unix://{}", path.display());
    let config = client::Config::new([address], Credentials::none(), Clock::system(), Random::system());
    Client::connect(config).await.unwrap()
}

#[tokio::test]
async fn a_proxy_says_seldom_where_it_is_and_asks_often_where_others_are() {
    let (world, directory) = (world().await, tempfile::tempdir().unwrap());
    let heard = Arc::new(Mutex::new(Heard::default()));
    let mut peers = world.proxy.known_peers.subscribe();
    let client = auth(&directory.path().join("auth"), Arc::clone(&heard)).await;
    world.proxy.client.store(Arc::new(client));
    let known = tokio::time::timeout(Duration::from_secs(10), peers.wait_for(|peers| !peers.is_empty()));
    let peer = |id: &str, address: &str| Peer { id: id.into(), address: Some(address.into()) };
    assert_eq!(
        *known.await.expect("nothing is learnt of the others").unwrap(),
        [peer("beef", "beef.example:443"), peer("cafe", "tunnel.example:3024")],
        "agents are to find each, by its own port for agents or else where everybody does"
    );
    tokio::time::sleep(Duration::from_millis(4500)).await;
    let heard = heard.lock().unwrap();
    assert!(heard.asked >= 3, "one that has come is not found for long: {}", heard.asked);
    let [said] = &heard.said[..] else { panic!("each time is a durable write: {:?}", heard.said) };
    assert_eq!(said.peer_addr, "proxy.example:3080", "where nothing else is configured");
}
