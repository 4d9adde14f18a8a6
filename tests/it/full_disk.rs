//! A disk that is full, or read-only: the server says so, goes on answering what it can, loses nothing and recovers.
//!
//! The disk is a small one of its own: the test runs itself again in a mount namespace (util-linux' `unshare`), where it
//! may mount.

use std::{fs, path::Path, process::Command, time::Duration};

use api::{
    r#gen::{proto, tessera::v1::VerifyRequest},
    methods::{
        proto::auth_service::{GetRole, Ping, UpsertRoleV2},
        tessera::v1::audit_service::Verify,
    },
};
use client::Client;
use domain::{error::Kind as ErrorKind, resources::Role};
use serde_json::json;
use testkit::{Cluster, Options};
use tokio::time::{Instant, sleep};

use crate::support::people;

/// Says in the inner process that it is the inner one, and where its disk is to be.
const DISK: &str = "TESSERA_TEST_DISK";

fn inside(name: &str) {
    let directory = tempfile::Builder::new().prefix("tessera-disk-").tempdir_in("/tmp").unwrap();
    let inner = Command::new("unshare")
        .args(["--map-root-user", "--mount", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("full_disk::{name}"), "--ignored", "--nocapture"])
        .env(DISK, directory.path())
        .output()
        .expect("unshare (util-linux) is needed");
    let text = [inner.stdout, inner.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(inner.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn a_full_disk_is_said_and_survived() {
    inside("inner_full_disk");
}

#[test]
fn a_read_only_disk_is_said_at_start() {
    inside("inner_read_only_disk");
}

/// Mounts a disk of this size, if this is the inner process.
fn disk(options: &str) -> Option<std::path::PathBuf> {
    let path = std::path::PathBuf::from(std::env::var_os(DISK)?);
    mount(&["-t", "tmpfs", "-o", options, "none"], &path);
    Some(path)
}

fn mount(arguments: &[&str], path: &Path) {
    assert!(Command::new("mount").args(arguments).arg(path).status().unwrap().success(), "mount {arguments:?}");
}

async fn write(admin: &Client, number: usize) -> Result<(), domain::Error> {
    let mut role: Role = people::document(json!({
        "kind": "role", "version": "v7", "metadata": {"name": format!("r{number}")}, "spec": {}
    }));
    role.metadata.description = "x".repeat(4000);
    let request = proto::UpsertRoleRequest { role: Some(api::convert::role::to_wire(&role)) };
    admin.call::<UpsertRoleV2>(request).await.map(drop)
}

/// Fills what is left of the disk.
fn fill(path: &Path) {
    let mut filler = fs::File::create(path.join("filler")).unwrap();
    while std::io::Write::write_all(&mut filler, &[0; 4096]).is_ok() {}
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs inside a_full_disk_is_said_and_survived"]
async fn inner_full_disk() {
    let Some(path) = disk("size=24m") else { return };
    let cluster = Cluster::start_with(Options { parent: path.clone(), ..Options::default() }).await;
    let admin = cluster.admin().await;
    let (mut written, mut refusals) = (Vec::new(), 0);
    fill(&path);
    for number in 0..1000 {
        match write(&admin, number).await {
            Ok(()) => written.push(number),
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
                assert!(error.message.contains("disk is full"), "{error:?}");
                refusals += 1;
            }
        }
        if refusals == 20 {
            break;
        }
    }
    assert_eq!(refusals, 20, "the disk never became full");
    // What needs no disk goes on.
    admin.call::<Ping>(proto::PingRequest {}).await.unwrap();
    if let Some(last) = written.last() {
        admin.call::<GetRole>(proto::GetRoleRequest { name: format!("r{last}") }).await.unwrap();
    }
    until(&cluster, false).await;
    // A bot that joins now gets nothing, and its token is still good afterwards.
    fs::remove_file(path.join("filler")).unwrap();
    let since = Instant::now();
    while let Err(error) = write(&admin, 5000).await {
        assert!(since.elapsed() < Duration::from_secs(5), "{error:?}");
        sleep(Duration::from_millis(50)).await;
    }
    written.push(5000);
    people::bot(&admin, "machine", &["access"]).await;
    people::bot_token(&admin, "join", "machine").await;
    until(&cluster, true).await;
    fill(&path);
    let mut spare = 6000;
    while write(&admin, spare).await.is_ok() {
        written.push(spare);
        spare += 1;
    }
    assert_eq!(people::join(&cluster, "join").await.err().map(|error| error.kind), Some(ErrorKind::Unavailable));
    fs::remove_file(path.join("filler")).unwrap();
    people::join(&cluster, "join").await.unwrap();
    until(&cluster, true).await;

    let cluster = cluster.restart().await;
    let admin = cluster.admin().await;
    for number in written {
        admin.call::<GetRole>(proto::GetRoleRequest { name: format!("r{number}") }).await.unwrap();
    }
    let proof = admin.call::<Verify>(VerifyRequest::default()).await.unwrap();
    assert!(proof.intact, "{:?}", proof.complaints);
    cluster.stop().await;
}

/// Waits for readiness to be what it must be.
async fn until(cluster: &Cluster, ready: bool) {
    let since = Instant::now();
    while cluster.server().readiness().is_ready() != ready {
        let report = cluster.server().readiness().report();
        assert!(since.elapsed() < Duration::from_secs(10), "readiness must become {ready}: {report:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs inside a_read_only_disk_is_said_at_start"]
async fn inner_read_only_disk() {
    let Some(path) = disk("size=24m") else { return };
    let text = format!(
        "version: v3\nteleport: {{nodename: test, data_dir: {}}}\nauth_service: {{listen_addr: '127.0.0.1:0', cluster_name: a.b}}\n",
        path.join("data").display()
    );
    let config = daemon::config::Config::from_text(&text, "test").unwrap();
    let grace = Duration::from_secs(5);
    daemon::Server::start(&config, daemon::Environment::system()).await.unwrap().stop(grace).await;
    mount(&["-o", "remount,ro"], &path);
    let error =
        daemon::Server::start(&config, daemon::Environment::system()).await.err().expect("a read-only disk was used");
    let error = format!("{error:#}");
    assert!(error.contains("ead-only") && error.contains(&path.display().to_string()), "{error}");
    mount(&["-o", "remount,rw"], &path);
    daemon::Server::start(&config, daemon::Environment::system()).await.unwrap().stop(grace).await;
}
