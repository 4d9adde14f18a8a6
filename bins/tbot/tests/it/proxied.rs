//! What the client says when a proxy stands in the way, and how long it waits for one.

use std::time::Duration;

use client::{Client, Config, Credentials, Proxies, Trust};
use clock::Clock;
use crypto::Random;
use domain::error::Kind;
use testkit::ConnectProxy;

async fn refusal(proxy: &str, address: &str) -> domain::Error {
    let proxies = Proxies::from_variables(|name| (name == "https_proxy").then(|| proxy.to_owned())).unwrap();
    let config = Config::new([address], Credentials::none(), Clock::system(), Random::system());
    let mut config = config.with_trust(Trust::DangerAnything).with_proxies(proxies);
    config.timeouts.dial = Duration::from_millis(500);
    Client::connect(config).await.err().expect("no way through")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_in_the_way_is_named_with_its_reason() {
    let address = "auth.inside.example:3025";
    let long: &'static str = Box::leak(format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(40_000)).into_boxed_str());
    for (answer, words) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "asks for a name and a password"),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "does not connect to auth.inside.example:3025: status 403"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP"),
        ("HTTP/1.1 200", "hung up without an answer"),
        (long, "no end"),
    ] {
        // The tunnel leads nowhere that would answer.
        let proxy = ConnectProxy::start(([127, 0, 0, 1], 1).into(), answer).await;
        let error = refusal(&format!("http://u:s3cret@{}", proxy.address()), address).await;
        assert_eq!(error.kind, Kind::Unavailable, "{error}");
        let text = error.to_string();
        assert!(text.contains(words) && text.contains("(https_proxy)") && !text.contains("s3cret"), "{words}\n{text}");
    }
    // A proxy that takes the connection and says nothing, and one that is not there.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let error = refusal(&format!("http://{}", silent.local_addr().unwrap()), address).await.to_string();
    assert!(error.contains("no answer within") && error.contains("(https_proxy)"), "{error}");
    let error = refusal("http://127.0.0.1:1", address).await.to_string();
    assert!(error.contains("refused") && error.contains("the proxy 127.0.0.1:1"), "{error}");
}
