//! What lies in an output, for each key that says what is to lie there.

use std::{collections::BTreeSet, os::unix::fs::PermissionsExt, path::Path};

use crypto::x509::Certificate;
use domain::identity::Identity;

use crate::support::{World, tbot};

fn read(directory: &Path) -> (Certificate, Identity) {
    let certificate = Certificate::from_pem(&std::fs::read_to_string(directory.join("tlscert")).unwrap()).unwrap();
    let says = Identity::from_subject(certificate.subject()).unwrap();
    (certificate, says)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_key_of_an_identity_output_does_what_it_says() {
    let world = World::new().await;
    let token = world.token("t1").await;
    let at = |name: &str| world.path(name);
    let entry = |name: &str, more: &str| {
        format!("  - {{type: identity, destination: {{type: directory, path: {}}}{more}}}\n", at(name).display())
    };
    let more = format!(
        "credential_ttl: 2h\nservices:\n{}{}{}outputs:\n{}",
        entry("plain", ", ssh_config: off"),
        entry("narrow", ", name: narrow, roles: [reader], credential_ttl: 10m, renewal_interval: 1m"),
        entry("reissue", ", allow_reissue: true, cluster: test.example"),
        entry("legacy", ", certificate_ttl: 30m"),
    );
    let outcome = world.once(&world.config(&token, &more));
    assert_eq!(outcome.code, 0, "{}", outcome.err);

    let minutes =
        |certificate: &Certificate| (certificate.not_after() - certificate.not_before()).get_seconds() as f64 / 60.0;
    let (certificate, says) = read(&at("plain"));
    assert_eq!(says.roles.iter().map(String::as_str).collect::<BTreeSet<_>>(), ["deployer", "reader"].into());
    assert!(says.disallow_reissue && !says.renewable);
    assert!((115.0..=126.0).contains(&minutes(&certificate)), "{}", minutes(&certificate));
    let (certificate, says) = read(&at("narrow"));
    assert_eq!(says.roles, ["reader"]);
    assert!((9.0..=16.0).contains(&minutes(&certificate)), "{}", minutes(&certificate));
    assert!(!read(&at("reissue")).1.disallow_reissue);
    assert!((29.0..=36.0).contains(&minutes(&read(&at("legacy")).0)));

    let names: BTreeSet<_> = std::fs::read_dir(at("plain")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let expect = [
        "identity",
        "key",
        "key.pub",
        "key-cert.pub",
        "tlscert",
        "teleport-host-ca.crt",
        "teleport-user-ca.crt",
        "teleport-database-ca.crt",
    ];
    assert_eq!(names, expect.into_iter().map(Into::into).collect());
    for name in expect {
        let mode = std::fs::metadata(at("plain").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(std::fs::metadata(at("plain")).unwrap().permissions().mode() & 0o777, 0o700);

    // The lines that people look for.
    for words in [
        "bot identity joined: valid: after=",
        "roles=[bot-ci]",
        "-teleport-internal-join]",
        "generation=1",
        "impersonated certificates renewed: ",
        "output:narrow",
        "ssh_config is not",
        "roles of a single output are deprecated",
    ] {
        assert!(outcome.err.contains(words), "{words}\n{}", outcome.err);
    }
    assert_eq!(outcome.err.matches("ssh_config is not").count(), 3, "not where it is off");
    let known = std::fs::read_to_string(at("narrow").join("known_hosts")).unwrap();
    assert!(known.starts_with("@cert-authority test.example,*.test.example ssh-") && known.ends_with(" type=host\n"));
    let identity = std::fs::read_to_string(at("narrow").join("identity")).unwrap();
    assert!(known.lines().all(|line| identity.contains(line)), "{known}");
    assert!(!outcome.err.contains(&token), "the log shows the token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_had_ends_one_shot_mode_with_its_code() {
    let world = World::new().await;
    let token = world.token("t1").await;
    let entry = |more: &str| format!("services:\n  - {{type: identity, destination: {{type: memory}}{more}}}");
    for (more, code, words) in [
        (", cluster: leaf.example", 7, "leaf clusters are not supported yet"),
        (", roles: [editor]", 5, "editor"),
        (", roles: [reader]", 0, "all outputs are written"),
    ] {
        let outcome = world.once(&world.config(&token, &entry(more)));
        assert_eq!(outcome.code, code, "{more}\n{}", outcome.err);
        assert!(outcome.err.contains(words), "{more}: {words}\n{}", outcome.err);
    }
    let spent =
        tbot(&[], &["start", "--oneshot", "-c", world.config(&token, "").to_str().unwrap(), "--storage=memory://"]);
    assert_eq!(spent.code, 5, "{}", spent.err);
    assert!(spent.err.contains("tctl bots instances add"), "{}", spent.err);
    let other = format!("--ca-pin=sha256:{}", "a".repeat(64));
    let pin = tbot(
        &[],
        &["start", "--oneshot", "-c", world.config("x", "").to_str().unwrap(), "--storage=memory://", &other],
    );
    assert_eq!(pin.code, 5, "{}", pin.err);
    assert!(pin.err.contains("none of the configured CA pins") && pin.err.contains(&world.pin()), "{}", pin.err);
}
