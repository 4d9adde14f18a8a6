//! SSH clients: who is let in, where they get to, and what becomes of those who want something else.

use std::time::Duration;

use crypto::{Algorithm, KeyPair, ssh::CertificateType};
use net::proxy_protocol::{self, Mode};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::world::{PROXY, World, world, world_with};
use crate::{
    router::REVERSE_TUNNEL,
    ssh::client::{Client, Heard},
};

fn key() -> KeyPair {
    KeyPair::generate(Algorithm::EcdsaP256).unwrap()
}

async fn plain(world: &World) -> Client<TcpStream> {
    Client::begin(TcpStream::connect(world.address).await.unwrap()).await.unwrap()
}

/// Alice, signed in.
async fn alice(world: &World) -> Client<TcpStream> {
    let (mut client, key) = (plain(world).await, key());
    let certificate = world.users.ssh(CertificateType::User, &key, &["ops"], |_| {}).await;
    assert!(client.sign_in("ops", &certificate, &key).await.unwrap());
    client
}

/// All that a server still says; whether it ended by itself within some seconds.
async fn rest(mut stream: impl AsyncRead + Unpin) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let end = clock::Clock::system().timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes)).await;
    end.is_ok().then_some(bytes)
}

async fn reach_auth<S: AsyncRead + AsyncWrite + Unpin>(world: &World, stream: S) {
    let mut client = Client::begin(stream).await.unwrap();
    let shown = client.host.clone().unwrap();
    assert_eq!(*shown.signature_key(), world.hosts.certificate().public_key().unwrap());
    assert!(shown.principals().iter().any(|name| name == PROXY));
    let key = key();
    let certificate = world.users.ssh(CertificateType::User, &key, &["ops", "dev"], |_| {}).await;
    assert!(client.sign_in("dev", &certificate, &key).await.unwrap());
    let channel = client.transport().await.unwrap();
    assert_eq!(client.dial_auth(channel).await.unwrap(), Heard::Success);

    let (stream, _) = world.auth.accept().await.unwrap();
    let (header, mut auth) = proxy_protocol::read(stream, Mode::On).await.unwrap();
    let header = header.unwrap();
    world.said(&header);
    assert!(header.source.ip().is_loopback() && header.destination == world.address);

    // More than both windows, with new keys on the way.
    let text: Vec<u8> = (0..1_500_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let up = text.clone();
    let echo = tokio::spawn(async move {
        let mut seen = vec![0; up.len()];
        auth.read_exact(&mut seen).await.unwrap();
        assert!(seen == up, "what arrives at the auth service");
        auth.write_all(&seen).await.unwrap();
        let mut end = [0];
        assert_eq!(auth.read(&mut end).await.unwrap(), 0, "the end of the channel is passed on");
    });
    let mut back = Vec::new();
    for piece in text.chunks(30_000) {
        while client.window() < piece.len() {
            // Only the window comes back before all is there.
            let hear = Box::pin(client.hear());
            let _ = clock::Clock::system().timeout(Duration::from_millis(50), hear).await;
        }
        client.data(channel, piece).await.unwrap();
    }
    client.exchange_again().await.expect("new keys after much data");
    while back.len() < text.len() {
        let Heard::Data(piece) = client.hear().await.unwrap() else { panic!("no data") };
        client.allow(channel, piece.len()).await.unwrap();
        back.extend(piece);
    }
    assert!(back == text, "what comes back");
    client.end(channel).await.unwrap();
    assert_eq!(client.hear().await.unwrap(), Heard::Ended);
    assert_eq!(client.hear().await.unwrap(), Heard::Closed);
    echo.await.unwrap();
    client.close(channel).await.unwrap();
    client.transport().await.expect("another channel on the same connection");
}

#[tokio::test]
async fn a_certificate_of_the_cluster_leads_to_the_auth_service() {
    let world = world().await;
    reach_auth(&world, TcpStream::connect(world.address).await.unwrap()).await;
    let within = world.connect(PROXY, None, &[REVERSE_TUNNEL]).await.unwrap();
    assert_eq!(within.get_ref().1.alpn_protocol(), Some(REVERSE_TUNNEL));
    Box::pin(reach_auth(&world, within)).await;
}

#[tokio::test]
async fn only_certificates_of_the_cluster_that_are_good_now_sign_in() {
    let world = world().await;
    let (users, hosts) = (&world.users, &world.hosts);
    let key = key();
    let user = |change: fn(&mut ca::ssh::Template)| users.ssh(CertificateType::User, &key, &["ops"], change);
    let certificates = [
        ("a user", user(|_| {}).await, true),
        ("a host", hosts.ssh(CertificateType::Host, &key, &["ops"], |_| {}).await, true),
        ("a user of the host authority", hosts.ssh(CertificateType::User, &key, &["ops"], |_| {}).await, false),
        ("a host of the user authority", users.ssh(CertificateType::Host, &key, &["ops"], |_| {}).await, false),
        ("somebody else", users.ssh(CertificateType::User, &key, &["dev"], |_| {}).await, false),
        ("an expired one", user(|it| it.valid_before = it.valid_after + Duration::from_secs(1)).await, false),
        ("one for later", user(|it| it.valid_after = it.valid_before - Duration::from_secs(60)).await, false),
        (
            "from here",
            user(|it| it.critical_options = vec![("source-address".into(), "127.0.0.0/8".into())]).await,
            true,
        ),
        (
            "from elsewhere",
            user(|it| it.critical_options = vec![("source-address".into(), "192.0.2.1".into())]).await,
            false,
        ),
        ("with a limit", user(|it| it.critical_options = vec![("force-command".into(), "true".into())]).await, false),
    ];
    for (what, certificate, is_good) in certificates {
        let mut client = plain(&world).await;
        assert_eq!(client.sign_in("ops", &certificate, &key).await.unwrap(), is_good, "{what}");
        assert_eq!(client.transport().await.is_ok(), is_good, "{what}: a channel");
    }
    let certificate = user(|_| {}).await;
    let another = KeyPair::generate(Algorithm::EcdsaP256).unwrap();
    assert!(!plain(&world).await.sign_in("ops", &certificate, &another).await.unwrap(), "without its key");
    for (method, rest) in
        [("none", &b""[..]), ("password", b"\0\0\0\0\x01x"), ("keyboard-interactive", b"\0\0\0\0\0\0\0\0")]
    {
        assert_eq!(plain(&world).await.try_method(method, rest).await.unwrap(), "publickey", "{method}");
    }
}

#[tokio::test]
async fn everything_but_the_way_to_the_auth_service_is_refused() {
    let world = world().await;
    let mut client = alice(&world).await;
    for kind in ["session", "direct-tcpip", "direct-streamlocal@openssh.com", "x11", "teleport-transport-x"] {
        assert!(matches!(client.open(kind).await.unwrap(), Heard::Refused(_)), "{kind}");
    }
    for kind in ["tcpip-forward", "streamlocal-forward@openssh.com", "keepalive@openssh.com"] {
        assert_eq!(client.global_request(kind).await.unwrap(), 82, "{kind}");
    }
    let channel = client.transport().await.unwrap();
    for kind in ["shell", "exec", "pty-req", "subsystem", "auth-agent-req@openssh.com", "env"] {
        assert_eq!(client.request(channel, kind, b"").await.unwrap(), Heard::Failure, "{kind}");
    }
    for address in ["127.0.0.1:22", "@local-node", "", "@remote-auth-server.example"] {
        let channel = client.transport().await.unwrap();
        assert_eq!(client.dial(channel, address).await.unwrap(), Heard::Failure, "{address}");
        let Heard::Stderr(why) = client.hear().await.unwrap() else { panic!("no reason") };
        assert!(String::from_utf8(why).unwrap().contains("@remote-auth-server only"));
        assert_eq!((client.hear().await.unwrap(), client.hear().await.unwrap()), (Heard::Ended, Heard::Closed));
        client.close(channel).await.unwrap();
    }
    assert_eq!(client.dial_auth(channel).await.unwrap(), Heard::Success, "the first channel is as good as ever");
}

#[tokio::test]
async fn an_auth_service_that_is_away_is_said_so() {
    let world = world_with(|config| config.auth_addresses = vec!["127.0.0.1:1".into()]).await;
    let mut client = alice(&world).await;
    let channel = client.transport().await.unwrap();
    assert_eq!(client.dial_auth(channel).await.unwrap(), Heard::Failure);
    assert_eq!(client.hear().await.unwrap(), Heard::Stderr(b"the auth service cannot be reached".to_vec()));
}

#[tokio::test]
async fn an_auth_service_that_was_away_is_not_dialled_first_again() {
    let away = TcpSocket::new_v4().unwrap();
    away.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = away.local_addr().unwrap().to_string();
    let world = world_with(|config| config.auth_addresses.insert(0, address)).await;
    let arrives = async || {
        let mut client = alice(&world).await;
        let channel = client.transport().await.unwrap();
        assert_eq!(client.dial_auth(channel).await.unwrap(), Heard::Success);
        let arrived = clock::Clock::system().timeout(Duration::from_secs(10), world.auth.accept()).await;
        arrived.expect("it is carried to the other one").unwrap();
    };
    arrives().await;
    let _back = away.listen(8).unwrap();
    arrives().await;
}

#[tokio::test]
async fn channels_windows_and_new_keys_are_bounded() {
    let world = world().await;
    let mut client = alice(&world).await;
    let mut open = 0;
    for _ in 0..1000 {
        match client.open("teleport-transport").await.unwrap() {
            Heard::Opened(_) => open += 1,
            Heard::Refused(why) => assert_eq!(why, "too many channels"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(open, 16);

    let mut client = alice(&world).await;
    let channel = client.transport().await.unwrap();
    let sent = async {
        for _ in 0..40 {
            client.data(channel, &[0; 30_000]).await?;
        }
        client.hear().await
    };
    assert!(sent.await.is_err(), "more data than the window");

    let mut client = alice(&world).await;
    assert!(client.exchange_again().await.is_err(), "new keys at once");
}

#[tokio::test]
async fn garbage_ends_the_connection_at_once() {
    let world = world().await;
    // As a packet in the clear.
    let packet = |payload: &[u8]| {
        let length = (payload.len() + 1 + 4 + 4).next_multiple_of(8) - 4;
        let mut packet = u32::try_from(length).unwrap().to_be_bytes().to_vec();
        packet.push(u8::try_from(length - 1 - payload.len()).unwrap());
        packet.extend_from_slice(payload);
        packet.resize(4 + length, 0);
        packet
    };
    let line = b"SSH-2.0-x\r\n";
    let kexinit = [&[20_u8][..], &[0; 61]].concat();
    for (what, bytes) in [
        ("an endless version", [b"SSH-2.0-", &[b'x'; 4000][..]].concat()),
        ("an old version", b"SSH-1.5-x\r\n".to_vec()),
        ("noise", [line, &[0xa5; 4000][..]].concat()),
        ("a packet without end", [line, &[0, 0, 0x80, 0, 4][..], &[0; 64]].concat()),
        ("nothing in common", [line, &packet(&kexinit)[..]].concat()),
        ("noise for an offer", [line, &packet(&[0x14; 800])[..]].concat()),
        ("another message first", [line, &packet(&[50; 40])[..]].concat()),
        ("an ignored message first", [line, &packet(&[2, 0, 0, 0, 0])[..]].concat()),
        ("offers without end", [&line[..], &packet(&kexinit).repeat(1000)].concat()),
    ] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        let written = stream.write_all(&bytes).await;
        match rest(&mut stream).await {
            Some(said) => {
                assert!(said.starts_with(b"SSH-2.0-Tessera\r\n") && said.len() < 2000, "{what}: {}", said.len())
            }
            None => panic!("{what}: still open, {written:?}"),
        }
    }
}

#[tokio::test]
async fn who_is_slow_loses_the_place() {
    let deadline = Duration::from_millis(300);
    let world = world_with(|config| {
        config.limits.handshake_deadline = deadline;
        config.limits.handshakes = 2;
    })
    .await;
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(b"SSH-2.0-slow\r\n").await.unwrap();
        slow.push(stream);
    }
    for stream in slow {
        assert!(rest(stream).await.is_some(), "cut off");
    }
    // Signed in within the time, a client may be as slow as it wants.
    let mut client = alice(&world).await;
    clock::Clock::system().sleep(2 * deadline).await;
    client.transport().await.unwrap();
}

#[tokio::test]
async fn a_channel_that_is_silent_does_not_hold_a_proxy_that_stops() {
    let world = world().await;
    let mut client = alice(&world).await;
    let channel = client.transport().await.unwrap();
    assert_eq!(client.dial_auth(channel).await.unwrap(), Heard::Success);
    world.stop.soft();
    let heard = clock::Clock::system().timeout(Duration::from_secs(15), client.hear()).await;
    assert_eq!(heard.expect("it goes on").unwrap(), Heard::Ended);
}
