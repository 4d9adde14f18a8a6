//! Applications: seen by who can reach them, listed by label, word and query, in pages.

use std::time::Duration;

use auth::{
    apps::{
        create::create,
        delete::{delete, delete_all},
        list::list,
        query::Asked,
        read::read,
        servers,
        update::update,
    },
    certificates::host::HostNames,
    joining::host::own_service,
    proxies::{self, Proxy},
};
use domain::{
    Resource as _,
    error::Kind as ErrorKind,
    form::Labels,
    resources::{App, AppServer, Role, role::Rule},
    role::SystemRole,
};
use store::ListRequest;

use crate::harness::{Cluster, Machine};

fn app(name: &str, environment: &str) -> App {
    let mut app = App::new(name, Default::default());
    app.spec.uri = "http://127.0.0.1:8080".into();
    app.metadata.labels.insert("env".into(), environment.into());
    app.set_defaults();
    app
}

fn server(name: &str, environment: &str, host: &str) -> AppServer {
    let mut server = AppServer::new(name, Default::default());
    server.spec.host_id = host.into();
    server.spec.hostname = host.into();
    server.spec.app = Some(app(name, environment));
    server.set_defaults();
    server
}

#[tokio::test]
async fn an_application_lives_through_all_verbs() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let mut made = create(auth, &admin, app("grafana", "prod")).await.unwrap();
    assert_eq!(create(auth, &admin, app("grafana", "prod")).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    made.spec.public_addr = "grafana.example.com".into();
    let stale = made.clone();
    update(auth, &admin, made).await.unwrap();
    assert_eq!(update(auth, &admin, stale).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(read(auth, &admin, "grafana").await.unwrap().spec.public_addr, "grafana.example.com");
    let machine = Machine::new();
    let configured = HostNames { dns_names: vec!["proxy.example.com".into()], ..HostNames::default() };
    own_service(auth, SystemRole::Proxy, configured, machine.tls.public(), machine.ssh.public()).await.unwrap();
    let proxy = Proxy { public_addrs: vec!["Proxy.example.com:3080".into()], ..Proxy::default() };
    let proxy = Proxy { host_id: auth.host_name().split('.').next().unwrap().to_owned(), ..proxy };
    proxies::upsert(auth, &admin, proxy).await.unwrap();
    for address in ["proxy.example.com", "proxy.example.com:443"] {
        let mut own = read(auth, &admin, "grafana").await.unwrap();
        own.spec.public_addr = address.into();
        let refused = update(auth, &admin, own.clone()).await.unwrap_err();
        assert!(
            refused.message.starts_with("spec.public_addr: proxy.example.com is the proxy's own name"),
            "{refused}"
        );
        own.metadata.name = "other".into();
        assert_eq!(create(auth, &admin, own).await.unwrap_err().kind(), ErrorKind::Invalid, "{address}");
    }
    delete(auth, &admin, "grafana").await.unwrap();
    assert_eq!(read(auth, &admin, "grafana").await.unwrap_err().kind(), ErrorKind::NotFound);
    for name in ["a", "b"] {
        create(auth, &admin, app(name, "prod")).await.unwrap();
    }
    delete_all(auth, &admin).await.unwrap();
    assert!(list(auth, &admin, ListRequest::default()).await.unwrap().items.is_empty());
    let events = cluster.events().await;
    let count = |name: &str| events.iter().filter(|event| *event == name).count();
    assert_eq!((count("app.create"), count("app.update"), count("app.delete")), (3, 1, 3));
}

#[tokio::test]
async fn who_cannot_reach_an_application_does_not_see_that_it_is_there() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    for (name, environment) in [("web", "dev"), ("bank", "prod")] {
        create(auth, &admin, app(name, environment)).await.unwrap();
    }
    cluster.person("dev", vec![Rule::new(["app"], ["create", "update"])]).await;
    let mut role: Role = auth.store().fetch("of-dev").await.unwrap();
    role.spec.allow.app_labels = Labels([("env".to_owned(), vec!["dev".to_owned()])].into());
    auth.store().change().update(&role).unwrap().commit().await.unwrap();
    cluster.settle().await;
    let dev = cluster.again("dev").await;
    let page = list(auth, &dev, ListRequest::default()).await.unwrap();
    assert_eq!(page.items.iter().map(App::name).collect::<Vec<_>>(), ["web"]);
    let there = read(auth, &dev, "bank").await.unwrap_err();
    let missing = read(auth, &dev, "moon").await.unwrap_err();
    assert_eq!(
        (there.kind(), there.message.replace("bank", "")),
        (missing.kind(), missing.message.replace("moon", ""))
    );
    create(auth, &dev, app("mine", "dev")).await.unwrap();
    assert_eq!(create(auth, &dev, app("foreign", "prod")).await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(delete(auth, &dev, "mine").await.unwrap_err().kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn servers_are_found_by_label_word_query_and_in_order() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    for (name, environment, host) in [("b", "prod", "h1"), ("a", "dev", "h2"), ("c", "dev", "h3")] {
        servers::upsert(auth, &admin, server(name, environment, host)).await.unwrap();
    }
    let names = async |wanted: Asked| -> Result<String, domain::Error> {
        let (mut names, mut token) = (Vec::new(), String::new());
        loop {
            let page = servers::list(auth, &admin, 1, &token, wanted.clone(), false).await?;
            names.extend(page.items.iter().map(|server| server.metadata.name.clone()));
            token = page.next_page_token;
            if token.is_empty() {
                return Ok(names.join(" "));
            }
        }
    };
    let asked = Asked::default;
    assert_eq!(names(asked()).await.unwrap(), "b a c", "by host, then name");
    assert_eq!(names(Asked { sort_field: "name".into(), ..asked() }).await.unwrap(), "a b c");
    assert_eq!(names(Asked { sort_field: "name".into(), is_descending: true, ..asked() }).await.unwrap(), "c b a");
    assert_eq!(names(Asked { labels: [("env".into(), "dev".into())].into(), ..asked() }).await.unwrap(), "a c");
    assert_eq!(names(Asked { keywords: vec!["PROD".into()], ..asked() }).await.unwrap(), "b");
    for (query, expected) in [
        (r#"labels.env == "dev""#, "a c"),
        (r#"name == "b""#, "b"),
        (r#"equals(resource.metadata.name, "c")"#, "c"),
        (r#"resource.spec.uri == "nowhere""#, ""),
        (r#"exists(labels.env) && !(labels["env"] == "prod")"#, "a c"),
    ] {
        assert_eq!(names(Asked { expression: query.into(), ..asked() }).await.unwrap(), expected, "{query}");
    }
    assert_eq!(names(Asked { expression: "((".into(), ..asked() }).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(names(Asked { sort_field: "moon".into(), ..asked() }).await.unwrap_err().kind(), ErrorKind::Invalid);
    let counted = servers::list(auth, &admin, 2, "", asked(), true).await.unwrap();
    assert_eq!((counted.items.len(), counted.total), (2, Some(3)));
}

#[tokio::test]
async fn a_silent_server_is_listed_no_more() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    servers::upsert(auth, &admin, server("web", "dev", "h1")).await.unwrap();
    let count = async || servers::list(auth, &admin, 0, "", Asked::default(), false).await.unwrap().items.len();
    cluster.clock.advance(servers::PRESENCE / 2);
    servers::keep_alive(auth, &admin, "h1", "web", None).await.unwrap();
    cluster.clock.advance(servers::PRESENCE / 2);
    assert_eq!(count().await, 1);
    cluster.clock.advance(servers::PRESENCE);
    assert_eq!(count().await, 0);
    assert_eq!(servers::keep_alive(auth, &admin, "h1", "web", None).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_agent_whose_clock_is_behind_is_listed_until_it_announces_again() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let now = auth.clock().now();
    for (asks, gets) in [(1, 120), (50, 120), (300, 300)] {
        let mut server = server("web", "dev", "h1");
        server.metadata.expires = Some(now + Duration::from_secs(asks));
        let listed = servers::upsert(auth, &admin, server).await.unwrap();
        assert_eq!(listed.metadata.expires, Some(now + Duration::from_secs(gets)));
    }
}
