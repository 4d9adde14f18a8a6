//! Who we are and where the proxy is.

use std::path::Path;

use app_access::Exchange;
use cli::Advice;
use client::{Client, Config, Credentials, Proxies, Web};
use clock::Clock;
use crypto::{Random, tls};
use domain::{Error, error::Kind, identity::Identity};

use crate::{args::Globals, home::Home};

/// A connection through a proxy, and whose it is.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) web: Web,
    pub(crate) home: Home,
}

impl Session {
    /// Connects with the identity file.
    pub(crate) async fn open(globals: &Globals) -> anyhow::Result<Self> {
        let proxy = proxy(globals)?;
        let credentials = living(globals)?;
        let says = says(&credentials)?;
        if let Some(user) = globals.user.as_deref().filter(|user| !user.is_empty() && *user != says.username) {
            let own = &says.username;
            return Err(Error::invalid(format!("--user={user}: the identity file is of {own:?}")).into());
        }
        let home = Home::new(globals, &proxy, &says)?;
        let (clock, proxies) = (Clock::system(), proxies()?);
        let web = Web::new(&proxy, proxies.clone(), clock.clone());
        let config = Config::new([web.address()], credentials, clock, Random::system()).with_proxies(proxies);
        let client = Client::connect(config)
            .await
            .advise(|| format!("see that --proxy={proxy} is a proxy of the cluster that made the identity file"))?;
        Ok(Self { client, web, home })
    }

    /// Only the identity's own cluster is known here.
    pub(crate) fn refuse_leaf(&self, cluster: Option<&str>) -> anyhow::Result<()> {
        let own = self.home.cluster();
        match cluster.filter(|cluster| !cluster.is_empty() && *cluster != own) {
            Some(leaf) => {
                let message =
                    format!("--cluster={leaf}: the identity is of {own:?}; leaf clusters are not supported yet");
                Err(Error::unsupported(message).into())
            }
            None => Ok(()),
        }
    }

    /// Whether the proxy shows a certificate of the cluster, which no other program on this machine believes.
    pub(crate) async fn is_of_the_cluster(web: &Web) -> bool {
        let asked = web.find(tls::Trust::Roots(client::credentials::system_authorities())).await;
        asked.is_err_and(|error| error.kind == Kind::Denied)
    }

    /// Certificates for applications.
    pub(crate) fn exchange(&self, target_port: u16) -> Exchange {
        Exchange { client: self.client.clone(), web: self.web.clone(), target_port }
    }
}

/// The proxy that is named.
pub(crate) fn proxy(globals: &Globals) -> anyhow::Result<String> {
    let address = globals.proxy.clone().filter(|address| !address.is_empty());
    address.ok_or_else(|| cli::exit::Usage("name the proxy: --proxy=HOST:PORT, or TELEPORT_PROXY".into()).into())
}

/// The identity that is named: also one that has expired still says whose it is.
pub(crate) fn credentials(globals: &Globals) -> anyhow::Result<Credentials> {
    let Some(path) = &globals.identity else {
        let message = "tsh login is not supported yet: give an identity file with -i FILE (on the auth host: tctl users add NAME \
                       --roles=ROLE, then tctl auth sign --user=NAME --out=FILE)";
        return Err(Error::unsupported(message).into());
    };
    let file = path.display();
    Credentials::from_identity_file(path).map_err(|error| {
        cli::exit::invalid_input(anyhow::Error::new(error).context(format!("identity file {file} cannot be used")))
    })
}

/// The same, as long as it lives.
fn living(globals: &Globals) -> anyhow::Result<Credentials> {
    let credentials = credentials(globals)?;
    let file = globals.identity.as_deref().unwrap_or(Path::new("-")).display();
    let now = Clock::system().now();
    match credentials.expires().filter(|end| *end <= now) {
        Some(ended) => Err(Error::denied(format!("identity file {file}: the identity has expired at {ended}")))
            .advise(|| "make a new one on the auth host: tctl auth sign --user=NAME --out=FILE --overwrite"),
        None => Ok(credentials),
    }
}

/// What the identity says.
pub(crate) fn says(credentials: &Credentials) -> anyhow::Result<Identity> {
    let certificate =
        credentials.certificate().ok_or_else(|| Error::invalid("the identity file has no certificate"))?;
    Ok(Identity::from_subject(certificate.subject()).map_err(|error| Error::invalid(error.to_string()))?)
}

#[allow(clippy::disallowed_methods, reason = "a tool reads the environment of the person who runs it")]
pub(crate) fn proxies() -> anyhow::Result<Proxies> {
    Ok(Proxies::from_variables(|name| std::env::var(name).ok()).map_err(|error| Error::invalid(error.to_string()))?)
}
