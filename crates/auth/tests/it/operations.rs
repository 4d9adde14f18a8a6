//! The list of operations against the audit log: what says that it leaves an event, leaves one.

use auth::{
    Auth, Caller, Operation, Trace, apps,
    audit_log::emit::emit,
    authorities::{self, host_certificate::HostCertificate},
    bots,
    certificates::user::{UserCertificates, issue},
    cluster_config, instances,
    joining::host::{HostRenewal, renew},
    locks, roles, tokens, users,
};
use domain::{
    Error,
    resources::{App, AuthPreference, Bot, CertAuthority, Token},
    role::SystemRole,
};

use crate::{
    app_sessions,
    harness::{Cluster, Machine},
    hosts,
    locks::lock,
    people::{role, user},
    public_certificates,
    renewal::in_grace,
};

fn bot(name: &str) -> Bot {
    let mut bot = Bot::new(name, Default::default());
    bot.spec.roles = vec!["deployer".into()];
    bot
}

fn token(name: &str) -> Token {
    let mut token = Token::new(name, Default::default());
    token.spec.roles = vec![SystemRole::Bot];
    token.spec.bot_name = "ci".into();
    token
}

fn app() -> App {
    let mut app = App::new("app", Default::default());
    app.spec.uri = "http://127.0.0.1:1".into();
    app
}

async fn foreign(auth: &Auth, admin: &Caller) -> CertAuthority {
    let mut authority = authorities::read::read(auth, admin, "db", "", false).await.unwrap();
    authority.metadata.name = "other.example".into();
    authority.spec.cluster_name = "other.example".into();
    authority
}

/// Does one thing of each kind, in the order of the list: what is updated and deleted was created before.
async fn perform(cluster: &Cluster, operation: Operation) -> Result<(), Error> {
    let (auth, admin) = (&*cluster.auth, &cluster.admin());
    let key = Machine::new();
    match operation {
        Operation::Join => cluster.join(&cluster.token("join").await, &key).await.map(drop),
        Operation::IssueUserCertificates => {
            let tls_key = Some(key.tls.public().clone());
            let request = UserCertificates { username: "anna".into(), tls_key, ..UserCertificates::default() };
            issue(auth, admin, request).await.map(drop)
        }
        Operation::IssueHostCertificate => {
            let request = HostCertificate {
                key: key.ssh.public().clone(),
                host_id: "h".into(),
                node_name: String::new(),
                principals: Vec::new(),
                role: SystemRole::Node,
                ttl: Default::default(),
            };
            authorities::host_certificate::host_certificate(auth, admin, request).await.map(drop)
        }
        Operation::RenewInGrace => {
            let held = cluster.join(&cluster.token("grace").await, &key).await?;
            in_grace(cluster, &held, &key, &Machine::new()).await.map(drop)
        }
        Operation::CreateRole => roles::create(auth, admin, role("r", vec![])).await.map(drop),
        Operation::UpdateRole => roles::update(auth, admin, roles::get(auth, admin, "r").await?).await.map(drop),
        Operation::UpsertRole => roles::upsert(auth, admin, role("r", vec![])).await.map(drop),
        Operation::DeleteRole => roles::delete(auth, admin, "r").await,
        Operation::CreateUser => users::create(auth, admin, user("u", &["deployer"])).await.map(drop),
        Operation::UpdateUser => {
            let stored = auth.store().fetch("u").await?;
            users::update(auth, admin, stored).await.map(drop)
        }
        Operation::UpsertUser => users::upsert(auth, admin, user("u", &["deployer"])).await.map(drop),
        Operation::CreateUserToken => users::invite(auth, admin, "u", users::Purpose::Invite, None).await.map(drop),
        Operation::DeleteUser => users::delete(auth, admin, "u").await,
        Operation::CreateToken => tokens::create(auth, admin, token("t")).await.map(drop),
        Operation::UpsertToken => tokens::upsert(auth, admin, token("t")).await.map(drop),
        Operation::DeleteToken => tokens::delete(auth, admin, "t").await,
        Operation::CreateBot => bots::create(auth, admin, bot("b")).await.map(drop),
        Operation::UpdateBot => bots::update(auth, admin, &bot("b"), &[bots::Field::Description]).await.map(drop),
        Operation::UpsertBot => bots::upsert(auth, admin, bot("b")).await.map(drop),
        Operation::DeleteBot => bots::delete(auth, admin, "b").await,
        Operation::DeleteBotInstance => {
            let held = cluster.join(&cluster.token("gone").await, &key).await?;
            let instance = cluster.caller(&held)?.identity().bot_instance_id.clone();
            instances::delete(auth, admin, "ci", &instance).await
        }
        Operation::UpsertLock => {
            locks::upsert(auth, admin, lock("l", |target| target.user = "x".into())).await.map(drop)
        }
        Operation::DeleteLock => locks::delete(auth, admin, "l").await,
        Operation::UpdateClusterConfig => cluster_config::reset::reset::<AuthPreference>(auth, admin).await.map(drop),
        Operation::UpsertAuthority => {
            authorities::upsert::upsert(auth, admin, foreign(auth, admin).await).await.map(drop)
        }
        Operation::DeleteAuthority => authorities::delete::delete(auth, admin, "db", "other.example").await,
        Operation::ExportKeys => authorities::export_keys::export_keys(auth, admin, "user").await.map(drop),
        Operation::CreateApp => apps::create::create(auth, admin, app()).await.map(drop),
        Operation::UpdateApp => apps::update::update(auth, admin, app()).await.map(drop),
        Operation::DeleteApp => apps::delete::delete(auth, admin, "app").await,
        Operation::IssueHostIdentity => {
            let (tls_key, ssh_key) = (key.tls.public().clone(), key.ssh.public().clone());
            let request = HostRenewal { role: SystemRole::App, names: hosts::names(hosts::THIRD), tls_key, ssh_key };
            renew(auth, admin, request).await.map(drop)
        }
        Operation::CreateAppSession => app_sessions::cookie(cluster).await.map(drop),
        Operation::DeleteAppSession => auth::app_sessions::end::end_all(auth, admin).await,
        Operation::StorePublicCertificate => public_certificates::keep_one(cluster, admin).await,
        Operation::StoreAcmeAccount => public_certificates::keep_account(cluster, admin).await,
        Operation::EmitEvent => {
            let event = serde_json::json!({"event": "session.data", "code": "T2006I"});
            emit(auth, admin, event.as_object().unwrap().clone()).await
        }
        other => panic!("{other:?} leaves an event, so this test must know how to do it"),
    }
}

#[tokio::test]
async fn every_operation_that_promises_an_event_leaves_one() {
    let cluster = Cluster::start().await;
    cluster.with_bot().await;
    let admin = cluster.admin();
    users::create(&cluster.auth, &admin, user("anna", &["deployer"])).await.unwrap();
    cluster.settle().await;
    // A user's invitation needs the user, whom the list deletes before it.
    let mut order: Vec<Operation> =
        Operation::ALL.iter().copied().filter(|operation| operation.trace() == Trace::Event).collect();
    order.sort_by_key(|operation| match operation {
        Operation::DeleteUser => Operation::CreateUserToken,
        Operation::CreateUserToken => Operation::DeleteUser,
        other => *other,
    });
    for operation in order {
        let before = cluster.events().await.len();
        perform(&cluster, operation).await.unwrap_or_else(|error| panic!("{operation:?}: {error}"));
        let after = cluster.events().await.len();
        assert!(after > before, "{operation:?} left no event");
        cluster.settle().await;
    }
}
