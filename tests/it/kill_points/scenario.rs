//! What bots and an administrator do with a cluster, step by step; and what must be so whenever the server was killed.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use api::{
    r#gen::{
        proto,
        teleport::machineid::v1::{DeleteBotRequest, GetBotInstanceRequest},
        tessera::v1::VerifyRequest,
        types,
    },
    methods::{
        proto::{
            auth_service::{CreateTokenV2, DeleteLock, GenerateUserCerts, GetLocks},
            join_service::RegisterUsingToken,
        },
        teleport::machineid::v1::{bot_instance_service::GetBotInstance, bot_service::DeleteBot},
        tessera::v1::audit_service::Verify,
    },
};
use client::{Client, Credentials, Trust};
use clock::Timestamp;
use crypto::{KeyPair, Random, x509::Certificate};
use domain::{Error, error::Kind as ErrorKind, identity::Identity};
use serde_json::{Value, json};
use testkit::Cluster;

use super::{child::Controls, real};
use crate::support::people::{self, Person};

const BOT: &str = "machine";
const TOKEN: &str = "join";

/// How long the bot's identities live.
const LIFE: Duration = Duration::from_secs(600);

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Up to the authorities: their keys take most of the time of a first start.
    FirstStart,
    /// The rest of it, over the authorities that are there.
    Presets,
    Role,
    Bot,
    Token,
    Join,
    Output,
    Renewal,
    Restart,
    TimePasses,
    Grace,
    Lock,
    Unlock,
    Sweep,
    Stop,
    Delete,
}

impl Step {
    pub(super) const ALL: [Self; 16] = [
        Self::FirstStart,
        Self::Presets,
        Self::Role,
        Self::Bot,
        Self::Token,
        Self::Join,
        Self::Output,
        Self::Renewal,
        Self::Restart,
        Self::TimePasses,
        Self::Grace,
        Self::Lock,
        Self::Unlock,
        Self::Sweep,
        Self::Stop,
        Self::Delete,
    ];

    /// Whether the writes of the start are the ones to die at.
    pub(super) fn counts_from_the_start(self) -> bool {
        matches!(self, Self::FirstStart | Self::Presets | Self::Restart)
    }

    /// Whether the next step goes on where the server was killed after its first write.
    pub(super) fn ends_with_its_first_write(self) -> bool {
        self == Self::FirstStart
    }

    /// How many durable writes this makes at least; fewer, and the test proves less than it says.
    pub(super) fn writes_at_least(self) -> usize {
        match self {
            Self::Presets => 10,
            // Each of them lays links of the audit chain or a checkpoint as well.
            Self::Token | Self::Restart | Self::Delete => 2,
            _ => 1,
        }
    }

    pub(super) async fn carry_out(self, world: &mut World, door: &Door, server: &mut Controls) -> Result<(), Error> {
        match self {
            Self::TimePasses => server.pass(LIFE + Duration::from_secs(60)).await,
            Self::Sweep => server.pass(Duration::from_secs(20 * 60)).await,
            Self::Stop => server.stop().await,
            _ => return self.ask(world, door).await,
        }
        Ok(())
    }

    /// The same after a death: what was done without an answer is found done.
    pub(super) async fn again(self, world: &mut World, door: &Door) -> Result<(), Error> {
        match (self, self.ask(world, door).await) {
            (Self::Bot | Self::Token, Err(error)) if error.kind == ErrorKind::AlreadyExists => Ok(()),
            (Self::Unlock | Self::Delete, Err(error)) if error.kind == ErrorKind::NotFound => Ok(()),
            (_, result) => result,
        }
        .inspect(|()| world.did(self))
    }

    async fn ask(self, world: &mut World, door: &Door) -> Result<(), Error> {
        match self {
            Self::Role => door.role().await?,
            Self::Bot => door.bot().await?,
            Self::Token => door.token(world.now).await?,
            Self::Join => {
                let person = door.join(world, &world.next_key.clone()).await?;
                world.became(person);
            }
            Self::Output => {
                let output = door.output(world.bot(), &world.next_key).await?;
                world.held.push(output.certificate);
            }
            Self::Renewal => {
                let person = door.renew(world, &world.next_key.clone()).await?;
                world.became(person);
            }
            Self::Grace => {
                let client = door.client(Credentials::none()).await?;
                let person = people::renew_in_grace(&client, world.bot(), &world.next_key, world.expires()).await?;
                world.became(person);
            }
            Self::Lock => door.lock(world.instance()).await?,
            Self::Unlock => {
                let admin = door.admin().await?;
                admin.call::<DeleteLock>(proto::DeleteLockRequest { name: "instance".into() }).await?;
            }
            Self::Delete => {
                let admin = door.admin().await?;
                admin.call::<DeleteBot>(DeleteBotRequest { bot_name: BOT.into() }).await?;
            }
            Self::FirstStart | Self::Presets | Self::Restart | Self::TimePasses | Self::Sweep | Self::Stop => {}
        }
        world.did(self);
        Ok(())
    }
}

/// What the bot and the administrator know.
#[derive(Clone)]
pub(super) struct World {
    /// The server's time.
    pub(super) now: Timestamp,
    /// The key of the next question; a question without an answer is asked again with it.
    next_key: KeyPair,
    bot: Option<Person>,
    /// Every certificate that anybody was given.
    held: Vec<Certificate>,
    done: Vec<Step>,
}

impl World {
    pub(super) fn new() -> Self {
        // Two hours ago: the scenario's time passes faster than ours, and clients live by ours.
        let now = real().now() - Duration::from_secs(2 * 3600);
        Self { now, next_key: people::key(), bot: None, held: Vec::new(), done: Vec::new() }
    }

    /// What is decided before the step, so that it is the same each time.
    pub(super) fn prepare(&mut self) {
        self.next_key = people::key();
        self.now += match self.done.last() {
            Some(Step::TimePasses) => LIFE + Duration::from_secs(60),
            Some(Step::Sweep) => Duration::from_secs(20 * 60),
            _ => Duration::from_secs(1),
        };
    }

    fn has(&self, step: Step) -> bool {
        self.done.contains(&step)
    }

    fn did(&mut self, step: Step) {
        if !self.has(step) {
            self.done.push(step);
        }
    }

    fn bot(&self) -> &Person {
        self.bot.as_ref().unwrap()
    }

    fn instance(&self) -> String {
        Identity::from_subject(self.bot().certificate.subject()).unwrap().bot_instance_id
    }

    fn became(&mut self, person: Person) {
        self.held.push(person.certificate.clone());
        self.bot = Some(person);
    }

    fn expires(&self) -> prost_types::Timestamp {
        let end = self.now + LIFE;
        prost_types::Timestamp { seconds: end.as_second(), nanos: 0 }
    }

    /// What must be so after every death.
    pub(super) async fn check(mut self, cluster: &Cluster, door: &Door, what: &str) {
        let admin = door.admin().await.unwrap();
        if self.has(Step::Delete) {
            let key = people::key();
            let error = door.renew(&self, &key).await.err().unwrap_or_else(|| panic!("{what}: a deleted bot renews"));
            assert_eq!(error.kind, ErrorKind::Denied, "{what}: {error:?}");
        } else if self.bot.is_some() {
            self.check_bot(&admin, door, what).await;
        } else if self.has(Step::Token) {
            let person = door.join(&self, &people::key()).await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
            self.became(person);
        }
        if self.bot.is_some() {
            let error = door.join(&self, &people::key()).await.err();
            let error = error.unwrap_or_else(|| panic!("{what}: the token let a second machine in"));
            assert_eq!(error.kind, ErrorKind::Denied, "{what}: {error:?}");
        }
        let locks = admin.call::<GetLocks>(proto::GetLocksRequest::default()).await.unwrap().locks;
        assert!(locks.is_empty(), "{what}: {locks:?}");
        let proof = admin.call::<Verify>(VerifyRequest::default()).await.unwrap();
        assert!(proof.intact, "{what}: {:?}", proof.complaints);
        self.check_records(cluster, what).await;
    }

    async fn check_bot(&mut self, admin: &Client, door: &Door, what: &str) {
        if self.has(Step::Lock) && !self.has(Step::Unlock) {
            let error = door.renew(self, &people::key()).await.err();
            let error = error.unwrap_or_else(|| panic!("{what}: the answered lock is lost"));
            assert_eq!(error.kind, ErrorKind::Denied, "{what}: {error:?}");
            admin.call::<DeleteLock>(proto::DeleteLockRequest { name: "instance".into() }).await.unwrap();
        }
        for _ in 0..2 {
            let before = generation(self.bot());
            let key = people::key();
            let over = self.bot().certificate.not_after() <= self.now;
            let renewed = if over {
                let client = door.client(Credentials::none()).await.unwrap();
                people::renew_in_grace(&client, self.bot(), &key, self.expires()).await
            } else {
                door.renew(self, &key).await
            };
            self.became(renewed.unwrap_or_else(|error| panic!("{what}: a bot that behaved is shut out: {error:?}")));
            assert_eq!(generation(self.bot()), before + 1, "{what}");
        }
        let request = GetBotInstanceRequest { bot_name: BOT.into(), instance_id: self.instance() };
        let instance = admin.call::<GetBotInstance>(request).await.unwrap();
        let recorded = instance.status.unwrap().latest_authentications.last().unwrap().generation;
        assert_eq!(u64::try_from(recorded).unwrap(), generation(self.bot()), "{what}: the server's generation");
    }

    /// Every certificate has its record, and one join came of the token.
    async fn check_records(&self, cluster: &Cluster, what: &str) {
        let mut events: Vec<Value> = Vec::new();
        let backend = cluster.server().auth().store().backend();
        let mut position = None;
        loop {
            let page = backend.journal_read(position, 500).await.unwrap();
            events.extend(
                page.records.iter().map(|record| serde_json::from_slice::<Value>(&record.entry.value).unwrap()),
            );
            position = page.records.last().map(|record| record.position).or(position);
            if !page.more {
                break;
            }
        }
        let restores = events.iter().filter(|event| event["event"] == "tessera.restore.detected").count();
        assert_eq!(restores, 0, "{what}: a death is taken for a restore");
        let joins = events.iter().filter(|event| event["event"] == "bot.join" && event["success"] == true).count();
        assert_eq!(joins, usize::from(self.bot.is_some()), "{what}: joins on record");
        for certificate in &self.held {
            let serial = certificate.serial_hex();
            let is_recorded = events.iter().any(|event| {
                event["event"] == "cert.create"
                    && event["serial_number"]
                        .as_str()
                        .is_some_and(|text| text.replace(':', "").to_lowercase().trim_start_matches('0') == serial)
            });
            assert!(is_recorded, "{what}: certificate {serial} has no record");
        }
    }
}

fn generation(bot: &Person) -> u64 {
    Identity::from_subject(bot.certificate.subject()).unwrap().generation
}

/// Where the server is reached.
pub(super) struct Door {
    address: SocketAddr,
    socket: PathBuf,
    authorities: Vec<Certificate>,
}

impl Door {
    pub(super) fn new(address: SocketAddr, socket: PathBuf, authorities: Vec<Certificate>) -> Self {
        Self { address, socket, authorities }
    }

    pub(super) fn of(cluster: &Cluster) -> Self {
        let server = cluster.server();
        Self::new(server.auth_addr(), server.admin_socket(), server.auth().host_certificates().unwrap())
    }

    async fn admin(&self) -> Result<Client, Error> {
        let socket = format!("unix://{}", self.socket.display());
        Client::connect(client::Config::new([socket], Credentials::none(), real(), Random::system())).await
    }

    async fn client(&self, credentials: Credentials) -> Result<Client, Error> {
        let config = client::Config::new([self.address.to_string()], credentials, real(), Random::system());
        Client::connect(config.with_trust(Trust::Authorities(self.authorities.clone()))).await
    }

    async fn role(&self) -> Result<(), Error> {
        let role: domain::resources::Role = people::document(json!({
            "kind": "role", "version": "v7", "metadata": {"name": "deployer"}, "spec": {"allow": {"logins": ["nobody"]}}
        }));
        let request = proto::UpsertRoleRequest { role: Some(api::convert::role::to_wire(&role)) };
        self.admin().await?.call::<api::methods::proto::auth_service::UpsertRoleV2>(request).await.map(drop)
    }

    async fn bot(&self) -> Result<(), Error> {
        let bot: domain::resources::Bot = people::document(json!({
            "kind": "bot", "version": "v1", "metadata": {"name": BOT}, "spec": {"roles": ["deployer"]}
        }));
        let bot = Some(api::convert::bot::to_wire(&bot));
        let request = api::r#gen::teleport::machineid::v1::CreateBotRequest { bot };
        let admin = self.admin().await?;
        admin.call::<api::methods::teleport::machineid::v1::bot_service::CreateBot>(request).await.map(drop)
    }

    /// The bot's token, and one that the sweeper finds.
    async fn token(&self, now: Timestamp) -> Result<(), Error> {
        let admin = self.admin().await?;
        for (name, life) in [("unused", LIFE), (TOKEN, 10 * LIFE)] {
            let token: domain::resources::Token = people::document(json!({
                "kind": "token", "version": "v2", "metadata": {"name": name, "expires": (now + life).to_string()},
                "spec": {"roles": ["Bot"], "join_method": "token", "bot_name": BOT}
            }));
            let token = proto::create_token_v2_request::Token::V2(api::convert::token::to_wire(&token));
            match admin.call::<CreateTokenV2>(proto::CreateTokenV2Request { token: Some(token) }).await {
                Err(error) if error.kind == ErrorKind::AlreadyExists => {}
                other => other.map(drop)?,
            }
        }
        Ok(())
    }

    async fn join(&self, world: &World, key: &KeyPair) -> Result<Person, Error> {
        let request =
            types::RegisterUsingTokenRequest { expires: Some(world.expires()), ..people::join_request(TOKEN, key) };
        let certs = self.client(Credentials::none()).await?.call::<RegisterUsingToken>(request).await?;
        Ok(Person::from_certs(key.clone(), &certs))
    }

    async fn renew(&self, world: &World, key: &KeyPair) -> Result<Person, Error> {
        self.issue(world.bot(), key, proto::UserCertsRequest { expires: Some(world.expires()), ..Default::default() })
            .await
    }

    async fn output(&self, bot: &Person, key: &KeyPair) -> Result<Person, Error> {
        let request = proto::UserCertsRequest {
            expires: Some(people::in_seconds(0)),
            role_requests: vec!["deployer".into()],
            use_role_requests: true,
            ..Default::default()
        };
        self.issue(bot, key, request).await
    }

    async fn issue(&self, bot: &Person, key: &KeyPair, request: proto::UserCertsRequest) -> Result<Person, Error> {
        let request = proto::UserCertsRequest {
            username: Identity::from_subject(bot.certificate.subject()).unwrap().username,
            tls_public_key: key.public().to_pem().into_bytes(),
            ssh_public_key: key.public().to_authorized_key().into_bytes(),
            ..request
        };
        let certs = self.client(bot.credentials()).await?.call::<GenerateUserCerts>(request).await?;
        Ok(Person::from_certs(key.clone(), &certs))
    }

    async fn lock(&self, instance: String) -> Result<(), Error> {
        let lock: domain::resources::Lock = people::document(json!({
            "kind": "lock", "version": "v2", "metadata": {"name": "instance"},
            "spec": {"target": {"bot_instance_id": instance}}
        }));
        let admin = self.admin().await?;
        let request = api::convert::lock::to_wire(&lock);
        admin.call::<api::methods::proto::auth_service::UpsertLock>(request).await.map(drop)
    }
}
