//! One valid request for each call, over a cluster that is furnished for it: an administrator's succeeds, and everybody
//! else's is refused for who they are, not for what they sent.

use api::{
    convert::{
        app, app_server, audit_event, auth_preference, bot as bot_wire, cert_authority, lock as lock_wire,
        networking_config, role as role_wire, session_recording_config, token as token_wire, user as user_wire,
    },
    r#gen::{
        proto,
        teleport::{
            auditlog::v1 as auditlog, clusterconfig::v1 as settings, machineid::v1 as machine, trust::v1 as trust,
            users::v1 as users,
        },
        tessera::v1 as tessera,
        types,
    },
    methods::{
        Method,
        proto::auth_service as auth,
        teleport::{
            auditlog::v1::audit_log_service as audit_log,
            clusterconfig::v1::cluster_config_service as config,
            machineid::v1::{bot_instance_service as instances, bot_service as bots},
            trust::v1::trust_service as authorities,
            users::v1::users_service as people_calls,
        },
        tessera::v1 as own,
    },
};
use client::Client;
use domain::{
    Resource,
    ca::CaType,
    resources::{
        App, AppServer, AuthPreference, Bot, BotInstance, CertAuthority, Lock, NetworkingConfig, Role,
        SessionRecordingConfig, Token, User,
    },
};
use keystore::SealingKey;
use prost::Message;
use serde_json::{Value, json};
use testkit::Cluster;

use super::people::{self, document};

/// What somebody whose roles allow nothing gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nobody {
    /// PERMISSION_DENIED.
    Denied,
    /// NOT_FOUND, as for what is not there.
    Hidden,
    /// An answer with nothing of the cluster's in it.
    Empty,
    /// What everybody of the cluster may see or have: its settings, its authorities without keys, their own user.
    Own,
}

/// A valid request.
pub(crate) struct Call {
    pub(crate) path: &'static str,
    pub(crate) message: Vec<u8>,
    /// The same for something that is not there; a read only.
    pub(crate) absent: Option<Vec<u8>>,
    /// The name of what is read.
    pub(crate) name: &'static str,
    pub(crate) nobody: Nobody,
    /// The audit event of its success; empty for what leaves none.
    pub(crate) event: &'static str,
}

/// The name of nothing.
pub(crate) const ABSENT: &str = "no-such-thing";

/// Calls whose answer is that they are not supported yet, for whoever may ask.
pub(crate) const LATER: &[&str] =
    &[authorities::RotateCertAuthority::PATH, authorities::RotateExternalCertAuthority::PATH];

/// Calls that only bots or people make for themselves; the flows of these make them.
pub(crate) const OF_USERS: &[&str] = &[instances::SubmitHeartbeat::PATH, auth::CreateAppSession::PATH];

fn change<M: Method>(event: &'static str, message: M::Request) -> Call {
    Call { path: M::PATH, message: message.encode_to_vec(), absent: None, name: "", nobody: Nobody::Denied, event }
}

fn read<M: Method>(nobody: Nobody, message: M::Request) -> Call {
    Call { path: M::PATH, message: message.encode_to_vec(), absent: None, name: "", nobody, event: "" }
}

/// A read of one thing by its name.
fn one<M: Method>(nobody: Nobody, name: &'static str, message: impl Fn(&str) -> M::Request) -> Call {
    let absent = Some(message(ABSENT).encode_to_vec());
    Call { absent, name, ..read::<M>(nobody, message(name)) }
}

/// Everything that the requests name.
pub(crate) struct Stage {
    role: Role,
    user: User,
    app: App,
    preference: AuthPreference,
    networking: NetworkingConfig,
    recording: SessionRecordingConfig,
    host_authority: CertAuthority,
    foreign: CertAuthority,
    instance: String,
    /// The ids of sessions: one to be read, one to be ended.
    sessions: [String; 2],
}

fn a_role(name: &str) -> Role {
    document(
        json!({"kind": "role", "version": "v7", "metadata": {"name": name}, "spec": {"allow": {"logins": ["root"]}}}),
    )
}

fn a_user(name: &str) -> User {
    document(json!({"kind": "user", "version": "v2", "metadata": {"name": name}, "spec": {"roles": ["access"]}}))
}

fn a_bot(name: &str) -> Bot {
    document(json!({"kind": "bot", "version": "v1", "metadata": {"name": name}, "spec": {"roles": ["access"]}}))
}

fn a_token(name: &str) -> Token {
    document(json!({
        "kind": "token", "version": "v2", "metadata": {"name": name},
        "spec": {"roles": ["Bot"], "join_method": "token", "bot_name": "machine"}
    }))
}

fn a_lock(name: &str) -> Lock {
    document(
        json!({"kind": "lock", "version": "v2", "metadata": {"name": name}, "spec": {"target": {"user": "mallory"}}}),
    )
}

fn an_app(name: &str) -> App {
    document(json!({"kind": "app", "version": "v3", "metadata": {"name": name}, "spec": {"uri": "http://127.0.0.1:1"}}))
}

fn a_server(name: &str) -> AppServer {
    document(json!({
        "kind": "app_server", "version": "v3", "metadata": {"name": name},
        "spec": {"version": "18.0.0", "hostname": "here", "host_id": "2d1e8f5c-0000-4000-8000-000000000001",
                 "app": {"kind": "app", "version": "v3", "metadata": {"name": name}, "spec": {"uri": "http://127.0.0.1:1"}}}
    }))
}

/// Makes what the requests name; everything that one of them changes or deletes is there for it alone.
pub(crate) async fn furnish(cluster: &Cluster) -> Stage {
    let admin = cluster.admin().await;
    for name in ["kept", "to-update", "to-delete"] {
        people::role(&admin, name, json!({"allow": {"logins": ["root"]}})).await;
        people::user(&admin, name, &["access"], 60).await;
        people::lock(&admin, name, json!({"user": "mallory"})).await;
    }
    for name in ["machine", "to-update", "to-delete"] {
        people::bot(&admin, name, &["access"]).await;
    }
    for name in ["join-kept", "join-to-delete", "join-now"] {
        people::bot_token(&admin, name, "machine").await;
    }
    people::join(cluster, "join-now").await.unwrap();
    for name in ["kept", "to-update", "to-delete"] {
        admin.call::<auth::CreateApp>(app::to_wire(&an_app(name))).await.unwrap();
        serve(&admin, name).await;
    }
    people::role(&admin, "reaching", json!({"allow": {"app_labels": {"*": "*"}}})).await;
    for name in ["visitor", "visitor-2"] {
        people::user(&admin, name, &["reaching"], 60).await;
    }
    let sessions = [session(&admin, "visitor").await, session(&admin, "visitor").await];
    session(&admin, "visitor-2").await;
    let store = cluster.server().auth().store();
    let gone = foreign_authority("gone.example").await;
    let request = trust::UpsertCertAuthorityRequest { cert_authority: Some(cert_authority::to_wire(&gone)) };
    admin.call::<authorities::UpsertCertAuthority>(request).await.unwrap();
    let mut role: Role = store.fetch("to-update").await.unwrap();
    role.metadata.description = "changed".into();
    let instance = store.all::<BotInstance>().await.unwrap().remove(0).spec.instance_id;
    let host_authority =
        store.get_in::<CertAuthority>("host", "test.example").await.unwrap().unwrap().without_secrets();
    Stage {
        role,
        user: store.fetch("to-update").await.unwrap(),
        app: store.fetch("to-update").await.unwrap(),
        preference: store.fetch("cluster-auth-preference").await.unwrap(),
        networking: store.fetch("cluster-networking-config").await.unwrap(),
        recording: store.fetch("session-recording-config").await.unwrap(),
        host_authority,
        foreign: foreign_authority("other.example").await,
        instance,
        sessions,
    }
}

/// Announces an application.
pub(crate) async fn serve(admin: &Client, name: &str) {
    let server = Some(app_server::to_wire(&a_server(name)));
    admin.call::<auth::UpsertApplicationServer>(proto::UpsertApplicationServerRequest { server }).await.unwrap();
}

/// The id of a new session with the application that is kept.
async fn session(admin: &Client, user: &str) -> String {
    let key = people::key();
    let request = proto::UserCertsRequest {
        username: user.into(),
        tls_public_key: key.public().to_pem().into_bytes(),
        expires: Some(people::in_seconds(600)),
        route_to_app: Some(proto::RouteToApp { name: "kept".into(), ..Default::default() }),
        ..Default::default()
    };
    let certs = admin.call::<auth::GenerateUserCerts>(request).await.unwrap();
    let subject = people::Person::from_certs(key, &certs).certificate.subject().to_vec();
    domain::identity::Identity::from_subject(&subject).unwrap().route_to_app.session_id
}

async fn foreign_authority(cluster: &str) -> CertAuthority {
    let random = crypto::Random::system();
    let keys = keystore::SoftwareKeyStore::new(vec![SealingKey::generate(&random).0], random.clone()).unwrap();
    let clock = clock::Clock::system();
    let suite = domain::suite::Suite::BalancedV1;
    let made = ca::authority::new_authority(CaType::Host, cluster, suite, &keys, &clock, &random).await.unwrap();
    let mut made = made.without_secrets();
    made.set_defaults();
    made
}

/// A valid request for each call, in an order in which an administrator's all succeed.
pub(crate) fn all(stage: &Stage) -> Vec<Call> {
    [
        open_to_all(),
        roles(stage),
        users(stage),
        tokens(),
        bots(stage),
        locks(),
        apps(stage),
        servers(),
        hosts(),
        public_certificates(),
        sessions(stage),
        settings_of(stage),
        authorities_of(stage),
        audit_log(),
        tools(),
        certificates(),
        later(),
        deletions(stage),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn open_to_all() -> Vec<Call> {
    vec![
        read::<auth::Ping>(Nobody::Own, proto::PingRequest {}),
        read::<auth::GetDomainName>(Nobody::Own, ()),
        read::<auth::GetClusterCaCert>(Nobody::Own, ()),
    ]
}

fn roles(stage: &Stage) -> Vec<Call> {
    let wire = |name: &str| Some(role_wire::to_wire(&a_role(name)));
    vec![
        change::<auth::CreateRole>("role.created", proto::CreateRoleRequest { role: wire("made") }),
        change::<auth::UpdateRole>(
            "role.updated",
            proto::UpdateRoleRequest { role: Some(role_wire::to_wire(&stage.role)) },
        ),
        change::<auth::UpsertRoleV2>("role.created", proto::UpsertRoleRequest { role: wire("made-2") }),
        change::<auth::UpsertRole>("role.created", role_wire::to_wire(&a_role("made-3"))),
        one::<auth::GetRole>(Nobody::Denied, "kept", |name| proto::GetRoleRequest { name: name.into() }),
        read::<auth::ListRoles>(Nobody::Denied, proto::ListRolesRequest::default()),
        read::<auth::GetCurrentUserRoles>(Nobody::Own, ()),
    ]
}

fn users(stage: &Stage) -> Vec<Call> {
    let wire = |name: &str| Some(user_wire::to_wire(&a_user(name)));
    let get = |name: &str| users::GetUserRequest { name: name.into(), ..Default::default() };
    let secrets = |name: &str| users::GetUserRequest { name: name.into(), with_secrets: true, ..Default::default() };
    vec![
        change::<people_calls::CreateUser>("user.create", users::CreateUserRequest { user: wire("made") }),
        change::<people_calls::UpdateUser>(
            "user.update",
            users::UpdateUserRequest { user: Some(user_wire::to_wire(&stage.user)) },
        ),
        change::<people_calls::UpsertUser>("user.create", users::UpsertUserRequest { user: wire("made-2") }),
        one::<people_calls::GetUser>(Nobody::Denied, "kept", get),
        one::<people_calls::GetUser>(Nobody::Denied, "kept", secrets),
        read::<people_calls::ListUsers>(Nobody::Denied, users::ListUsersRequest::default()),
        read::<auth::GetInventoryStatus>(Nobody::Denied, proto::InventoryStatusRequest { connected: true }),
        read::<auth::GetResetPasswordToken>(
            Nobody::Hidden,
            proto::GetResetPasswordTokenRequest { token_id: "0123456789abcdef0123456789abcdef".into() },
        ),
        change::<auth::CreateResetPasswordToken>(
            "reset_password_token.create",
            proto::CreateResetPasswordTokenRequest {
                name: "kept".into(),
                r#type: "invite".into(),
                ttl: 60_000_000_000,
            },
        ),
    ]
}

fn tokens() -> Vec<Call> {
    let made = proto::create_token_v2_request::Token::V2(token_wire::to_wire(&a_token("made")));
    let upserted = proto::upsert_token_v2_request::Token::V2(token_wire::to_wire(&a_token("made-2")));
    vec![
        change::<auth::CreateTokenV2>("join_token.create", proto::CreateTokenV2Request { token: Some(made) }),
        change::<auth::UpsertTokenV2>("join_token.create", proto::UpsertTokenV2Request { token: Some(upserted) }),
        one::<auth::GetToken>(Nobody::Denied, "join-kept", |name| types::ResourceRequest { name: name.into() }),
        read::<auth::GetTokens>(Nobody::Denied, ()),
        read::<auth::ListProvisionTokens>(Nobody::Denied, proto::ListProvisionTokensRequest::default()),
        read::<auth::GetStaticTokens>(Nobody::Denied, ()),
    ]
}

fn bots(stage: &Stage) -> Vec<Call> {
    let wire = |name: &str| Some(bot_wire::to_wire(&a_bot(name)));
    let instance = |id: &str| machine::GetBotInstanceRequest { bot_name: "machine".into(), instance_id: id.into() };
    let mask = prost_types::FieldMask { paths: vec!["spec.roles".into()] };
    vec![
        change::<bots::CreateBot>("bot.create", machine::CreateBotRequest { bot: wire("made") }),
        change::<bots::UpdateBot>(
            "bot.update",
            machine::UpdateBotRequest { bot: wire("to-update"), update_mask: Some(mask) },
        ),
        change::<bots::UpsertBot>("bot.create", machine::UpsertBotRequest { bot: wire("made-2") }),
        one::<bots::GetBot>(Nobody::Denied, "machine", |name| machine::GetBotRequest { bot_name: name.into() }),
        read::<bots::ListBots>(Nobody::Denied, machine::ListBotsRequest::default()),
        Call {
            absent: Some(instance(ABSENT).encode_to_vec()),
            ..read::<instances::GetBotInstance>(Nobody::Denied, instance(&stage.instance))
        },
        read::<instances::ListBotInstances>(Nobody::Denied, machine::ListBotInstancesRequest::default()),
        read::<instances::ListBotInstancesV2>(Nobody::Denied, machine::ListBotInstancesV2Request::default()),
    ]
}

fn locks() -> Vec<Call> {
    vec![
        change::<auth::UpsertLock>("lock.created", lock_wire::to_wire(&a_lock("made"))),
        one::<auth::GetLock>(Nobody::Denied, "kept", |name| proto::GetLockRequest { name: name.into() }),
        read::<auth::GetLocks>(Nobody::Denied, proto::GetLocksRequest::default()),
        read::<auth::ListLocks>(Nobody::Denied, proto::ListLocksRequest::default()),
    ]
}

fn apps(stage: &Stage) -> Vec<Call> {
    vec![
        change::<auth::CreateApp>("app.create", app::to_wire(&an_app("made"))),
        change::<auth::UpdateApp>("app.update", app::to_wire(&stage.app)),
        one::<auth::GetApp>(Nobody::Hidden, "kept", |name| types::ResourceRequest { name: name.into() }),
        read::<auth::GetApps>(Nobody::Empty, ()),
        read::<auth::ListApps>(Nobody::Empty, proto::ListAppsRequest::default()),
    ]
}

fn servers() -> Vec<Call> {
    let server = Some(app_server::to_wire(&a_server("made")));
    let alive = types::KeepAlive {
        name: "kept".into(),
        namespace: "default".into(),
        expires: Some(people::in_seconds(600)),
        r#type: types::keep_alive::KeepAliveType::App.into(),
        host_id: a_server("kept").spec.host_id,
    };
    let list = proto::ListResourcesRequest { resource_type: "app_server".into(), limit: 10, ..Default::default() };
    vec![
        change::<auth::UpsertApplicationServer>("", proto::UpsertApplicationServerRequest { server }),
        change::<auth::SendKeepAlives>("", alive),
        read::<auth::ListResources>(Nobody::Empty, list),
    ]
}

fn hosts() -> Vec<Call> {
    let key = people::key();
    let host_id = || "2d1e8f5c-0000-4000-8000-000000000003".to_owned();
    let certificates = proto::HostCertsRequest {
        host_id: host_id(),
        role: "App".into(),
        public_tls_key: key.public().to_pem().into_bytes(),
        public_ssh_key: key.public().to_authorized_key().into_bytes(),
        ..Default::default()
    };
    let proxy = Some(tessera::ProxyServer { host_id: host_id(), ..Default::default() });
    vec![
        change::<auth::GenerateHostCerts>("cert.create", certificates),
        change::<own::presence::UpsertProxy>("", tessera::UpsertProxyRequest { proxy }),
        read::<own::presence::ListProxies>(Nobody::Denied, tessera::ListProxiesRequest {}),
    ]
}

fn public_certificates() -> Vec<Call> {
    use own::public_certificates as public;
    let name = || "proxy.example".to_owned();
    let directory = || "https://acme.example/directory".to_owned();
    let made = rcgen::generate_simple_self_signed(vec![name()]).unwrap();
    let private_key = || made.signing_key.serialize_der();
    let certificate = tessera::PublicCertificate { name: name(), chain: made.cert.pem(), private_key: private_key() };
    let id = "https://acme.example/account/1".to_owned();
    let account = tessera::AcmeAccount { directory: directory(), id, private_key: private_key() };
    let claim = tessera::ClaimPublicCertificateRequest {
        name: name(),
        holder: "one".to_owned(),
        seconds: 60,
        ..Default::default()
    };
    let challenge = tessera::AcmeChallenge { name: name(), token: "t".to_owned(), key_authorization: "t.k".to_owned() };
    vec![
        change::<public::Store>(
            "tessera.public_certificate.store",
            tessera::StorePublicCertificateRequest { certificate: Some(certificate) },
        ),
        read::<public::List>(Nobody::Denied, tessera::ListPublicCertificatesRequest {}),
        change::<public::StoreAccount>(
            "tessera.acme_account.store",
            tessera::StoreAcmeAccountRequest { account: Some(account) },
        ),
        read::<public::GetAccount>(Nobody::Denied, tessera::GetAcmeAccountRequest { directory: directory() }),
        change::<public::Claim>("", claim),
        change::<public::StoreChallenge>("", tessera::StoreAcmeChallengeRequest { challenge: Some(challenge) }),
        read::<public::GetChallenge>(Nobody::Denied, tessera::GetAcmeChallengeRequest { name: name() }),
    ]
}

fn sessions(stage: &Stage) -> Vec<Call> {
    let id = || stage.sessions[0].clone();
    let with = |name: &str| proto::CreateAppSessionRequest { app_name: name.into(), ..Default::default() };
    let token = proto::GenerateAppTokenRequest {
        username: "visitor".into(),
        uri: "http://127.0.0.1:1".into(),
        ..Default::default()
    };
    vec![
        one::<auth::CreateAppSession>(Nobody::Hidden, "kept", with),
        read::<auth::GetAppSession>(Nobody::Denied, proto::GetAppSessionRequest { session_id: id() }),
        read::<auth::ListAppSessions>(Nobody::Denied, proto::ListAppSessionsRequest::default()),
        read::<auth::GenerateAppToken>(Nobody::Denied, token),
        read::<own::app_sessions::Fetch>(Nobody::Denied, tessera::FetchAppSessionRequest { session_id: id() }),
        read::<own::app_sessions::Live>(Nobody::Denied, tessera::AppSessionLiveRequest { session_id: id() }),
        read::<own::app_sessions::Assertion>(
            Nobody::Denied,
            tessera::AppAssertionRequest { session_id: id(), app_name: "kept".into() },
        ),
        read::<own::app_sessions::Report>(Nobody::Denied, tessera::AppSessionReportRequest::default()),
    ]
}

fn settings_of(stage: &Stage) -> Vec<Call> {
    let preference = || Some(auth_preference::to_wire(&stage.preference));
    let networking = || Some(networking_config::to_wire(&stage.networking));
    let recording = || Some(session_recording_config::to_wire(&stage.recording));
    vec![
        read::<config::GetAuthPreference>(Nobody::Own, settings::GetAuthPreferenceRequest {}),
        read::<config::GetClusterNetworkingConfig>(Nobody::Denied, settings::GetClusterNetworkingConfigRequest {}),
        read::<config::GetSessionRecordingConfig>(Nobody::Denied, settings::GetSessionRecordingConfigRequest {}),
        read::<config::GetClusterAuditConfig>(Nobody::Denied, settings::GetClusterAuditConfigRequest {}),
        read::<auth::GetClusterAuditConfig>(Nobody::Denied, ()),
        change::<config::UpdateAuthPreference>(
            "auth_preference.update",
            settings::UpdateAuthPreferenceRequest { auth_preference: preference() },
        ),
        change::<config::UpsertAuthPreference>(
            "auth_preference.update",
            settings::UpsertAuthPreferenceRequest { auth_preference: preference() },
        ),
        change::<config::ResetAuthPreference>("auth_preference.update", settings::ResetAuthPreferenceRequest {}),
        change::<config::UpdateClusterNetworkingConfig>(
            "cluster_networking_config.update",
            settings::UpdateClusterNetworkingConfigRequest { cluster_network_config: networking() },
        ),
        change::<config::UpsertClusterNetworkingConfig>(
            "cluster_networking_config.update",
            settings::UpsertClusterNetworkingConfigRequest { cluster_network_config: networking() },
        ),
        change::<config::ResetClusterNetworkingConfig>("cluster_networking_config.update", Default::default()),
        change::<config::UpdateSessionRecordingConfig>(
            "session_recording_config.update",
            settings::UpdateSessionRecordingConfigRequest { session_recording_config: recording() },
        ),
        change::<config::UpsertSessionRecordingConfig>(
            "session_recording_config.update",
            settings::UpsertSessionRecordingConfigRequest { session_recording_config: recording() },
        ),
        change::<config::ResetSessionRecordingConfig>("session_recording_config.update", Default::default()),
    ]
}

fn authorities_of(stage: &Stage) -> Vec<Call> {
    let get = |include_key| trust::GetCertAuthorityRequest {
        r#type: "host".into(),
        domain: "test.example".into(),
        include_key,
    };
    let list = |include_key| trust::GetCertAuthoritiesRequest { r#type: "host".into(), include_key };
    let authority = |authority: &CertAuthority| Some(cert_authority::to_wire(authority));
    vec![
        read::<authorities::GetCertAuthority>(Nobody::Own, get(false)),
        read::<authorities::GetCertAuthorities>(Nobody::Own, list(false)),
        change::<authorities::UpsertCertAuthority>(
            "tessera.cert_authority.create",
            trust::UpsertCertAuthorityRequest { cert_authority: authority(&stage.foreign) },
        ),
        change::<authorities::UpsertCertAuthority>(
            "tessera.cert_authority.update",
            trust::UpsertCertAuthorityRequest { cert_authority: authority(&stage.host_authority) },
        ),
        change::<authorities::GenerateHostCert>(
            "cert.create",
            trust::GenerateHostCertRequest {
                key: people::key().public().to_authorized_key().into_bytes(),
                host_id: "2d1e8f5c-0000-4000-8000-000000000002".into(),
                node_name: "here".into(),
                principals: vec!["here.example".into()],
                cluster_name: "test.example".into(),
                role: "Node".into(),
                ttl: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            },
        ),
        change::<own::keys_service::ExportKeys>(
            "tessera.cert_authority.export_keys",
            tessera::ExportKeysRequest { r#type: "user".into() },
        ),
    ]
}

fn audit_log() -> Vec<Call> {
    let now = || Some(people::in_seconds(0));
    let event = json!({
        "event": "user.login", "code": "T1000I", "ei": 0, "uid": "", "time": "2026-01-01T00:00:00Z",
        "user": "kept", "method": "local", "success": true
    });
    let Value::Object(event) = event else { unreachable!() };
    vec![
        read::<auth::GetEvents>(Nobody::Denied, proto::GetEventsRequest { limit: 10, ..Default::default() }),
        read::<auth::GetSessionEvents>(
            Nobody::Denied,
            proto::GetSessionEventsRequest { limit: 10, ..Default::default() },
        ),
        read::<audit_log::GetUnstructuredEvents>(
            Nobody::Denied,
            auditlog::GetUnstructuredEventsRequest { limit: 10, ..Default::default() },
        ),
        read::<audit_log::GetEventExportChunks>(Nobody::Denied, auditlog::GetEventExportChunksRequest { date: now() }),
        read::<audit_log::ExportUnstructuredEvents>(
            Nobody::Denied,
            auditlog::ExportUnstructuredEventsRequest { date: now(), chunk: "day".into(), cursor: String::new() },
        ),
        read::<own::audit_service::Verify>(Nobody::Denied, tessera::VerifyRequest::default()),
        read::<own::audit_service::ExportChain>(Nobody::Denied, tessera::ExportChainRequest::default()),
        change::<auth::EmitAuditEvent>("user.login", audit_event::to_one_of(&event).expect("a known event")),
    ]
}

fn tools() -> Vec<Call> {
    let kinds = vec![types::WatchKind { kind: "role".into(), ..Default::default() }];
    let subject = Some(tessera::explain_request::Subject::User("kept".into()));
    vec![
        read::<auth::WatchEvents>(Nobody::Denied, proto::Watch { kinds, allow_partial_success: false }),
        read::<auth::GetAccessCapabilities>(Nobody::Empty, Default::default()),
        read::<auth::GetClusterAlerts>(Nobody::Empty, Default::default()),
        read::<auth::CreateAuthenticateChallenge>(Nobody::Own, Default::default()),
        read::<auth::IsMfaRequired>(Nobody::Own, Default::default()),
        read::<own::cluster_service::Status>(Nobody::Own, tessera::StatusRequest {}),
        read::<own::crl_service::Export>(
            Nobody::Denied,
            tessera::ExportCrlRequest { r#type: "user".into(), format: "crl".into() },
        ),
        read::<own::access_service::Explain>(
            Nobody::Denied,
            tessera::ExplainRequest { verb: "read".into(), kind: "role".into(), subject, ..Default::default() },
        ),
    ]
}

fn certificates() -> Vec<Call> {
    let request = proto::UserCertsRequest {
        username: "kept".into(),
        tls_public_key: people::key().public().to_pem().into_bytes(),
        expires: Some(people::in_seconds(60)),
        ..Default::default()
    };
    vec![change::<auth::GenerateUserCerts>("cert.create", request)]
}

/// Whoever may ask is told that it is not supported yet.
fn later() -> Vec<Call> {
    vec![
        change::<authorities::RotateCertAuthority>(
            "",
            trust::RotateCertAuthorityRequest { r#type: "user".into(), ..Default::default() },
        ),
        change::<authorities::RotateExternalCertAuthority>("", Default::default()),
        change::<instances::SubmitHeartbeat>(
            "",
            machine::SubmitHeartbeatRequest { heartbeat: Some(Default::default()), service_health: Vec::new() },
        ),
    ]
}

fn deletions(stage: &Stage) -> Vec<Call> {
    let name = || "to-delete".to_owned();
    vec![
        change::<auth::DeleteRole>("role.deleted", proto::DeleteRoleRequest { name: name() }),
        change::<people_calls::DeleteUser>("user.delete", users::DeleteUserRequest { name: name() }),
        change::<auth::DeleteToken>(
            "tessera.join_token.delete",
            types::ResourceRequest { name: "join-to-delete".into() },
        ),
        change::<bots::DeleteBot>("bot.delete", machine::DeleteBotRequest { bot_name: name() }),
        change::<instances::DeleteBotInstance>(
            "tessera.bot_instance.delete",
            machine::DeleteBotInstanceRequest { bot_name: "machine".into(), instance_id: stage.instance.clone() },
        ),
        change::<auth::DeleteLock>("lock.deleted", proto::DeleteLockRequest { name: name() }),
        change::<auth::DeleteAppSession>(
            "app.session.end",
            proto::DeleteAppSessionRequest { session_id: stage.sessions[1].clone() },
        ),
        change::<auth::DeleteUserAppSessions>(
            "app.session.end",
            proto::DeleteUserAppSessionsRequest { username: "visitor-2".into() },
        ),
        change::<auth::DeleteAllAppSessions>("app.session.end", ()),
        change::<auth::DeleteApp>("app.delete", types::ResourceRequest { name: name() }),
        change::<auth::DeleteAllApps>("app.delete", ()),
        change::<auth::DeleteApplicationServer>(
            "",
            proto::DeleteApplicationServerRequest {
                host_id: a_server("kept").spec.host_id,
                name: name(),
                ..Default::default()
            },
        ),
        change::<auth::DeleteAllApplicationServers>("", Default::default()),
        change::<authorities::DeleteCertAuthority>(
            "tessera.cert_authority.delete",
            trust::DeleteCertAuthorityRequest { r#type: "host".into(), domain: "gone.example".into() },
        ),
        // A session that never was: the answer says so to whoever may ask.
        read::<audit_log::StreamUnstructuredSessionEvents>(
            Nobody::Denied,
            auditlog::StreamUnstructuredSessionEventsRequest { session_id: "none".into(), start_index: 0 },
        ),
    ]
}
