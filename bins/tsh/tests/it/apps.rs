//! What a person with an identity file sees of a cluster's applications.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use api::{
    r#gen::{
        proto::{self, DeleteUserAppSessionsRequest},
        teleport::users::v1::UpsertUserRequest,
    },
    methods::{
        proto::auth_service::{DeleteUserAppSessions, GenerateUserCerts, UpsertRoleV2},
        teleport::users::v1::users_service::UpsertUser,
    },
};
use client::IdentityFile;
use clock::Clock;
use crypto::{Algorithm, KeyPair};
use domain::Resource;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Cluster, Options};

use crate::tsh_at;

/// A cluster with a proxy that is dialled by another name than its own, two applications, and Alice's identity file.
struct World {
    cluster: Cluster,
    home: TempDir,
    /// Where the second of the accounts' programs is.
    second: u16,
}

/// A program that says the same to everybody who has said something, and hangs up; its port.
fn program(says: &'static str) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // Whoever comes only to look whether somebody is here says nothing.
            if stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {
                let _ = stream.write_all(says.as_bytes());
            }
        }
    });
    port
}

/// `tsh proxy app` in the background.
struct Local {
    child: Child,
    port: u16,
}

impl Local {
    /// What the application says to one connection.
    fn ask(&self) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn document<T: Resource>(value: Value) -> T {
    let mut document: T = serde_json::from_value(value).unwrap();
    document.set_defaults();
    document
}

impl World {
    async fn new() -> Self {
        let page = program("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello");
        let (first, second) = (program("first"), program("second"));
        let services = format!(
            "proxy_service: {{web_listen_addr: '127.0.0.1:0', public_addr: 'proxy.example.test:3080'}}\n\
             app_service:\n  apps:\n  - {{name: web, uri: 'http://127.0.0.1:{page}', labels: {{env: dev}}}}\n\
             \x20 - {{name: db, uri: 'tcp://127.0.0.1', tcp_ports: [{{port: {first}}}, {{port: {second}}}], \
             labels: {{env: prod}}, description: the accounts}}\n"
        );
        let options = Options { auth_service: services, ..Options::default() };
        let world = Self { cluster: Cluster::start_with(options).await, home: tempfile::tempdir().unwrap(), second };
        world.sign_alice(600).await;
        for _ in 0..100 {
            let (_, seen, _) = world.tsh(&["apps", "ls"]);
            if seen.contains("web") && seen.contains("db") {
                return world;
            }
            Clock::system().sleep(Duration::from_millis(100)).await;
        }
        panic!("the applications are not announced: {:?}", world.tsh(&["apps", "ls"]));
    }

    /// An identity file for so many seconds.
    async fn sign_alice(&self, seconds: u64) {
        let admin = self.cluster.admin().await;
        let role = document(json!({"kind": "role", "version": "v7", "metadata": {"name": "dev"},
            "spec": {"allow": {"app_labels": {"*": "*"}}}}));
        let request = proto::UpsertRoleRequest { role: Some(api::convert::role::to_wire(&role)) };
        admin.call::<UpsertRoleV2>(request).await.unwrap();
        let user = document(json!({"kind": "user", "version": "v2", "metadata": {"name": "alice"},
            "spec": {"roles": ["dev"]}}));
        admin.call::<UpsertUser>(UpsertUserRequest { user: Some(api::convert::user::to_wire(&user)) }).await.unwrap();
        let key = KeyPair::generate(Algorithm::EcdsaP256).unwrap();
        let end = Clock::system().now() + Duration::from_secs(seconds);
        let request = proto::UserCertsRequest {
            username: "alice".to_owned(),
            tls_public_key: key.public().to_pem().into_bytes(),
            ssh_public_key: key.public().to_authorized_key().into_bytes(),
            expires: Some(prost_types::Timestamp { seconds: end.as_second(), nanos: 0 }),
            ..proto::UserCertsRequest::default()
        };
        let certs = admin.call::<GenerateUserCerts>(request).await.unwrap();
        let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).unwrap();
        let file = IdentityFile {
            key: key.to_pem().unwrap(),
            ssh_certificate: text(&certs.ssh).trim().to_owned(),
            tls_certificate: text(&certs.tls),
            ssh_authorities: Vec::new(),
            tls_authorities: certs.tlsca_certs.iter().map(text).collect(),
        };
        std::fs::write(self.home.path().join("alice.pem"), file.render().expose()).unwrap();
    }

    fn tsh(&self, arguments: &[&str]) -> (i32, String, String) {
        self.tsh_at(&self.cluster.server().proxy_addr().unwrap().to_string(), arguments)
    }

    fn tsh_at(&self, proxy: &str, arguments: &[&str]) -> (i32, String, String) {
        let start = self.start(proxy);
        let words: Vec<&str> = start.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
        tsh_at(&self.path(""), &words)
    }

    fn start(&self, proxy: &str) -> [String; 2] {
        [format!("--proxy={proxy}"), format!("--identity={}", self.path("alice.pem"))]
    }

    fn path(&self, name: &str) -> String {
        self.home.path().join(name).to_str().unwrap().to_owned()
    }

    fn listens(&self, arguments: &[&str]) -> Local {
        let proxy = self.cluster.server().proxy_addr().unwrap().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tsh"));
        command.env_clear().env("HOME", self.path("")).args(self.start(&proxy)).args(["proxy", "app"]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        // Whatever happens here, the program ends with this.
        let mut local = Local { child, port: 0 };
        let (tell, hear) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            tell.send(said.read_line(&mut line).map(|_| line))
        });
        let line = hear.recv_timeout(Duration::from_secs(60)).expect("it says where it listens").unwrap();
        local.port = line.trim().rsplit_once(':').unwrap_or_else(|| panic!("{line:?}")).1.parse().unwrap();
        local
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applications_are_named_below_the_proxys_own_name_and_chosen_by_labels_and_words() {
    let world = World::new().await;
    let (_, list, _) = world.tsh(&["apps", "ls"]);
    assert!(list.contains("web.proxy.example.test") && !list.contains("127.0.0.1"), "{list}");
    for (line, expected) in [
        (&["apps", "ls", "env=dev"][..], ["web"].as_slice()),
        (&["apps", "ls", "env=dev,team=a"], &[]),
        (&["apps", "ls", "--search=ACCOUNTS"], &["db"]),
        (&["apps", "ls", "--search=proxy.example,prod"], &["db"]),
        (&["apps", "ls", "--search=nothing"], &[]),
        (
            &["--user=alice", "--skip-version-check", "-l", "root", "apps", "ls", "--cluster=test.example"],
            &["db", "web"],
        ),
    ] {
        let (code, json, said) = world.tsh(&[line, &["--format=json"]].concat());
        assert_eq!(code, 0, "{line:?}: {said}");
        let rows: Vec<Value> = serde_json::from_str(&json).unwrap();
        let names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
        assert_eq!(names, expected, "{line:?}");
    }
    for (line, code, words) in [
        (&["--user=bob", "apps", "ls"][..], 8, "the identity file is of \"alice\""),
        (&["apps", "ls", "--cluster=leaf"], 7, "leaf clusters are not supported yet"),
        (&["apps", "login", "web", "--cluster=leaf"], 7, "leaf clusters are not supported yet"),
        (&["proxy", "app", "web", "--cluster=leaf"], 7, "leaf clusters are not supported yet"),
    ] {
        let (status, _, said) = world.tsh(line);
        assert!(status == code && said.contains(words), "{line:?}: {status} {said}");
    }
    // The proxy shows a certificate of the cluster, which curl does not know.
    let (code, login, said) = world.tsh(&["apps", "login", "web"]);
    assert_eq!(code, 0, "{said}");
    for shown in [login, world.tsh(&["apps", "config", "--format=curl"]).1] {
        let (before, after) = shown.split_once("--cacert ").unwrap_or_else(|| panic!("no --cacert: {shown}"));
        let file = after.split_whitespace().next().unwrap();
        assert!(std::fs::read_to_string(file).unwrap().contains("BEGIN CERTIFICATE"), "{before}{file}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_proxy_reads_the_identity_file_again() {
    let world = World::new().await;
    world.sign_alice(8).await;
    let log = world.path("log");
    let local = world.listens(&["web", &format!("--proxy-log-output={log}")]);
    assert!(local.ask().ends_with("hello"), "{}", local.ask());
    world.sign_alice(600).await;
    Clock::system().sleep(Duration::from_secs(9)).await;
    let answer = local.ask();
    assert!(answer.ends_with("hello"), "{answer}\n{}", std::fs::read_to_string(&log).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_of_an_application_with_several_is_chosen() {
    let world = World::new().await;
    let second = world.second;
    assert_eq!(world.listens(&["db"]).ask(), "first");
    assert_eq!(world.listens(&["db", &format!("--port=0:{second}")]).ask(), "second");
    let (code, _, said) = world.tsh(&["apps", "login", "db", &format!("--target-port={second}")]);
    assert_eq!(code, 0, "{said}");
    let (code, _, said) = world.tsh(&["apps", "login", "db", "--target-port=1"]);
    assert!(code != 0 && said.contains("port 1"), "{code} {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_names_a_session_stays_until_the_session_has_ended() {
    let world = World::new().await;
    let logins = || world.tsh(&["apps", "logins"]).1;
    assert_eq!(world.tsh(&["apps", "login", "web"]).0, 0);
    let (code, _, said) = world.tsh_at("127.0.0.1:1", &["apps", "logout", "web"]);
    assert!(code == 6 && said.contains("the session with app \"web\" goes on"), "{code} {said}");
    assert_eq!(logins(), "web\n");
    world.sign_alice(6).await;
    assert_eq!(world.tsh(&["apps", "login", "db"]).0, 0);
    Clock::system().sleep(Duration::from_secs(7)).await;
    // Whose the files are is known from an identity that has ended, too; what has ended with it needs no server.
    assert!(world.tsh(&["apps", "config", "db", "--format=cert"]).1.contains("alice-app"));
    let (code, _, said) = world.tsh_at("127.0.0.1:1", &["apps", "logout", "db"]);
    assert_eq!(code, 0, "{said}");
    let (code, _, said) = world.tsh(&["apps", "logout"]);
    assert!(code == 5 && said.contains("has expired"), "{code} {said}");
    assert_eq!(logins(), "web\n");
    world.sign_alice(600).await;
    let (code, _, said) = world.tsh(&["apps", "logout"]);
    assert_eq!((code, logins().as_str()), (0, ""), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_has_ended_at_the_server_and_a_damaged_file_keep_nobody_logged_in() {
    let world = World::new().await;
    for app in ["db", "web"] {
        assert_eq!(world.tsh(&["apps", "login", app]).0, 0);
    }
    let (_, file, _) = world.tsh(&["apps", "config", "db", "--format=cert"]);
    std::fs::write(file.trim(), "half").unwrap();
    let request = DeleteUserAppSessionsRequest { username: "alice".to_owned() };
    world.cluster.admin().await.call::<DeleteUserAppSessions>(request).await.unwrap();
    let (code, out, said) = world.tsh(&["apps", "logout"]);
    assert!(code == 8 && said.contains("tsh apps login db") && out.contains("\"web\""), "{code} {out} {said}");
    assert_eq!(world.tsh(&["apps", "logins"]).1, "db\n");
}
