//! `tctl auth`: export, sign, revocation lists.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::support::Tool;

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_authority_is_exported() {
    let tool = Tool::start().await;
    seen!(tool.transcript(&[
        "auth export",
        "auth export --type=user --compat=1.0",
        "auth export --type=tls-host",
        "auth export --type=openssh",
        "auth export --type=jwt",
        "auth export --type=user --fingerprint=SHA256:none",
        "auth export --type=github",
        "auth export --type=user --integration=x",
        "auth export --type=nothing",
        "auth export --type=tls-user-der --out=DIR/user",
        "auth export --type=tls-user --keys --out=DIR/user-key",
        "auth ls",
    ]));
    let pem = |kind: &str| tool.done(&format!("auth export --type={kind}"));
    for kind in ["tls-host", "tls-user", "tls-spiffe", "db", "db-client", "saml-idp", "awsra"] {
        assert!(pem(kind).starts_with("-----BEGIN CERTIFICATE-----"), "{kind}");
    }
    for kind in ["oidc-idp", "jwt", "okta", "bound-keypair"] {
        assert!(pem(kind).starts_with("-----BEGIN "), "{kind}");
    }
    for kind in ["tls-host-der", "tls-user-der", "windows", "db-der", "db-client-der", "tls-spiffe-der"] {
        let run = tool.run(&format!("auth export --type={kind} --out=DIR/{kind}"), "", &[]);
        assert_eq!(run.code, 0, "{kind}: {}", run.stderr);
        let der = fs::read(tool.path(&format!("{kind}.der"))).unwrap();
        crypto::x509::Certificate::from_der(&der).unwrap();
    }
    let key = fs::read_to_string(tool.path("user-key.pem")).unwrap();
    assert!(key.contains("PRIVATE KEY"), "the key itself");
    assert_eq!(fs::metadata(tool.path("user-key.pem")).unwrap().permissions().mode() & 0o777, 0o600);
    let line = pem("user");
    let line = line.trim_start_matches("cert-authority ");
    let fingerprint = crypto::PublicKey::from_authorized_key(line).unwrap().ssh_fingerprint();
    assert_eq!(pem(&format!("user --fingerprint={fingerprint}")).lines().count(), 1);
    for (kind, secrets) in [("user", 2), ("spiffe", 2), ("jwt", 1)] {
        let authority: serde_json::Value =
            serde_json::from_str(&tool.done(&format!("get cert_authority/{kind} --with-secrets --format=json")))
                .unwrap();
        let text = authority[0]["spec"]["active_keys"].to_string();
        // The beginning of "-----BEGIN" in Base64, at the place of a private key.
        let found = ["\"private_key\":\"LS0tLS1CRUdJT", "\"key\":\"LS0tLS1CRUdJT"].map(|key| text.matches(key).count());
        assert_eq!(found.iter().sum::<usize>(), secrets, "{kind}: {text}");
    }
    let plain = tool.done("get cert_authority/user --format=json");
    assert!(!plain.contains("private_key\"") && !plain.contains("\"key\""), "{plain}");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_signed_into_files() {
    let tool = Tool::start().await;
    tool.done("users add alice --roles=access --logins=root");
    seen!(tool.transcript(&[
        "auth sign --user=alice --out=DIR/alice --ttl=8h",
        "auth sign --user=alice --out=DIR/alice",
        "auth sign --user=alice --out=DIR/alice --overwrite",
        "auth sign --user=alice --out=DIR/tls --format=tls",
        "auth sign --user=alice --out=DIR/ssh --format=openssh --compat=oldssh",
        "auth sign --host=a.example.com,b.example.com --out=DIR/host --format=openssh",
        "auth sign --host=a.example.com",
        "auth sign --user=nobody --out=DIR/nobody",
        "auth sign --user=alice --format=db",
        "auth sign --user=alice --format=file --app-name=grafana",
        "auth sign --user=alice --format=rot13",
        "auth sign --user=alice --leaf-cluster=leaf --out=DIR/leaf",
        "auth crl --type=user --format=krl --out=DIR/krl",
        "auth crl --type=user --format=crl",
        "auth crl --type=nothing",
    ]));
    tool.done("users add bob --roles=access");
    tool.done("lock --user=bob --message=gone");
    let locked = tool.run("auth sign --user=bob --out=DIR/bob", "", &[]);
    assert!(locked.code == 5 && locked.stderr.contains("is in force: gone"), "{}", locked.stderr);
    assert!(!locked.stderr.contains("impersonate"), "no permission helps here: {}", locked.stderr);
    for file in ["alice", "tls.crt", "tls.key", "tls.cas", "ssh", "ssh-cert.pub", "host", "host-cert.pub"] {
        let mode = fs::metadata(tool.path(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }
    assert!(fs::read(tool.path("krl")).unwrap().starts_with(b"SSHKRL\n"));
}
