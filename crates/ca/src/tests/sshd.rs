//! A real sshd lets our users in, and only as whom their certificates say.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crypto::KeyPair;
use domain::ca::CaType;
use domain::suite::Suite;
use keystore::suite::{Purpose, algorithm_for};

use super::{World, identity};
use crate::authority::ssh_signer;
use crate::ssh;

const SSHD: &str = "/usr/sbin/sshd";

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn sshd_and_ssh_accept_user_and_host_certificates_of_every_suite() {
    assert!(Path::new(SSHD).exists(), "{SSHD} (Debian package openssh-server) is needed");
    let me = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap().trim().to_owned();
    // sshd and ssh have no injected clock.
    let now = clock::Clock::system().now();
    let end = now.checked_add(Duration::from_secs(600)).unwrap();
    for suite in [Suite::Legacy, Suite::BalancedV1, Suite::FipsV1, Suite::HsmV1] {
        let world = World::new();
        let user_ca = ssh_signer(&world.authority(CaType::User, suite).await).unwrap();
        let host_ca = ssh_signer(&world.authority(CaType::Host, suite).await).unwrap();
        let user_key = KeyPair::generate(algorithm_for(suite, Purpose::UserSsh)).unwrap();
        let host_key = KeyPair::generate(algorithm_for(suite, Purpose::HostSsh)).unwrap();
        let host = domain::identity::Identity {
            username: "h.c".into(),
            roles: vec!["Node".into()],
            teleport_cluster: "c".into(),
            ..Default::default()
        };
        let template = ssh::host_template(&host, "node", &[], host_key.public().clone(), now, end);
        let certificate = ssh::issue(&template, &host_ca, &world.keys, &world.random).await.unwrap();
        secret(&world, "host", host_key.to_openssh_pem("").unwrap().expose());
        world.file("host-cert.pub", certificate.to_line());
        world.file("user-ca.pub", user_ca.public.to_authorized_key() + "\n");
        world.file("known_hosts", format!("@cert-authority * {}\n", host_ca.public.to_authorized_key()));

        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = world.dir.path().display();
        let config = world.file("sshd_config", format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {dir}/host\nHostCertificate {dir}/host-cert.pub\nTrustedUserCAKeys {dir}/user-ca.pub\nAuthorizedKeysFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nPidFile none\nPermitRootLogin yes\nAuthorizedPrincipalsFile none\n"
        ));
        let _ = std::fs::create_dir_all("/run/sshd");
        let server = Command::new(SSHD).args(["-D", "-e", "-f", &config]).stderr(Stdio::null()).spawn().unwrap();
        let _server = Server(server);
        wait_for(port);

        for (principal, admitted) in [(me.as_str(), true), ("somebody-else", false)] {
            let identity = domain::identity::Identity { principals: vec![principal.to_owned()], ..identity() };
            let template = ssh::user_template(&identity, user_key.public().clone(), now, end, &world.random);
            let certificate = ssh::issue(&template, &user_ca, &world.keys, &world.random).await.unwrap();
            let key = secret(&world, "user", user_key.to_openssh_pem("").unwrap().expose());
            world.file("user-cert.pub", certificate.to_line());
            let output = Command::new("ssh")
                .args([
                    "-F",
                    "none",
                    "-i",
                    &key,
                    "-p",
                    &port.to_string(),
                    "-o",
                    "BatchMode=yes",
                    "-o",
                    "IdentitiesOnly=yes",
                ])
                .args(["-o", &format!("UserKnownHostsFile={dir}/known_hosts"), "-o", "GlobalKnownHostsFile=/dev/null"])
                .args([
                    "-o",
                    "StrictHostKeyChecking=yes",
                    "-o",
                    "HostKeyAlias=node",
                    &format!("{me}@127.0.0.1"),
                    "echo",
                    "in",
                ])
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(String::from_utf8_lossy(&output.stdout) == "in\n", admitted, "{suite:?} {principal}: {told}");
            assert!(!told.contains("Host key verification failed"), "{told}");
        }
    }
}

fn secret(world: &World, name: &str, text: &str) -> String {
    let path = world.file(name, text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[allow(clippy::disallowed_methods, reason = "waits for another program")]
fn wait_for(port: u16) {
    for _ in 0..200 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("sshd does not listen");
}
