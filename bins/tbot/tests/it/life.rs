//! A bot as a service: signals, its lock, its diagnostics, a proxy on the way, a server that goes and comes.

use std::os::unix::fs::PermissionsExt;

use testkit::ConnectProxy;

use crate::support::{Running, World, generation, tbot, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_renew_everything_and_a_second_process_is_told_who_is_there() {
    let world = World::new().await;
    let token = world.token("t1").await;
    let (state, out, pid) = (world.path("state"), world.path("out"), world.path("pid"));
    let more = format!(
        "pid_file: {}\nservices:\n  - {{type: identity, destination: {{type: directory, path: {}}}}}\n",
        pid.display(),
        out.display()
    );
    let config = world.config(&token, &more);
    let mut bot = Running::start(&world, &config);
    let certificate = || std::fs::read_to_string(out.join("tlscert")).unwrap_or_default();
    wait_until("the first output", || generation(&state) == 1 && !certificate().is_empty()).await;
    let id = bot.child.id().to_string();
    assert_eq!(std::fs::read_to_string(&pid).unwrap().trim(), id);

    let second = world.once(&config);
    assert_eq!(second.code, 4, "{}", second.err);
    assert!(second.err.contains(&format!("(process {id})")) && second.err.contains("--storage"), "{}", second.err);

    for (signal, expect) in [("HUP", 2), ("USR1", 3)] {
        let before = certificate();
        bot.signal(signal);
        wait_until(signal, || generation(&state) == expect && certificate() != before).await;
    }
    bot.signal("TERM");
    wait_until("its end", || bot.child.try_wait().unwrap().is_some()).await;
    let ended = bot.child.wait().unwrap();
    assert!(ended.success(), "{ended:?}");
    assert!(!pid.exists(), "the pid file goes with the process");
    assert!(bot.log().contains("stopping"), "{}", bot.log());

    // A later start uses what is stored, and says so; a storage that others may enter is named.
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o755)).unwrap();
    let again = world.once(&config);
    assert_eq!(again.code, 0, "{}", again.err);
    for words in
        ["bot identity loaded: valid: after=", "onboarding configuration is ignored", "generation=4", "mode:0755"]
    {
        assert!(again.err.contains(words), "{words}\n{}", again.err);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_leads_to_the_auth_service_and_loopback_needs_none() {
    let world = World::new().await;
    let proxy = ConnectProxy::start(world.cluster.address(), "HTTP/1.1 200 Connection established\r\n\r\n").await;
    let url = format!("http://alice:p%40ss@{}", proxy.address());
    let token = world.token("t1").await;
    let config = world.config_for("auth.inside.example:3025", &token, "");
    let line = ["start", "--oneshot", "-c", config.to_str().unwrap()];
    let outcome = tbot(&[("HTTPS_PROXY", &url)], &line);
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    assert!(outcome.err.contains("(HTTPS_PROXY)") && !outcome.err.contains("p@ss"), "{}", outcome.err);
    let heads = proxy.heads();
    assert!(!heads.is_empty());
    for head in &heads {
        assert!(
            head.starts_with("CONNECT auth.inside.example:3025 HTTP/1.1\r\nHost: auth.inside.example:3025\r\n"),
            "{head}"
        );
        assert!(head.contains("Proxy-Authorization: Basic YWxpY2U6cEBzcw==\r\n"), "{head}");
    }
    // The same bot, to an address of this machine: the proxy is not asked.
    let config = world.config(&token, "");
    let outcome = tbot(&[("HTTPS_PROXY", &url)], &["start", "--oneshot", "-c", config.to_str().unwrap()]);
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    assert_eq!(proxy.heads().len(), heads.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_and_comes_back_elsewhere_needs_no_person() {
    let mut world = World::new().await;
    let proxy = ConnectProxy::start(world.cluster.address(), "HTTP/1.1 200 OK\r\n\r\n").await;
    drop(proxy);
    let token = world.token("t1").await;
    let (state, tokens) = (world.path("state"), world.path("token"));
    std::fs::write(&tokens, format!("{token}\n")).unwrap();
    let config = world.config(&tokens.display().to_string(), "credential_ttl: 1h\nrenewal_interval: 1s\n");
    let bot = Running::start(&world, &config);
    wait_until("two renewals", || generation(&state) >= 3).await;
    let address = world.cluster.address();
    world.cluster = world.cluster.restart_with(|_| {}).await;
    // The test's cluster listens somewhere else now; a forwarder stands where it was.
    let there = world.cluster.address();
    let forwarder = forward(address, there).await;
    let before = generation(&state);
    wait_until("renewals after the restart", || generation(&state) > before + 1).await;
    forwarder.abort();
    assert!(!bot.log().contains("token was refused"), "{}", bot.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_bot_leaves_the_pid_file_of_the_first() {
    let world = World::new().await;
    let token = world.token("t1").await;
    let file = world.path("pid");
    let config = world.config(&token, &format!("pid_file: {}", file.display()));
    let first = Running::start(&world, &config);
    wait_until("the pid file", || file.exists()).await;
    let second = tbot(&[], &["start", "-c", config.to_str().unwrap()]);
    assert_eq!(second.code, 4, "{}", second.err);
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), first.child.id().to_string());
}

async fn forward(from: std::net::SocketAddr, to: std::net::SocketAddr) -> tokio::task::JoinHandle<()> {
    let mut bound = None;
    wait_until("the server leaves its address", || {
        bound = std::net::TcpListener::bind(from).ok();
        bound.is_some()
    })
    .await;
    let listener = bound.unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                if let Ok(mut far) = tokio::net::TcpStream::connect(to).await {
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }
            });
        }
    })
}
