//! Certificates with the roles that a bot's own roles let it use: what outputs write and tunnels show.

use std::time::Duration;

use api::{
    r#gen::proto,
    methods::proto::auth_service::{GenerateUserCerts, GetRole},
};
use app_access::lookup;
use client::{Client, Web};
use crypto::KeyPair;
use domain::{Error, error::Kind, resources::App};

use crate::{
    Config,
    config::Service,
    identity::{BotIdentity, Certificates},
    run::Hub,
};

/// What an output or a service asks for.
pub(crate) struct Impersonation {
    /// How the output is called.
    name: String,
    /// The roles; all that the bot may use when empty.
    roles: Vec<String>,
    pub(crate) ttl: Duration,
    allow_reissue: bool,
    /// The cluster that the certificates are for; the bot's own when empty.
    cluster: String,
}

/// A certificate that leads to an application.
pub(crate) struct Routed {
    pub(crate) identity: BotIdentity,
    pub(crate) app: App,
    pub(crate) public_name: String,
}

/// A connection that finds applications, and the way to them.
pub(crate) struct Sight {
    client: Client,
    /// Nothing when the cluster has no proxy that it names.
    pub(crate) web: Option<Web>,
    /// The name of the proxy; empty without one.
    pub(crate) proxy_host: String,
}

impl Impersonation {
    /// What an entry of the configuration asks for.
    pub(crate) fn of(config: &Config, service: &Service, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            roles: service.roles.clone(),
            ttl: config.ttl_of(service),
            allow_reissue: service.flag("allow_reissue"),
            cluster: service.text("cluster").to_owned(),
        }
    }

    /// What the roles let see. The bot itself sees no application.
    pub(crate) async fn sight(&self, hub: &Hub) -> Result<Sight, Error> {
        let plain = self.issue(hub, None).await?;
        let client = hub.connect_as(&plain).await?;
        let web = hub.web(&client).await?;
        let proxy_host = match &web {
            Some(web) => lookup::public_host(web, plain.authorities(), &client).await,
            None => String::new(),
        };
        Ok(Sight { client, web, proxy_host })
    }

    /// A certificate that leads to the application `name`.
    pub(crate) async fn routed(&self, hub: &Hub, sight: &Sight, name: &str) -> Result<Routed, Error> {
        let app = lookup::find(&sight.client, name).await?;
        // A name below anything else would lead nowhere, and the certificate would be for it.
        if sight.web.is_none() && app.spec.public_addr.is_empty() {
            return Err(Error::unavailable(
                "the cluster names no proxy to reach applications through: start one, or set proxy_server",
            ));
        }
        let public_name = lookup::public_name(&app, &sight.proxy_host);
        let cluster = hub.current().map(|current| current.identity.cluster().to_owned()).unwrap_or_default();
        let route = lookup::route(&app, &public_name, &cluster);
        let identity = self.issue(hub, Some(route)).await?;
        // The authority has the last word on the address.
        let said = &identity.says().route_to_app.public_addr;
        let public_name = if said.is_empty() { public_name } else { said.clone() };
        Ok(Routed { identity, app, public_name })
    }

    /// A certificate with the roles, and with a route when there is one.
    pub(crate) async fn issue(&self, hub: &Hub, route: Option<proto::RouteToApp>) -> Result<BotIdentity, Error> {
        let current = hub.current().ok_or_else(|| Error::unavailable("there is no bot identity yet"))?;
        let own = current.identity.cluster();
        if ![own, ""].contains(&self.cluster.as_str()) {
            let (name, leaf) = (&self.name, &self.cluster);
            return Err(Error::unsupported(format!(
                "{name}: cluster {leaf:?} is not this bot's own ({own:?}); leaf clusters are not supported yet"
            )));
        }
        let client = hub.client().await?;
        let roles = match self.roles.as_slice() {
            [] => usable_roles(&client, &current.identity).await?,
            some => some.to_vec(),
        };
        if roles.is_empty() {
            let bot = &current.identity.says().bot_name;
            return Err(Error::denied(format!(
                "bot {bot:?} may use no role: give it some with tctl bots update {bot} --add-roles=…"
            )));
        }
        let key = KeyPair::generate(current.identity.key().algorithm())
            .map_err(|error| Error::internal(format!("cannot make a key: {error}")))?;
        let asked = roles.join(", ");
        let certificates = self.ask(hub, &client, &current.identity, roles, &key, route).await;
        let certificates = certificates.map_err(|error| with_roles(error, &asked, &current.identity))?;
        BotIdentity::new(key, certificates).map_err(|error| Error::unavailable(error.to_string()))
    }

    async fn ask(
        &self,
        hub: &Hub,
        client: &Client,
        identity: &BotIdentity,
        roles: Vec<String>,
        key: &KeyPair,
        route: Option<proto::RouteToApp>,
    ) -> Result<Certificates, Error> {
        let request = proto::UserCertsRequest {
            username: identity.says().username.clone(),
            expires: Some(hub.expires(self.ttl)),
            role_requests: roles,
            use_role_requests: true,
            reissuable_role_impersonation: self.allow_reissue,
            tls_public_key: key.public().to_pem().into_bytes(),
            ssh_public_key: key.public().to_authorized_key().into_bytes(),
            route_to_app: route,
            ..proto::UserCertsRequest::default()
        };
        let certs = client.call::<GenerateUserCerts>(request).await?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| Error::unavailable("unreadable certificates"));
        Ok(Certificates {
            tls: text(certs.tls)?,
            ssh: text(certs.ssh)?.trim().to_owned(),
            tls_authorities: identity.certificates().tls_authorities.clone(),
            ssh_authorities: identity.certificates().ssh_authorities.clone(),
        })
    }
}

/// A refusal, with what was asked for: the server does not tell which role it is about.
fn with_roles(mut error: Error, asked: &str, identity: &BotIdentity) -> Error {
    if error.kind == Kind::Denied {
        let bot = &identity.says().bot_name;
        error.message = format!(
            "{}; roles asked for: {asked}; a bot is given roles by tctl bots update {bot} --add-roles=ROLE",
            error.message
        );
    }
    error
}

/// The roles that the bot's own roles let it use.
async fn usable_roles(client: &Client, identity: &BotIdentity) -> Result<Vec<String>, Error> {
    let mut roles = Vec::new();
    for name in &identity.says().roles {
        let role = client.repeat::<GetRole>(proto::GetRoleRequest { name: name.clone() }).await?;
        let allowed = role.spec.and_then(|spec| spec.allow).and_then(|allow| allow.impersonate);
        roles.extend(allowed.map(|conditions| conditions.roles).unwrap_or_default());
    }
    roles.sort();
    roles.dedup();
    Ok(roles)
}
