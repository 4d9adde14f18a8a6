//! A cluster with an application that nobody restarts for days, under a clock that somebody sets: whatever it serves by is
//! made anew in time.

use std::time::Duration;

use api::{
    r#gen::proto::{RouteToApp, UserCertsRequest},
    methods::proto::auth_service::GenerateUserCerts,
};
use client::Client;
use clock::{Clock, ManualClock, Timestamp};
use serde_json::json;
use testkit::{Cluster, Options};

use crate::support::{
    applications::{ONE, PROXY, Recorder, ask},
    people::{self, Person},
};

/// In twice that of the machine's time: deadlines are shorter than usual, but nobody who does his work meets one.
const BREATH: Duration = Duration::from_millis(10);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

struct World {
    time: ManualClock,
    cluster: Cluster,
    admin: Client,
    _one: Recorder,
}

impl World {
    async fn start() -> Self {
        let (time, one) = (ManualClock::new(Clock::system().now()), Recorder::start("one").await);
        let auth_service = format!(
            "proxy_service: {{web_listen_addr: '127.0.0.1:0', public_addr: 'proxy.localhost:0'}}\n\
             app_service: {{apps: [{{name: one, uri: 'http://{}', labels: {{env: dev}}}}]}}\n",
            one.address
        );
        let options = Options { auth_service, clock: time.clock(), ..Options::default() };
        let cluster = Cluster::start_with(options).await;
        time.pass_until(BREATH, cluster.server().readiness().ready()).await;
        let admin = cluster.admin().await;
        people::role(&admin, "dev", json!({"allow": {"app_labels": {"env": "dev"}}})).await;
        people::user(&admin, "alice", &["dev"], 3600).await;
        Self { time, cluster, admin, _one: one }
    }

    fn now(&self) -> Timestamp {
        self.time.clock().now()
    }

    async fn certificate(&self, client: &Client, route_to_app: Option<RouteToApp>) -> Option<Person> {
        let (key, end) = (people::key(), self.now() + Duration::from_secs(1800));
        let request = UserCertsRequest {
            username: "alice".to_owned(),
            tls_public_key: key.public().to_pem().into_bytes(),
            expires: Some(prost_types::Timestamp { seconds: end.as_second(), nanos: 0 }),
            route_to_app,
            ..UserCertsRequest::default()
        };
        let certs = client.call::<GenerateUserCerts>(request).await.ok()?;
        Some(Person::from_certs(key, &certs))
    }

    /// A new connection to the API by its TLS port, a certificate for the application, a request through the public port.
    async fn is_served(&self) -> bool {
        let Some(alice) = self.certificate(&self.admin, None).await else { return false };
        let address = self.cluster.address().to_string();
        let config = client::Config::new([address], alice.credentials(), self.time.clock(), crypto::Random::system());
        let Ok(client) = Client::connect(config).await else { return false };
        let route = RouteToApp {
            name: "one".to_owned(),
            public_addr: format!("one.{PROXY}"),
            cluster_name: "test.example".to_owned(),
            ..RouteToApp::default()
        };
        let Some(alice) = self.certificate(&client, Some(route)).await else { return false };
        let proxy = self.cluster.server().proxy_addr().unwrap();
        ask(proxy, ONE, Some(&alice), "/", [127, 0, 0, 1]).await.starts_with("HTTP/1.1 200")
    }

    /// Within so many minutes of the cluster's time.
    async fn is_served_within(&self, minutes: u32, what: &str) {
        let began = self.time.clock().monotonic();
        // Little time passes within an attempt, whose deadlines are this clock's, too.
        while !self.time.pass_until(BREATH, self.is_served()).await {
            self.time.advance(30 * SECOND);
            Clock::system().sleep(Duration::from_millis(100)).await;
            let took = self.time.clock().monotonic() - began;
            assert!(took <= MINUTE * minutes, "{what}: not served after {took:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_lives_for_days_under_a_clock_that_jumps() {
    let world = World::start().await;
    for hour in 0..27 {
        world.is_served_within(5, &format!("after {hour} hours")).await;
        for _ in 0..60 {
            world.time.advance(MINUTE);
            Clock::system().sleep(Duration::from_millis(5)).await;
        }
    }
    // As after a suspension, and when a clock that was wrong is put right.
    for (what, now) in [
        ("a weekend later", world.now() + 60 * HOUR),
        ("an hour back", world.now() + 59 * HOUR),
        ("a day back", world.now() + 35 * HOUR),
    ] {
        world.time.set(now);
        world.is_served_within(15, what).await;
    }
}
