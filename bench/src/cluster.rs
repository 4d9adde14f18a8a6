//! The people of a cluster: an administrator, bots, and what they ask for.

use std::time::Duration;

use anyhow::Context as _;
use api::{
    convert::Wire,
    r#gen::{
        proto::{self, CreateRoleRequest, CreateTokenV2Request, create_token_v2_request},
        teleport::machineid::v1::CreateBotRequest,
        types::RegisterUsingTokenRequest,
    },
    methods::{
        proto::{
            auth_service::{CreateRole, CreateTokenV2, GenerateUserCerts},
            join_service::RegisterUsingToken,
        },
        teleport::machineid::v1::bot_service::CreateBot,
    },
};
use client::{Client, Config, Credentials, Trust, fetch_authorities};
use clock::{Clock, Timestamp};
use crypto::{Algorithm, KeyPair, Random, x509::Certificate};
use domain::{
    Resource,
    resources::{
        Bot, Role, Token,
        bot::BotSpec,
        role::{RoleConditions, RoleSpec, Rule},
        token::TokenSpec,
    },
    role::SystemRole,
};

use crate::server::Server;

/// The role that bots take on.
pub(crate) const ROLE: &str = "deployer";

/// How long certificates live: long enough that none ends during a measurement.
const TTL: Duration = Duration::from_secs(3600);

/// A server with somebody to talk to it.
pub(crate) struct Cluster {
    pub(crate) server: Server,
    pub(crate) admin: Client,
    authorities: Vec<Certificate>,
}

/// A machine that has joined, with its keys made beforehand.
pub(crate) struct Machine {
    pub(crate) user: String,
    pub(crate) credentials: Credentials,
    /// For X.509, and for SSH.
    keys: (KeyPair, KeyPair),
}

impl Cluster {
    /// Learns the authorities of a running server.
    pub(crate) async fn of(server: Server) -> anyhow::Result<Self> {
        let socket = config([server.admin_socket()], Credentials::none());
        let admin = Client::connect(socket).await.context("the administrator's socket")?;
        let anonymous = config([server.address()], Credentials::none()).with_trust(Trust::DangerAnything);
        let authorities = fetch_authorities(&anonymous).await?;
        Ok(Self { server, admin, authorities })
    }

    /// Authorities of hosts.
    pub(crate) fn authorities(&self) -> &[Certificate] {
        &self.authorities
    }

    /// A connection without a certificate.
    pub(crate) async fn stranger(&self) -> anyhow::Result<Client> {
        let trust = Trust::Authorities(self.authorities.clone());
        Ok(Client::connect(config([self.server.address()], Credentials::none()).with_trust(trust)).await?)
    }

    /// Makes the role that bots take on. It may read roles and applications, so that it can watch them.
    pub(crate) async fn make_role(&self) -> anyhow::Result<()> {
        let allow = RoleConditions {
            logins: vec!["deploy".into()],
            rules: vec![Rule::new(["role", "app", "cert_authority"], ["read", "list", "readnosecrets"])],
            app_labels: domain::form::Labels::from_iter([("*".to_owned(), vec!["*".to_owned()])]),
            ..RoleConditions::default()
        };
        let mut role = Role::new(ROLE, RoleSpec { allow, ..RoleSpec::default() });
        role.set_defaults();
        self.admin.call::<CreateRole>(CreateRoleRequest { role: Some(role.to_wire()) }).await?;
        Ok(())
    }

    /// Makes a bot.
    pub(crate) async fn make_bot(&self, name: &str) -> anyhow::Result<()> {
        let bot = Bot::new(name, BotSpec { roles: vec![ROLE.into()], ..BotSpec::default() });
        self.admin.call::<CreateBot>(CreateBotRequest { bot: Some(bot.to_wire()) }).await?;
        Ok(())
    }

    /// Makes a token that joins a machine to a bot.
    pub(crate) async fn make_token(&self, bot: &str) -> anyhow::Result<String> {
        self.store_token(TokenSpec { roles: vec![SystemRole::Bot], bot_name: bot.to_owned(), ..TokenSpec::default() })
            .await
    }

    /// Makes a token that joins hosts.
    pub(crate) async fn make_host_token(&self, roles: impl Into<Vec<SystemRole>>) -> anyhow::Result<String> {
        self.store_token(TokenSpec { roles: roles.into(), ..TokenSpec::default() }).await
    }

    async fn store_token(&self, spec: TokenSpec) -> anyhow::Result<String> {
        let name = Random::system().hex(16);
        let mut token = Token::new(name.clone(), spec);
        token.metadata.expires = Some(Timestamp::now().checked_add(TTL)?);
        token.set_defaults();
        let token = Some(create_token_v2_request::Token::V2(token.to_wire()));
        self.admin.call::<CreateTokenV2>(CreateTokenV2Request { token }).await?;
        Ok(name)
    }

    /// Joins a machine over a connection of its own.
    pub(crate) async fn join(&self, bot: &str, token: &str, keys: (KeyPair, KeyPair)) -> anyhow::Result<Machine> {
        let request = RegisterUsingTokenRequest {
            token: token.to_owned(),
            role: "Bot".into(),
            public_tls_key: keys.0.public().to_pem().into_bytes(),
            public_ssh_key: keys.0.public().to_authorized_key().into_bytes(),
            expires: Some(wire_time(TTL)),
            ..RegisterUsingTokenRequest::default()
        };
        let certs = self.stranger().await?.call::<RegisterUsingToken>(request).await?;
        let credentials = self.credentials(&certs.tls, &keys.0)?;
        Ok(Machine { user: Bot::resource_name(bot), credentials, keys })
    }

    /// `count` bots with one machine each.
    pub(crate) async fn machines(&self, count: usize) -> anyhow::Result<Vec<Machine>> {
        self.make_role().await?;
        let mut machines = Vec::with_capacity(count);
        for number in 0..count {
            let bot = format!("bench-{number}");
            self.make_bot(&bot).await?;
            let token = self.make_token(&bot).await?;
            machines.push(self.join(&bot, &token, key_pairs()?).await?);
        }
        Ok(machines)
    }

    /// A connection that shows these credentials.
    pub(crate) async fn connect(&self, credentials: &Credentials) -> anyhow::Result<Client> {
        Ok(Client::connect(config([self.server.address()], credentials.clone())).await?)
    }

    /// The credentials of the role that a machine takes on.
    pub(crate) async fn taken_on(&self, machine: &Machine) -> anyhow::Result<Credentials> {
        let certs = machine.ask(&self.connect(&machine.credentials).await?).await?;
        self.credentials(&certs.tls, &machine.keys.0)
    }

    /// The credentials that lead to an application, for the role that a machine takes on.
    pub(crate) async fn led_to(&self, machine: &Machine, route: proto::RouteToApp) -> anyhow::Result<Credentials> {
        let client = self.connect(&machine.credentials).await?;
        let request = proto::UserCertsRequest { route_to_app: Some(route), ..machine.request() };
        let certs = client.call::<GenerateUserCerts>(request).await?;
        self.credentials(&certs.tls, &machine.keys.0)
    }

    /// Replaces a machine's own identity over a new connection.
    pub(crate) async fn renew(&self, machine: &Machine) -> anyhow::Result<()> {
        let client = self.connect(&machine.credentials).await?;
        let request =
            proto::UserCertsRequest { role_requests: Vec::new(), use_role_requests: false, ..machine.request() };
        client.call::<GenerateUserCerts>(request).await?;
        Ok(())
    }

    /// The pin of the cluster's authority.
    pub(crate) fn pin(&self) -> Option<String> {
        self.authorities.first().map(|authority| authority.pin())
    }

    fn credentials(&self, certificate: &[u8], key: &KeyPair) -> anyhow::Result<Credentials> {
        let chain = Certificate::many_from_pem(std::str::from_utf8(certificate)?)?;
        Ok(Credentials::in_memory(chain, key, self.authorities.clone())?)
    }
}

impl Machine {
    /// What a bot asks for its outputs: an X.509 and an SSH certificate with a role taken on.
    pub(crate) fn request(&self) -> proto::UserCertsRequest {
        proto::UserCertsRequest {
            username: self.user.clone(),
            expires: Some(wire_time(TTL)),
            tls_public_key: self.keys.0.public().to_pem().into_bytes(),
            ssh_public_key: self.keys.1.public().to_authorized_key().into_bytes(),
            role_requests: vec![ROLE.into()],
            use_role_requests: true,
            ..proto::UserCertsRequest::default()
        }
    }

    /// Asks for a pair.
    pub(crate) async fn ask(&self, client: &Client) -> anyhow::Result<proto::Certs> {
        Ok(client.call::<GenerateUserCerts>(self.request()).await?)
    }
}

/// The keys that the standard suite uses: P-256 for X.509, Ed25519 for SSH.
pub(crate) fn key_pairs() -> anyhow::Result<(KeyPair, KeyPair)> {
    Ok((KeyPair::generate(Algorithm::EcdsaP256)?, KeyPair::generate(Algorithm::Ed25519)?))
}

fn config(addresses: impl IntoIterator<Item = impl Into<String>>, credentials: Credentials) -> Config {
    Config::new(addresses, credentials, Clock::system(), Random::system())
}

fn wire_time(span: Duration) -> prost_types::Timestamp {
    let time = Timestamp::now().saturating_add(span).unwrap_or(Timestamp::MAX);
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}
