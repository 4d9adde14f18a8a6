//! What agents may announce: applications under their own names, at addresses that are nobody else's.

use std::time::Duration;

use auth::{
    Caller,
    apps::{create::create, servers},
    certificates::host::HostNames,
    joining::host::own_service,
    proxies::{self, Proxy},
    users,
};
use domain::{
    Error,
    error::Kind,
    resources::{App, AppServer},
    role::SystemRole,
};

use crate::{
    harness::{Cluster, Machine},
    hosts::{HOST, OTHER, THIRD, host, host_token, join_as, names},
    people::user,
};

/// What an agent says about itself and an application.
pub(crate) fn server(agent: &Caller, app: &str, public_addr: &str) -> AppServer {
    let mut of = App::new(app, Default::default());
    of.spec.uri = "http://127.0.0.1:1".into();
    of.spec.public_addr = public_addr.into();
    let mut server = AppServer::new(app, Default::default());
    server.spec.host_id = agent.identity().host_id().unwrap().to_owned();
    server.spec.app = Some(of);
    server
}

pub(crate) async fn announce(
    cluster: &Cluster,
    agent: &Caller,
    app: &str,
    public_addr: &str,
) -> Result<AppServer, Error> {
    let announced = servers::upsert(&cluster.auth, agent, server(agent, app, public_addr)).await;
    cluster.settle().await;
    announced
}

fn of_proxy(host: &str, address: &str) -> Proxy {
    Proxy { host_id: host.into(), public_addrs: vec![address.into()], ..Proxy::default() }
}

#[tokio::test]
async fn an_agent_takes_no_address_of_another_application() {
    let cluster = Cluster::start().await;
    let (honest, thief) = (host(&cluster, SystemRole::App, HOST).await, host(&cluster, SystemRole::App, OTHER).await);
    host_token(&cluster, "proxies", &[SystemRole::Proxy]).await;
    let called = HostNames { dns_names: vec!["proxy.example".into()], ..names(THIRD) };
    let proxy = join_as(&cluster.auth, "proxies", SystemRole::Proxy, called).await.unwrap();
    let proxy = cluster.caller(&proxy).unwrap();
    proxies::upsert(&cluster.auth, &proxy, of_proxy(THIRD, "Proxy.example:3080")).await.unwrap();
    announce(&cluster, &honest, "alpha", "").await.unwrap();
    announce(&cluster, &honest, "beta", "beta.corp.example:443").await.unwrap();
    let mut gamma = App::new("gamma", Default::default());
    (gamma.spec.uri, gamma.spec.public_addr) = ("http://127.0.0.1:1".into(), "gamma.corp.example".into());
    create(&cluster.auth, &cluster.admin(), gamma).await.unwrap();
    cluster.settle().await;

    for (app, address, kind) in [
        ("hijack", "beta.corp.example", Kind::AlreadyExists),
        ("hijack", "BETA.corp.example:8443", Kind::AlreadyExists),
        ("hijack", "alpha.proxy.example", Kind::AlreadyExists),
        ("hijack", "beta.proxy.example", Kind::AlreadyExists),
        ("hijack", "gamma.corp.example", Kind::AlreadyExists),
        ("hijack", "proxy.example", Kind::Invalid),
        ("hijack", "localhost", Kind::Invalid),
        ("hijack", "127.0.0.1", Kind::Invalid),
        ("hijack", "auth.teleport.cluster.local", Kind::Invalid),
        ("hijack", "teleport.cluster.local", Kind::Invalid),
    ] {
        let error = announce(&cluster, &thief, app, address).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{address}: {error}");
        assert!(error.message.contains("public_addr"), "{error}");
    }
    // Two hosts serve one application, a host renames one of its own, one that is not there has no address.
    announce(&cluster, &thief, "beta", "beta.corp.example:443").await.unwrap();
    announce(&cluster, &honest, "gamma", "gamma.corp.example").await.unwrap();
    announce(&cluster, &honest, "renamed", "alpha.proxy.example").await.expect("its own");
    announce(&cluster, &honest, "wiki-2", "wiki.proxy.example").await.unwrap();
    let error = announce(&cluster, &thief, "wiki", "").await.unwrap_err();
    assert!(error.message.contains("wiki.proxy.example"), "its name is an address that is taken: {error}");
    announce(&cluster, &thief, "wiki", "wiki.corp.example").await.unwrap();
    // Who has an address keeps it when it says again that it is there.
    announce(&cluster, &honest, "alpha", "").await.unwrap();
    servers::delete(&cluster.auth, &honest, HOST, "alpha").await.unwrap();
    servers::delete(&cluster.auth, &honest, HOST, "renamed").await.unwrap();
    cluster.settle().await;
    announce(&cluster, &thief, "hijack", "alpha.proxy.example").await.expect("nobody has it any more");
}

#[tokio::test]
async fn a_proxy_shuts_no_application_out_by_saying_that_an_address_is_its_own() {
    let cluster = Cluster::start().await;
    let (agent, proxy) = (host(&cluster, SystemRole::App, HOST).await, host(&cluster, SystemRole::Proxy, THIRD).await);
    for address in ["grafana.example.com:443", "example.com:443"] {
        proxies::upsert(&cluster.auth, &proxy, of_proxy(THIRD, address)).await.unwrap();
        announce(&cluster, &agent, "grafana", "grafana.example.com").await.expect(address);
        announce(&cluster, &agent, "other", "wiki.example.com").await.expect(address);
        servers::delete(&cluster.auth, &agent, HOST, "grafana").await.unwrap();
        cluster.settle().await;
    }
}

#[tokio::test]
async fn where_the_proxies_are_is_looked_up_every_few_seconds_however_many_ask() {
    let cluster = Cluster::start().await;
    let auth = &cluster.auth;
    let proxy = host(&cluster, SystemRole::Proxy, THIRD).await;
    proxies::upsert(auth, &proxy, of_proxy(THIRD, "one.example:443")).await.unwrap();
    let told = async || proxies::public_address(auth).await.unwrap();
    assert_eq!(told().await.as_deref(), Some("one.example:443"));
    // What another server of the cluster does to the store.
    let gone = storage::Batch::new().delete(storage::Key::new("tessera_proxy", THIRD));
    storage::Backend::batch(&*cluster.backend, gone).await.unwrap();
    assert_eq!(told().await.as_deref(), Some("one.example:443"), "the store is not asked");
    cluster.clock.advance(Duration::from_secs(3));
    assert_eq!(told().await, None);
    proxies::upsert(auth, &proxy, of_proxy(THIRD, "two.example:443")).await.unwrap();
    assert_eq!(told().await.as_deref(), Some("two.example:443"), "what it is told itself it knows at once");
}

#[tokio::test]
async fn an_announcement_bears_the_name_of_its_application() {
    let cluster = Cluster::start().await;
    let agent = host(&cluster, SystemRole::App, HOST).await;
    let mut wrong = server(&agent, "alpha", "");
    wrong.metadata.name = "zz".into();
    let error = servers::upsert(&cluster.auth, &agent, wrong).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.message.starts_with("metadata.name"), "{error}");
}

#[tokio::test]
async fn a_host_that_begins_to_serve_what_others_serve_is_on_record() {
    let cluster = Cluster::start().await;
    let (honest, thief) = (host(&cluster, SystemRole::App, HOST).await, host(&cluster, SystemRole::App, OTHER).await);
    let told = async || cluster.records("tessera.app_server.join").await;
    announce(&cluster, &honest, "alpha", "").await.unwrap();
    announce(&cluster, &honest, "alpha", "").await.unwrap();
    assert!(told().await.is_empty());
    for _ in 0..3 {
        announce(&cluster, &thief, "alpha", "").await.unwrap();
        servers::delete(&cluster.auth, &thief, OTHER, "alpha").await.unwrap();
        cluster.settle().await;
    }
    let events = told().await;
    assert_eq!(events.len(), 1, "once a day, however often it comes and goes");
    let said = (events[0]["server_id"].as_str(), events[0]["app_name"].as_str());
    assert_eq!(said, (Some(OTHER), Some("alpha")));
    cluster.clock.advance(Duration::from_secs(25 * 3600));
    announce(&cluster, &honest, "alpha", "").await.unwrap();
    announce(&cluster, &thief, "alpha", "").await.unwrap();
    assert_eq!(told().await.len(), 2);
}

#[tokio::test]
async fn a_proxy_that_comes_up_with_an_address_leads_nobody_there() {
    let cluster = Cluster::start().await;
    let auth = &cluster.auth;
    host_token(&cluster, "proxies", &[SystemRole::Proxy]).await;
    let named = |id: &str, name: &str| HostNames { dns_names: vec![name.into()], ..names(id) };
    let mut proxies = Vec::new();
    for (id, name) in [(HOST, "one.example"), (OTHER, "two.example")] {
        let issued = join_as(auth, "proxies", SystemRole::Proxy, named(id, name)).await.unwrap();
        proxies.push(cluster.caller(&issued).unwrap());
    }
    let told = async || proxies::public_address(auth).await.unwrap();
    proxies::upsert(auth, &proxies[0], of_proxy(HOST, "127.0.0.1:27443")).await.unwrap();
    assert_eq!(told().await.as_deref(), Some("127.0.0.1:27443"), "the only one that there is");
    proxies::upsert(auth, &proxies[1], of_proxy(OTHER, "two.example:443")).await.unwrap();
    assert_eq!(told().await.as_deref(), Some("two.example:443"));
    // A link for a person leads there too.
    users::create(auth, &cluster.admin(), user("alice", &["access"])).await.unwrap();
    let made = users::invite(auth, &cluster.admin(), "alice", users::Purpose::Invite, None).await.unwrap();
    assert!(made.url.expose().starts_with("https://two.example/web/invite/"));
    // The proxy of this process says what its file says.
    let machine = Machine::new();
    let keys = (machine.tls.public(), machine.ssh.public());
    let configured = HostNames { dns_names: vec!["zone.example".into()], ..HostNames::default() };
    own_service(auth, SystemRole::Proxy, configured, keys.0, keys.1).await.unwrap();
    let own = auth.host_name().split('.').next().unwrap().to_owned();
    proxies::upsert(auth, &cluster.admin(), of_proxy(&own, "zone.example:3080")).await.unwrap();
    assert_eq!(told().await.as_deref(), Some("zone.example:3080"));
}

#[tokio::test]
async fn a_stolen_proxy_leads_nobody_to_another_port() {
    let cluster = Cluster::start().await;
    let auth = &cluster.auth;
    host_token(&cluster, "proxies", &[SystemRole::Proxy]).await;
    let mut proxies = Vec::new();
    for id in [HOST, OTHER] {
        let called = HostNames { dns_names: vec!["proxy.example".into()], ..names(id) };
        let issued = join_as(auth, "proxies", SystemRole::Proxy, called).await.unwrap();
        proxies.push(cluster.caller(&issued).unwrap());
    }
    let told = async || proxies::public_address(auth).await.unwrap();
    let say = async |proxy: usize, address: &str| {
        let id = [HOST, OTHER][proxy];
        proxies::upsert(auth, &proxies[proxy], of_proxy(id, address)).await.unwrap();
        cluster.clock.advance(Duration::from_secs(1));
    };
    // Whichever comes first in a list of them.
    for (stolen, honest) in [(0, 1), (1, 0)] {
        say(honest, "proxy.example:443").await;
        say(stolen, "proxy.example:443").await;
        say(stolen, "proxy.example:6666").await;
        assert_eq!(told().await.as_deref(), Some("proxy.example:443"), "{stolen} is stolen");
        // Also when nobody has heard of any of them for a while.
        cluster.clock.advance(proxies::PRESENCE);
        say(stolen, "proxy.example:6666").await;
        say(honest, "proxy.example:443").await;
        assert_eq!(told().await.as_deref(), Some("proxy.example:443"), "{stolen} is stolen");
        cluster.clock.advance(proxies::PRESENCE);
    }
    // An administrator moves them to another port.
    say(0, "proxy.example:8443").await;
    say(1, "proxy.example:8443").await;
    assert_eq!(told().await.as_deref(), Some("proxy.example:8443"));
}

#[tokio::test]
async fn a_proxy_is_listed_as_long_as_it_says_and_its_word_is_plain() {
    let cluster = Cluster::start().await;
    let auth = &cluster.auth;
    let proxy = host(&cluster, SystemRole::Proxy, HOST).await;
    let now = cluster.auth.clock().now();
    let say = async |expires: Option<Duration>| {
        let expires = expires.map(|span| now + span);
        proxies::upsert(auth, &proxy, Proxy { expires, ..of_proxy(HOST, "p.example") })
            .await
            .unwrap()
            .duration_since(now)
    };
    let seconds = Duration::from_secs;
    assert_eq!(say(Some(seconds(90))).await.as_secs(), 90);
    assert_eq!(say(None).await.as_secs(), 120);
    assert_eq!(say(Some(seconds(3600))).await.as_secs(), 120);
    assert_eq!(say(Some(seconds(1))).await.as_secs(), 60, "its clock is behind");
    let notice = format!("fine\u{1b}[31m\u{202e}txt{}", "x".repeat(5000));
    proxies::upsert(auth, &proxy, Proxy { notice, ..of_proxy(HOST, "p.example") }).await.unwrap();
    let listed = proxies::list(auth, &cluster.admin()).await.unwrap();
    assert!(listed[0].notice.starts_with("fine[31mtxtx") && listed[0].notice.len() <= 2000, "{}", listed[0].notice);
}
