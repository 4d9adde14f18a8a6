//! Hosts: they join by a token as what it says, renew for themselves, and are nothing more than what they are.

use std::{sync::Arc, time::Duration};

use auth::{
    Auth, Caller, Issued, Presented,
    audit_log::emit::emit,
    certificates::{
        host::{HOST_LIFETIME, HostNames},
        user::{UserCertificates, issue},
    },
    joining::{
        self, JoinRequest, Proof,
        host::{HostRenewal, own_service, renew},
    },
    proxies::{self, Proxy},
    tokens, users,
    watch::{WatchKind, open},
};
use crypto::SecretString;
use domain::{
    Error, Resource as _,
    error::{Kind, Reason},
    resources::Token,
    role::SystemRole::{self, App, Db, Instance, Node},
};

use crate::{
    harness::{Cluster, Machine},
    locks::lock,
};

pub(crate) const HOST: &str = "2d1e8f5c-0000-4000-8000-000000000001";
pub(crate) const OTHER: &str = "2d1e8f5c-0000-4000-8000-000000000002";
pub(crate) const THIRD: &str = "2d1e8f5c-0000-4000-8000-000000000003";
const FROM: &str = "192.0.2.9:4711";

pub(crate) fn names(id: &str) -> HostNames {
    HostNames { host_id: id.to_owned(), node_name: "here".into(), ..HostNames::default() }
}

pub(crate) async fn host_token(cluster: &Cluster, name: &str, roles: &[SystemRole]) {
    let mut token = Token::new(name, Default::default());
    token.spec.roles = roles.to_vec();
    token.set_defaults();
    cluster.auth.store().change().create(&token).unwrap().commit().await.unwrap();
}

pub(crate) async fn join_as(auth: &Auth, token: &str, role: SystemRole, host: HostNames) -> Result<Issued, Error> {
    join_with(auth, &Caller::anonymous(FROM), token, role, host, &Machine::new()).await
}

async fn join_with(
    auth: &Auth,
    caller: &Caller,
    token: &str,
    role: SystemRole,
    host: HostNames,
    machine: &Machine,
) -> Result<Issued, Error> {
    let request = JoinRequest {
        proof: Proof::Token(SecretString::from(token)),
        role,
        tls_key: machine.tls.public().clone(),
        ssh_key: machine.ssh.public().clone(),
        expires: None,
        host,
    };
    joining::join(auth, caller, request).await
}

/// A host of this role, joined by a token of its own.
pub(crate) async fn host(cluster: &Cluster, role: SystemRole, id: &str) -> Caller {
    let token = format!("for-{}-{id}", role.as_str());
    host_token(cluster, &token, &[role]).await;
    let issued = join_as(&cluster.auth, &token, role, names(id)).await.unwrap();
    cluster.caller(&issued).unwrap()
}

fn renewal(role: SystemRole, names: HostNames) -> HostRenewal {
    let machine = Machine::new();
    HostRenewal { role, names, tls_key: machine.tls.public().clone(), ssh_key: machine.ssh.public().clone() }
}

#[tokio::test]
async fn a_host_joins_as_often_as_its_token_lives_and_renews_for_itself() {
    let cluster = Cluster::start().await;
    host_token(&cluster, "hosts", &[SystemRole::Proxy, App]).await;
    let auth = &*cluster.auth;
    let mut proxy = names(HOST);
    proxy.dns_names = vec!["proxy.example.com".into()];
    proxy.principals = vec!["192.0.2.80".into()];
    let issued = join_as(auth, "hosts", SystemRole::Proxy, proxy.clone()).await.unwrap();
    let certificate = issued.tls.clone().unwrap();
    let called = [&format!("{HOST}.test.example"), "proxy.teleport.cluster.local", "proxy.example.com"];
    assert_eq!(certificate.dns_names(), called);
    assert_eq!(certificate.ip_addresses(), ["192.0.2.80".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(certificate.not_after(), cluster.auth.clock().now() + HOST_LIFETIME);
    let caller = cluster.caller(&issued).unwrap();
    assert_eq!((caller.system_role(), caller.identity().host_id()), (Some(SystemRole::Proxy), Some(HOST)));

    let agent = join_as(auth, "hosts", App, HostNames { dns_names: vec!["x.example".into()], ..names(OTHER) }).await;
    let agent = agent.unwrap();
    assert_eq!(
        agent.tls.clone().unwrap().dns_names(),
        [&format!("{OTHER}.test.example"), "app.teleport.cluster.local"],
        "nobody dials an agent by another name"
    );
    let principals = agent.ssh.clone().unwrap().principals().to_vec();
    assert!(!principals.iter().any(|name| name.contains("here") || name.contains("x.example")), "{principals:?}");

    renew(auth, &caller, renewal(SystemRole::Proxy, proxy)).await.unwrap();
    renew(auth, &caller, renewal(SystemRole::Proxy, names(&format!("{HOST}.test.example")))).await.unwrap();
    for (role, id) in [(App, HOST), (SystemRole::Proxy, OTHER), (SystemRole::Auth, HOST), (SystemRole::Admin, HOST)] {
        let error = renew(auth, &caller, renewal(role, names(id))).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Denied, "{role} {id}");
    }
    let joins = cluster.records("instance.join").await;
    assert_eq!(joins.len(), 2);
    assert_eq!((joins[0]["host_id"].as_str(), joins[0]["role"].as_str()), (Some(HOST), Some("Proxy")));
    assert_eq!(joins[0]["addr.remote"], FROM);
    assert!(
        !joins.iter().any(|join| join.to_string().contains("\"hosts\"")),
        "the token's name is the secret: {joins:?}"
    );
    assert_eq!(cluster.records("cert.create").await.len(), 4);
}

#[tokio::test]
async fn a_token_gives_no_other_role_and_no_name_of_another() {
    let cluster = Cluster::start().await;
    let auth = &*cluster.auth;
    cluster.with_bot().await;
    host_token(&cluster, "apps", &[App, Db]).await;
    host_token(&cluster, "proxies", &[SystemRole::Proxy]).await;
    host_token(&cluster, "nodes", &[Node, Instance]).await;
    for (token, role) in [
        ("apps", SystemRole::Proxy),
        ("apps", SystemRole::Auth),
        ("apps", SystemRole::Admin),
        ("apps", SystemRole::Bot),
        ("secret-token-1", App),
        ("nothing", App),
    ] {
        let error = join_as(auth, token, role, names(HOST)).await.unwrap_err();
        let refusal = (error.kind(), error.message.as_str(), error.reason);
        assert_eq!(refusal, (Kind::Denied, "token expired or not found", Some(Reason::TokenUnknown)), "{token} {role}");
    }
    assert_eq!(join_as(auth, "apps", Db, names(HOST)).await.unwrap_err().kind(), Kind::Unsupported);
    let own = auth.host_name();
    assert_eq!(
        join_as(auth, "apps", App, names(own.split('.').next().unwrap())).await.unwrap_err().kind(),
        Kind::Denied,
        "the id of the auth service"
    );
    for bad in ["", "..", "2D1E8F5C-0000-4000-8000-000000000001", "2d1e8f5c-0000-4000-8000-00000000000x"] {
        assert_eq!(join_as(auth, "apps", App, names(bad)).await.unwrap_err().kind(), Kind::Invalid, "{bad:?}");
    }
    for name in [
        "teleport.cluster.local",
        "Teleport.Cluster.Local.",
        "*.teleport.cluster.local",
        "x.teleport.cluster.local",
        "*.cluster.local",
        "*.test.example",
        &format!("{OTHER}.test.example"),
        OTHER,
        &own,
    ] {
        for (token, role) in [("proxies", SystemRole::Proxy), ("nodes", Node)] {
            let by_dns = HostNames { dns_names: vec![name.to_owned()], ..names(HOST) };
            let by_principal = HostNames { principals: vec![name.to_owned()], ..names(HOST) };
            let by_node = HostNames { node_name: name.to_owned(), ..names(HOST) };
            for host in [by_dns, by_principal, by_node] {
                let error = join_as(auth, token, role, host).await.unwrap_err();
                assert_eq!(error.kind(), Kind::Invalid, "{name} as {role}: {error}");
            }
        }
    }
    join_as(auth, "nodes", Instance, names(HOST)).await.unwrap();
    assert_eq!(cluster.records("instance.join").await.len(), 1);
}

#[tokio::test]
async fn a_locked_host_is_shut_out_and_does_not_join_again() {
    let cluster = Cluster::start().await;
    let auth = &*cluster.auth;
    host_token(&cluster, "apps", &[App]).await;
    let issued = join_as(auth, "apps", App, names(HOST)).await.unwrap();
    let admin = cluster.admin();
    auth::locks::upsert(auth, &admin, lock("l", |target| target.server_id = HOST.into())).await.unwrap();
    cluster.settle().await;
    assert_eq!(cluster.caller(&issued).unwrap_err().reason, Some(Reason::Locked));
    assert_eq!(join_as(auth, "apps", App, names(HOST)).await.unwrap_err().reason, Some(Reason::Locked));
    join_as(auth, "apps", App, names(OTHER)).await.unwrap();
}

#[tokio::test]
async fn a_host_is_never_more_than_it_is() {
    let cluster = Cluster::start().await;
    let auth = &*cluster.auth;
    let token = cluster.with_bot().await;
    users::create(auth, &cluster.admin(), crate::people::user("alice", &["deployer"])).await.unwrap();
    cluster.settle().await;
    for role in [SystemRole::Proxy, App, Node, Instance] {
        let caller = host(&cluster, role, HOST).await;
        for (username, roles) in
            [("alice", vec![]), ("", vec!["deployer".to_owned()]), ("", vec![]), ("bot-ci", vec![])]
        {
            let request = UserCertificates {
                username: username.into(),
                tls_key: Some(Machine::new().tls.public().clone()),
                use_role_requests: !roles.is_empty(),
                role_requests: roles,
                ..UserCertificates::default()
            };
            assert_eq!(issue(auth, &caller, request).await.unwrap_err().kind(), Kind::Denied, "{role}: {username:?}");
        }
        let denied = |what: &str, answer: Result<(), Error>| {
            assert_eq!(answer.unwrap_err().kind(), Kind::Denied, "{role}: {what}");
        };
        denied("token", tokens::get(auth, &caller, &token).await.map(drop));
        denied("tokens", tokens::list(auth, &caller, Default::default(), &Default::default()).await.map(drop));
        denied("keys", auth::authorities::read::read(auth, &caller, "user", "", true).await.map(drop));
        denied("keys", auth::authorities::export_keys::export_keys(auth, &caller, "user").await.map(drop));
        denied("secrets", users::get(auth, &caller, users::Which::Named("alice"), true).await.map(drop));
        denied("role", auth::roles::create(auth, &caller, crate::people::role("x", vec![])).await.map(drop));
        denied(
            "lock",
            auth::locks::upsert(auth, &caller, lock("l", |target| target.user = "x".into())).await.map(drop),
        );
        let started = serde_json::json!({"event": "app.session.start", "code": "T2007I"});
        denied("event", emit(auth, &caller, started.as_object().unwrap().clone()).await);
        let watched = |kind: &str| [WatchKind { kind: kind.into(), ..WatchKind::default() }];
        denied("watch", open(auth, &caller, &watched("token"), false).await.map(drop));
        let keys = [WatchKind { kind: "cert_authority".into(), with_secrets: true, ..WatchKind::default() }];
        denied("watch keys", open(auth, &caller, &keys, false).await.map(drop));
        auth::authorities::read::read(auth, &caller, "user", "", false).await.unwrap();
    }
    // What an agent decides from.
    let agent = host(&cluster, App, OTHER).await;
    let kinds = ["role", "user", "lock", "cert_authority", "cluster_auth_preference", "app"];
    let kinds = kinds.map(|kind| WatchKind { kind: kind.into(), ..WatchKind::default() });
    open(auth, &agent, &kinds, false).await.unwrap();
    auth::roles::get(auth, &agent, "deployer").await.unwrap();
    auth::locks::list(auth, &agent, Default::default(), &Default::default()).await.unwrap();
}

#[tokio::test]
async fn proxies_say_for_themselves_that_they_are_there() {
    let cluster = Cluster::start().await;
    let auth = &*cluster.auth;
    let (proxy, agent) = (host(&cluster, SystemRole::Proxy, HOST).await, host(&cluster, App, OTHER).await);
    let word = |id: &str| Proxy {
        host_id: id.into(),
        public_addrs: vec!["proxy.example.com:3080".into()],
        ..Proxy::default()
    };
    proxies::upsert(auth, &proxy, word(HOST)).await.unwrap();
    assert_eq!(proxies::upsert(auth, &proxy, word(OTHER)).await.unwrap_err().kind(), Kind::Denied);
    assert_eq!(proxies::upsert(auth, &agent, word(OTHER)).await.unwrap_err().kind(), Kind::Denied);
    let bad = Proxy { peer_addr: "x\ny".into(), ..word(HOST) };
    assert_eq!(proxies::upsert(auth, &proxy, bad).await.unwrap_err().kind(), Kind::Invalid);
    let found = proxies::list(auth, &agent).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].public_addrs, ["proxy.example.com:3080"]);
    assert_eq!(proxies::public_address(auth).await.unwrap().as_deref(), Some("proxy.example.com:3080"));
    let own = auth.host_name().split('.').next().unwrap().to_owned();
    proxies::upsert(auth, &cluster.admin(), word(&own)).await.unwrap();
    let mut server = domain::resources::AppServer::new("app", Default::default());
    let mut app = domain::resources::App::new("app", Default::default());
    app.spec.uri = "http://127.0.0.1:1".into();
    (server.spec.host_id, server.spec.hostname, server.spec.app) = (own.clone(), "here".into(), Some(app));
    auth::apps::servers::upsert(auth, &cluster.admin(), server).await.unwrap();
    let inventory = auth::inventory::inventory(auth, &cluster.admin(), "18.0.0").await.unwrap();
    let services: Vec<_> =
        inventory.connected.iter().map(|member| (member.id.as_str(), &member.services[..])).collect();
    let all = [SystemRole::Auth, App, SystemRole::Proxy];
    assert_eq!(services, [(own.as_str(), &all[..]), (HOST, &all[2..])], "one process, three services");
    assert_eq!((inventory.instances, inventory.connected[0].hostname.as_str()), (2, "here"));
    cluster.clock.advance(proxies::PRESENCE);
    assert!(proxies::list(auth, &agent).await.unwrap().is_empty());
    assert_eq!(proxies::public_address(auth).await.unwrap(), None);
    assert_eq!(proxies::list(auth, &Caller::anonymous(FROM)).await.unwrap_err().kind(), Kind::Denied);
}

#[tokio::test]
async fn a_service_of_this_process_is_a_host_like_any_other() {
    let cluster = Cluster::start().await;
    let machine = Machine::new();
    let keys = (machine.tls.public(), machine.ssh.public());
    let called = |dns_names: Vec<String>| HostNames { dns_names, ..HostNames::default() };
    let named = called(vec!["proxy.example.com".into()]);
    let issued = own_service(&cluster.auth, SystemRole::Proxy, named, keys.0, keys.1).await.unwrap();
    let certificate = Arc::new(issued.tls.unwrap());
    assert!(!certificate.dns_names().iter().any(|name| name == "teleport.cluster.local"));
    let caller = cluster.auth.authenticate(&Presented::Certificate(certificate), FROM).unwrap();
    assert_eq!((caller.system_role(), caller.name()), (Some(SystemRole::Proxy), cluster.auth.host_name().as_str()));
    assert_eq!(cluster.records("cert.create").await.len(), 1);
    // In a container the machine may be called something else at each start.
    for start in 0..3 {
        let now = (0..200).map(|number| format!("n{number}-{start}.example.com")).collect();
        own_service(&cluster.auth, SystemRole::Proxy, called(now), keys.0, keys.1).await.unwrap();
    }
    let too_many = (0..300).map(|number| format!("n{number}.example.com")).collect();
    let refused = own_service(&cluster.auth, SystemRole::Proxy, called(too_many), keys.0, keys.1).await.unwrap_err();
    assert!(refused.kind() == Kind::Limit && !refused.message.contains("host_uuid"), "{refused}");
}

#[tokio::test]
async fn a_token_makes_nobody_a_host_that_is_there_already() {
    let cluster = Cluster::start().await;
    let auth = &*cluster.auth;
    host_token(&cluster, "hosts", &[SystemRole::Proxy, App, Node]).await;
    let (stranger, honest) = (Caller::anonymous(FROM), Machine::new());
    let first = join_with(auth, &stranger, "hosts", App, names(HOST), &honest).await.unwrap();
    let own = cluster.caller(&first).unwrap();
    let other = cluster.caller(&join_as(auth, "hosts", App, names(OTHER)).await.unwrap()).unwrap();

    let taken = |what: &str, answer: Result<Issued, Error>| {
        let error = answer.err().unwrap_or_else(|| panic!("{what}: joined"));
        assert_eq!((error.kind(), error.reason), (Kind::Denied, Some(Reason::HostTaken)), "{what}: {error}");
        assert!(error.message.contains("remove host_uuid"), "what to do: {error}");
    };
    let thief = Machine::new();
    taken("with its own keys", join_with(auth, &stranger, "hosts", App, names(HOST), &thief).await);
    taken("as another host", join_with(auth, &other, "hosts", App, names(HOST), &thief).await);
    // With the public key of the host, which everybody has seen, for X.509, and one of its own for SSH.
    let half = Machine { tls: honest.tls.clone(), ssh: thief.ssh.clone() };
    taken("with half of the keys", join_with(auth, &stranger, "hosts", App, names(HOST), &half).await);

    join_with(auth, &stranger, "hosts", App, names(HOST), &honest).await.expect("its answer was lost: asks again");
    join_with(auth, &own, "hosts", App, names(HOST), &Machine::new()).await.expect("shows that it is the host");
    let moved = Machine::new();
    renew(
        auth,
        &own,
        HostRenewal {
            tls_key: moved.tls.public().clone(),
            ssh_key: moved.ssh.public().clone(),
            ..renewal(App, names(HOST))
        },
    )
    .await
    .unwrap();
    for (what, machine) in [("restored from a copy", &honest), ("its newest keys", &moved)] {
        join_with(auth, &stranger, "hosts", App, names(HOST), machine).await.expect(what);
    }
    // The second service of the same start asks by itself; later it shows what the first one has.
    join_as(auth, "hosts", SystemRole::Proxy, names(HOST)).await.unwrap();
    cluster.clock.advance(Duration::from_secs(3600));
    host_token(&cluster, "later", &[Node]).await;
    taken("as something else, later", join_with(auth, &stranger, "later", Node, names(HOST), &thief).await);
    join_with(auth, &own, "later", Node, names(HOST), &Machine::new()).await.unwrap();

    // Its certificates have ended, and it is nowhere: the id is free again.
    cluster.clock.advance(HOST_LIFETIME);
    host_token(&cluster, "much-later", &[App]).await;
    join_as(auth, "much-later", App, names(HOST)).await.unwrap();
}

#[tokio::test]
async fn a_host_that_joined_before_hosts_were_remembered_is_known_by_what_it_announces() {
    let cluster = Cluster::start().await;
    let auth = &*cluster.auth;
    let (agent, proxy) = (host(&cluster, App, HOST).await, host(&cluster, SystemRole::Proxy, OTHER).await);
    crate::announcing::announce(&cluster, &agent, "wiki", "").await.unwrap();
    proxies::upsert(auth, &proxy, Proxy { host_id: OTHER.into(), ..Proxy::default() }).await.unwrap();
    for id in [HOST, OTHER] {
        let forgotten = storage::Batch::new().delete(storage::Key::new("tessera_host", id));
        storage::Backend::batch(&*cluster.backend, forgotten).await.unwrap();
    }
    cluster.settle().await;
    host_token(&cluster, "hosts", &[SystemRole::Proxy, App]).await;
    for (role, id) in [(App, HOST), (SystemRole::Proxy, OTHER)] {
        assert_eq!(join_as(auth, "hosts", role, names(id)).await.unwrap_err().reason, Some(Reason::HostTaken));
    }
    renew(auth, &proxy, renewal(SystemRole::Proxy, names(OTHER))).await.expect("shows its certificate");
}

#[tokio::test]
async fn a_proxy_that_renews_gets_no_names_that_nobody_vouched_for() {
    let cluster = Cluster::start().await;
    let auth = &*cluster.auth;
    host_token(&cluster, "proxies", &[SystemRole::Proxy]).await;
    let called = |dns: &[&str]| HostNames { dns_names: dns.iter().map(|&name| name.into()).collect(), ..names(HOST) };
    let first = join_as(auth, "proxies", SystemRole::Proxy, called(&["proxy.example.com"])).await.unwrap();
    let caller = cluster.caller(&first).unwrap();
    let id = format!("{HOST}.test.example");
    let plain = [id.as_str(), "proxy.teleport.cluster.local"];
    for (asked, granted) in [
        (&["Proxy.example.com"][..], &["Proxy.example.com"][..]),
        (&["proxy.example.com", "beta.corp.example"], &["proxy.example.com"]),
        (&["*.proxy.example.com", "beta.proxy.example.com"], &["*.proxy.example.com", "beta.proxy.example.com"]),
        (&["*.example.com", "example.com", "a.b.proxy.example.com", "192.0.2.1", "localhost", "x.here"], &[]),
    ] {
        let issued = renew(auth, &caller, renewal(SystemRole::Proxy, called(asked))).await.unwrap();
        let certificate = issued.tls.unwrap();
        assert_eq!(certificate.dns_names(), [&plain[..], granted].concat(), "{asked:?}");
        assert!(certificate.ip_addresses().is_empty());
    }
    let renamed = HostNames { node_name: "db1".into(), ..names(HOST) };
    let issued = renew(auth, &caller, renewal(SystemRole::Proxy, renamed)).await.unwrap();
    assert!(!issued.ssh.unwrap().principals().iter().any(|name| name.starts_with("db1")));
    // An administrator may say which they are, and a join token adds some.
    let said = called(&["proxy.example.com", "new.example.com"]);
    renew(auth, &cluster.admin(), renewal(SystemRole::Proxy, said)).await.unwrap();
    join_with(auth, &caller, "proxies", SystemRole::Proxy, called(&["newer.example.com"]), &Machine::new())
        .await
        .unwrap();
    let all = ["proxy.example.com", "new.example.com", "newer.example.com"];
    let issued = renew(auth, &caller, renewal(SystemRole::Proxy, called(&all))).await.unwrap();
    assert_eq!(issued.tls.unwrap().dns_names(), [&plain[..], &all[..]].concat());
    renew(auth, &cluster.admin(), renewal(SystemRole::Proxy, called(&all[..1]))).await.unwrap();
    let issued = renew(auth, &caller, renewal(SystemRole::Proxy, called(&all))).await.unwrap();
    assert_eq!(issued.tls.unwrap().dns_names(), [&plain[..], &all[..1]].concat());
}

#[tokio::test]
async fn a_stolen_join_token_takes_no_name_of_a_proxy_away_and_adds_none() {
    let cluster = Cluster::start().await;
    let auth = &*cluster.auth;
    host_token(&cluster, "proxies", &[SystemRole::Proxy]).await;
    let called = |dns: &[String]| HostNames { dns_names: dns.to_vec(), ..names(HOST) };
    let (stranger, proxy) = (Caller::anonymous(FROM), Machine::new());
    let join = async |caller: &Caller, names: HostNames| {
        join_with(auth, caller, "proxies", SystemRole::Proxy, names, &proxy).await
    };
    let own = vec!["proxy.example.com".to_owned()];
    let first = join(&stranger, called(&own)).await.unwrap();
    // Its public keys are no secret.
    for round in 0..2 {
        let invented: Vec<String> = (0..256).map(|number| format!("n{number}-{round}.corp.example")).collect();
        let issued = join(&stranger, called(&invented)).await.unwrap();
        assert!(!issued.tls.unwrap().dns_names().iter().any(|name| name.contains("corp")), "nobody vouched for them");
    }
    let caller = cluster.caller(&first).unwrap();
    let renewed = renew(auth, &caller, renewal(SystemRole::Proxy, called(&own))).await.unwrap().tls.unwrap();
    assert!(renewed.dns_names().contains(&own[0]));
    // Who has its certificate, too, adds names until there is no room, and takes none away.
    let many: Vec<String> = (0..256).map(|number| format!("n{number}.corp.example")).collect();
    assert_eq!(join(&caller, called(&many)).await.unwrap_err().kind(), Kind::Limit);
    join(&caller, called(&many[..200])).await.unwrap();
    let renewed = renew(auth, &caller, renewal(SystemRole::Proxy, called(&own))).await.unwrap().tls.unwrap();
    assert!(renewed.dns_names().contains(&own[0]));
}
