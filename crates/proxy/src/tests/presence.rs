//! What proxies say of themselves and learn of each other, and what they follow, at an auth service that does nothing else.

use std::{
    convert::Infallible,
    io,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use api::{
    convert::watch,
    r#gen::{
        proto::ListLocksResponse,
        tessera::v1::{ListProxiesResponse, ProxyServer, UpsertProxyRequest, UpsertProxyResponse},
    },
};
use bytes::Bytes;
use client::{Client, Credentials};
use clock::Clock;
use crypto::{KeyPair, Random, tls::CertificateChain, x509::Certificate};
use domain::{
    AnyResource,
    ca::CaType,
    resources::{
        Lock,
        lock::{LockSpec, LockTarget},
    },
};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::{
    io::AsyncReadExt as _,
    net::UnixListener,
    sync::{Notify, mpsc},
};
use tunnel::{Open, Peer};

use super::{
    until,
    world::{Authority, world},
};
use crate::{Identity, applications::places::Holder, feed, router::TUNNEL};

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

fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    Bytes::from([&[0], &length[..], message].concat())
}

fn status(code: &'static str) -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static(code))])
}

/// A client of an auth service that is asked for locks and answers when it is told to, that there are none; it begins
/// watches and answers nothing else. And what the first watch is told.
async fn slow_but_for_a_watch(path: &Path, answer_now: Arc<Notify>) -> (Client, mpsc::UnboundedSender<Bytes>) {
    let listener = UnixListener::bind(path).unwrap();
    let (tell, told) = mpsc::unbounded_channel::<Bytes>();
    let told = Arc::new(Mutex::new(Some(told)));
    tokio::spawn(async move {
        let answer = service_fn(move |request: Request<Incoming>| {
            let (told, answer_now) = (Arc::clone(&told), Arc::clone(&answer_now));
            async move {
                let body = match request.uri().path().rsplit('/').next().unwrap() {
                    "WatchEvents" => {
                        let first = framed(&watch::init(Vec::new()).encode_to_vec());
                        let told = told.lock().unwrap().take();
                        let frames = futures_util::stream::unfold((Some(first), told), async |(first, mut told)| {
                            let frame = match (first, &mut told) {
                                (Some(first), _) => first,
                                (None, Some(told)) => told.recv().await?,
                                (None, None) => std::future::pending().await,
                            };
                            Some((Ok::<_, Infallible>(Frame::data(frame)), (None, told)))
                        });
                        StreamBody::new(frames).boxed_unsync()
                    }
                    "ListLocks" => {
                        answer_now.notified().await;
                        let none = framed(&ListLocksResponse::default().encode_to_vec());
                        Full::new(none).with_trailers(async { Some(Ok(status("0"))) }).boxed_unsync()
                    }
                    _ => std::future::pending().await,
                };
                Ok::<_, io::Error>(Response::builder().header("content-type", "application/grpc").body(body).unwrap())
            }
        });
        while let Ok((stream, _)) = listener.accept().await {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), answer.clone()));
        }
    });
    (client(path).await, tell)
}

async fn client(path: &Path) -> Client {
    let address = format!("unix://{}", path.display());
    let config = client::Config::new([address], Credentials::none(), Clock::system(), Random::system());
    Client::connect(config).await.unwrap()
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
                let frame = framed(&answer);
                let body = Full::new(frame).with_trailers(async { Some(Ok(self::status(status))) });
                Ok::<_, io::Error>(Response::builder().header("content-type", "application/grpc").body(body).unwrap())
            }
        });
        while let Ok((stream, _)) = listener.accept().await {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), answer.clone()));
        }
    });
    client(path).await
}

#[tokio::test]
async fn a_lock_is_obeyed_also_while_all_is_read_anew_and_is_newer_than_what_is_read() {
    let (world, directory, answer_now) = (world().await, tempfile::tempdir().unwrap(), Arc::new(Notify::new()));
    let (client, tell) = slow_but_for_a_watch(&directory.path().join("auth"), Arc::clone(&answer_now)).await;
    let mut followed = Some(client.watch(Vec::new()).await.unwrap());
    // What the proxy itself reads would stand in the way.
    world.stop.soft();
    until(|| Arc::strong_count(&world.proxy) == 1).await;
    world.proxy.client.store(Arc::new(client));
    let mut changed = world.proxy.view.changed();
    let target = LockTarget { user: "mallory".into(), ..LockTarget::default() };
    let lock = Lock::new("a-lock", LockSpec { target, ..LockSpec::default() });
    let event = watch::put(&AnyResource::Lock(lock)).expect("watchers are told of locks");
    let story = async {
        // All locks have been asked for by then.
        tokio::time::sleep(Duration::from_millis(500)).await;
        tell.send(framed(&event.encode_to_vec())).unwrap();
        let obeyed = tokio::time::timeout(Duration::from_secs(5), changed.changed()).await;
        obeyed.expect("the lock waits until all is read").unwrap();
        answer_now.notify_one();
        let lifted = tokio::time::timeout(Duration::from_millis(500), changed.changed()).await;
        assert!(lifted.is_err(), "an older answer lifts the lock");
    };
    tokio::select! {
        () = story => {}
        _ = feed::round(&world.proxy, &mut followed, Duration::ZERO) => panic!("nothing else was read"),
    }
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

#[tokio::test]
async fn an_authority_that_is_gone_does_not_come_back_with_our_next_certificate() {
    let world = world().await;
    let name = "proxy.teleport.cluster.local";
    let attach = async |(certificate, key): (Certificate, KeyPair)| {
        let chain = CertificateChain::new(&[certificate], &key).unwrap();
        let Ok(mut stream) = world.connect(name, Some(chain), &[TUNNEL]).await else { return false };
        stream.read_exact(&mut [0; 3]).await.is_ok()
    };
    assert!(attach(world.hosts.host("a1", "App", &[]).await).await);
    let next = Authority::new(3).await;
    world.proxy.view.set_authorities(vec![next.document(CaType::Host), world.users.document(CaType::User)]);
    world.proxy.tls.trust(&world.proxy.view.authorities()).unwrap();
    let (certificate, key) = world.hosts.host("f00d", "Proxy", &[name]).await;
    let identity = Identity::new(certificate, key, vec![world.hosts.certificate()]).unwrap();
    world.proxy.replace(identity, Client::clone(&world.proxy.client.load())).unwrap();
    assert!(
        !attach(world.hosts.host("a1", "App", &[]).await).await,
        "what we joined with is older than what we were told"
    );
    assert!(attach(next.host("a2", "App", &[]).await).await);
}

#[tokio::test]
async fn a_proxy_that_cannot_be_reached_is_told_of_until_it_is() {
    let mut world = world().await;
    let first = world.address.to_string();
    world.meet_another_proxy().await;
    let (proxy, clock) = (&world.proxy, Clock::system());
    let server = proxy.view.servers_of("grafana").remove(0);
    let notice_with = async |address: &str| {
        proxy.peers.set([("f00d".to_owned(), address.to_owned())].into());
        drop(proxy.peers.open(proxy, &server, &Holder::user("alice"), Open::service(tunnel::APPLICATIONS)).await);
        proxy.peers.notice(clock.monotonic())
    };
    let told = notice_with("127.0.0.1:1").await;
    assert!(told.contains("f00d cannot be reached at 127.0.0.1:1") && told.contains("peer_public_addr"), "{told}");
    assert_eq!(proxy.peers.notice(clock.monotonic() + Duration::from_secs(301)), "", "nobody needs it any more");
    assert_eq!(notice_with(&first).await, "");
}
