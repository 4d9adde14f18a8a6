//! A whole server in a directory of its own: what it makes, keeps and refuses.

use std::path::Path;

use clock::ManualClock;
use domain::{Resource as _, resources::Role};

use super::*;

const GRACE: Duration = Duration::from_secs(10);

fn config(directory: &Path, more: &str) -> Config {
    let text = format!(
        "teleport: {{nodename: one, data_dir: {}, diag_addr: '127.0.0.1:0'}}\nauth_service: {{listen_addr: '127.0.0.1:0'{more}}}\n",
        directory.join("data").display()
    );
    Config::from_text(&text, "test").unwrap()
}

async fn start(directory: &Path, more: &str) -> anyhow::Result<Server> {
    Server::start(&config(directory, more), Environment::system()).await
}

/// A start that is over at once, and leaves things as a kill does.
async fn killed(config: Config, environment: Environment) -> anyhow::Result<()> {
    let start =
        || tokio::runtime::Runtime::new()?.block_on(async { Server::start(&config, environment).await.map(drop) });
    std::thread::scope(|scope| scope.spawn(start).join()).expect("nothing panics at a start")
}

fn pins(server: &Server) -> Vec<String> {
    server.auth().host_certificates().unwrap().iter().map(|certificate| certificate.pin()).collect()
}

#[tokio::test]
async fn a_cluster_is_made_once_and_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let first = start(directory.path(), ", cluster_name: example.com").await.unwrap();
    assert_eq!(first.auth().cluster(), "example.com");
    assert!(first.readiness().is_ready(), "{:?}", first.readiness().report());
    assert_ne!(first.auth_addr().port(), 0);
    assert!(first.admin_socket().exists());
    let made = pins(&first);
    let socket = first.admin_socket();
    assert_eq!(first.stop(GRACE).await, Outcome::default());
    assert!(!socket.exists());
    assert!(directory.path().join("data/audit-head").exists(), "the last checkpoint was not written");

    // A file without a name follows the cluster that is there.
    let second = start(directory.path(), "").await.unwrap();
    assert_eq!(second.auth().cluster(), "example.com");
    assert_eq!(pins(&second), made);
    second.stop(GRACE).await;
}

#[tokio::test]
async fn another_name_and_a_second_process_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let first = start(directory.path(), ", cluster_name: example.com").await.unwrap();
    let error = start(directory.path(), "").await.err().map(|error| format!("{error:#}")).unwrap_or_default();
    assert!(error.contains("in use by another process"), "{error}");
    first.stop(GRACE).await;
    let error = start(directory.path(), ", cluster_name: other.com").await.err().map(|error| format!("{error:#}"));
    let error = error.unwrap_or_default();
    assert!(error.contains("example.com") && error.contains("cluster_name"), "{error}");
}

#[tokio::test]
async fn documents_are_applied_at_each_start() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("roles.yaml");
    std::fs::write(&file, "kind: role\nversion: v7\nmetadata: {name: ci}\nspec: {allow: {logins: [root]}}\n").unwrap();
    let environment = Environment { apply_on_startup: Some(file.clone()), ..Environment::system() };
    let mut revisions = Vec::new();
    for _ in 0..2 {
        let server = Server::start(&config(directory.path(), ""), environment.clone()).await.unwrap();
        let role = server.auth().store().get::<Role>("ci").await.unwrap().expect("the role was applied");
        assert_eq!(role.spec.allow.logins, ["root"]);
        revisions.push(role.metadata.revision);
        server.stop(GRACE).await;
    }
    assert_eq!(revisions[0], revisions[1], "an unchanged document was written again");

    std::fs::write(&file, "kind: role\nversion: v7\nmetadata: {name: ci}\nspec: {allow: {login: [root]}}\n").unwrap();
    let error = Server::start(&config(directory.path(), ""), environment).await.err().map(|error| format!("{error:#}"));
    let error = error.expect("a mistake in the file was ignored");
    assert!(error.contains("roles.yaml:4") && error.contains("logins"), "{error}");
}

fn role(name: &str) -> String {
    format!("---\nkind: role\nversion: v7\nmetadata: {{name: {name}}}\nspec: {{allow: {{logins: [root]}}}}\n")
}

#[tokio::test]
async fn what_a_cluster_begins_with_is_applied_until_one_start_came_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("first.yaml");
    let environment = Environment { bootstrap: Some(file.clone()), ..Environment::system() };
    let refused = async |documents: &str, more| {
        std::fs::write(&file, documents).unwrap();
        format!("{:#}", killed(config(directory.path(), more), environment.clone()).await.unwrap_err())
    };
    let of_role = refused("kind: role\n", ", cluster_name: never.made").await;
    assert!(of_role.contains("first.yaml"), "{of_role}");
    let lock = "kind: lock\nversion: v2\nmetadata: {name: l}\nspec: {target: {user: eve}}\n";
    let of_lock = refused(&[&role("ci"), "---\n", lock, &role("ops")].concat(), "").await;
    assert!(of_lock.contains("a lock cannot be applied at start"), "{of_lock}");
    for documents in [role("ci") + &role("ops"), role("late")] {
        std::fs::write(&file, documents).unwrap();
        let server = Server::start(&config(directory.path(), ""), environment.clone()).await.unwrap();
        let there = async |name| server.auth().store().get::<Role>(name).await.unwrap().is_some();
        assert!(there("ops").await, "the start that went wrong was the first one");
        assert!(!there("late").await, "a cluster begins once");
        server.stop(GRACE).await;
    }
    std::fs::remove_file(&file).unwrap();
    let later =
        Server::start(&config(directory.path(), ""), environment).await.expect("the file is not needed any more");
    later.stop(GRACE).await;
}

#[tokio::test]
async fn a_new_cluster_beside_what_another_left_is_not_a_restored_one() {
    let directory = tempfile::tempdir().unwrap();
    start(directory.path(), "").await.unwrap().stop(GRACE).await;
    assert!(directory.path().join("data/audit-head").exists());
    std::fs::remove_dir_all(directory.path().join("data/backend")).unwrap();
    // The second start finds what the first one left when it did not get as far as a checkpoint.
    killed(config(directory.path(), ""), Environment::system()).await.unwrap();
    for _ in 0..2 {
        let server = start(directory.path(), "").await.unwrap();
        let noted = server.auth().store().record(&storage::Key::new("tessera_rollback", "all")).await.unwrap();
        assert!(noted.is_none(), "single-use tokens of this cluster would be refused");
        server.stop(GRACE).await;
    }
}

const HOUR: Duration = Duration::from_secs(3600);

/// Connects as a new client does, within some minutes of the clock.
async fn reach(server: &Server, manual: &ManualClock) {
    let authorities = server.auth().host_certificates().unwrap();
    let (clock, random) = (manual.clock(), Random::system());
    let address = vec![server.auth_addr().to_string()];
    let config = client::Config::new(address, client::Credentials::none(), clock, random)
        .with_trust(client::Trust::Authorities(authorities));
    let mut last = None;
    for _ in 0..20 {
        manual.advance(Duration::from_secs(60));
        Clock::system().sleep(Duration::from_millis(100)).await;
        match client::Client::connect(config.clone()).await {
            Ok(_) => return,
            Err(error) => last = Some(error),
        }
    }
    panic!("at {}: {last:?}", manual.clock().now());
}

#[tokio::test]
async fn the_api_shows_a_good_certificate_whatever_the_wall_clock_did_and_however_much_changes() {
    let directory = tempfile::tempdir().unwrap();
    let manual = ManualClock::new(Clock::system().now());
    let environment = Environment { clock: manual.clock(), ..Environment::system() };
    let start = manual.clock().now();
    let step = Duration::from_millis(10);
    let config = config(directory.path(), "");
    let server = manual.pass_until(step, Server::start(&config, environment)).await.unwrap();
    let mut role = Role::new("ci", Default::default());
    role.set_defaults();
    let (store, mut changes) = (server.auth().store(), server.auth().cache().subscribe());
    for hour in 0..25 {
        role.spec.allow.logins = vec![format!("hour-{hour}")];
        let changed = async {
            store.change().upsert(&role).unwrap().commit().await.unwrap();
            changes.recv().await.unwrap();
            // Others were told, too.
            Clock::system().sleep(Duration::from_millis(20)).await;
        };
        manual.pass_until(step, changed).await;
        manual.advance(HOUR);
    }
    reach(&server, &manual).await;
    for set in [start + HOUR, start + 90 * HOUR] {
        manual.set(set);
        reach(&server, &manual).await;
    }
    manual.pass_until(step, server.stop(GRACE)).await;
}

#[tokio::test]
async fn metrics_show_what_was_issued_and_what_is_behind() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(directory.path(), ", cluster_name: example.com").await.unwrap();
    let diag = server.diag_addr().unwrap();
    let text = tokio::task::spawn_blocking(move || {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(diag).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    });
    let text = text.await.unwrap();
    for name in [
        "auth_generate_requests",
        "tessera_cache_age_seconds",
        "tessera_audit_backlog",
        "tessera_auth_stale_decisions",
        "tessera_proxy_stale_decisions",
        "tessera_app_stale_decisions",
        "process_resident_memory_bytes",
    ] {
        assert!(text.contains(&format!("# TYPE {name} ")), "{name}\n{text}");
    }
    server.stop(GRACE).await;
}

#[tokio::test]
async fn static_tokens_come_and_go_with_the_file() {
    use domain::resources::Token;
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "from-a-file\n").unwrap();
    let lines = format!(", tokens: ['proxy,node:one', 'app:{}']", secret.display());
    for (more, expected) in
        [(lines.as_str(), &["from-a-file", "one"][..]), (", tokens: ['node:one']", &["one"]), ("", &[])]
    {
        let server = start(directory.path(), more).await.unwrap();
        let stored: Vec<Token> = server.auth().store().all().await.unwrap();
        let mut names: Vec<_> = stored.iter().map(|token| token.metadata.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, expected, "{more}");
        assert!(stored.iter().all(|token| token.metadata.expires.is_none()));
        let admin = server.auth().authenticate(&auth::Presented::LocalAdmin, "local").unwrap();
        for name in names {
            let refused = auth::tokens::delete(server.auth(), &admin, name).await.unwrap_err();
            assert!(refused.message.contains("auth_service.tokens"), "the next start would bring it back: {refused}");
        }
        server.stop(GRACE).await;
    }
}
