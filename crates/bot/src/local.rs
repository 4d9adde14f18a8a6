//! `tbot proxy app`: a local listener that shows the certificate which another tbot keeps fresh in a directory.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use app_access::{Access, Keyring, Lead, Next};
use async_trait::async_trait;
use client::{Proxies, Web, credentials::system_authorities};
use clock::Clock;
use crypto::{KeyPair, tls, x509::Certificate};
use domain::{Error, identity::Identity};

/// What is said of an address that stands in a certificate, which knows no port.
const GUESSED: &str =
    "; that is a guess from the certificate: name the proxy with --proxy-server=HOST:PORT or TELEPORT_PROXY";

/// How often a certificate and a key that do not fit are read again, and how long after each time: a renewal writes one
/// file after another.
const TORN: u8 = 10;
const TORN_FOR: Duration = Duration::from_millis(100);

/// The directory of an `application` output, read again whenever its certificate changes.
pub struct Files {
    /// The directory.
    pub directory: PathBuf,
    /// The proxy, when somebody says; else the name in the certificate is asked at the usual port.
    pub proxy: Option<String>,
    /// The application speaks no HTTP.
    pub is_tcp: bool,
    /// Proxies on the way out of this network.
    pub proxies: Proxies,
    /// Source of time.
    pub clock: Clock,
    /// The last that was read, and the text of its certificate.
    pub held: Mutex<Option<(String, Arc<Access>)>>,
}

/// Why a certificate is not to be had from the directory.
enum Broken {
    /// A file is no whole one, or the key is another one's: somebody writes a new pair at this moment.
    Torn(Error),
    /// Time does not heal it.
    Wrong(Error),
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Wrong(error)
    }
}

#[async_trait]
impl Keyring for Files {
    async fn access(&self, app: &str) -> Result<Arc<Access>, Error> {
        let mut again = 0..TORN;
        loop {
            match self.look(app) {
                Ok(access) => return Ok(access),
                Err(Broken::Torn(_)) if again.next().is_some() => self.clock.sleep(TORN_FOR).await,
                Err(Broken::Torn(error) | Broken::Wrong(error)) => return Err(error),
            }
        }
    }

    /// Only who writes the directory can bring another one.
    fn discard(&self, _: &Arc<Access>) -> Option<Next> {
        None
    }
}

impl Files {
    fn look(&self, app: &str) -> Result<Arc<Access>, Broken> {
        let text = read(&self.directory.join("tlscert"))?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, access)) = held.as_ref().filter(|(of, _)| *of == text) {
            return Ok(self.alive(access)?);
        }
        match self.load(app, &text) {
            Ok(access) => {
                let access = Arc::new(access);
                *held = Some((text, Arc::clone(&access)));
                Ok(self.alive(&access)?)
            }
            // Caught between two files of a renewal: the old pair is still good.
            Err(error) => match held.as_ref() {
                Some((_, access)) => Ok(self.alive(access)?),
                None => Err(error),
            },
        }
    }

    fn alive(&self, access: &Arc<Access>) -> Result<Arc<Access>, Error> {
        let (ended, now) = (access.not_after(), self.clock.now());
        if ended <= now {
            let directory = self.directory.display();
            return Err(Error::denied(format!(
                "the certificate in {directory} has expired at {ended}, now it is {now}: does the tbot run that renews it?"
            )));
        }
        Ok(Arc::clone(access))
    }

    fn load(&self, app: &str, text: &str) -> Result<Access, Broken> {
        let directory = self.directory.display();
        let broken = |what: &str, reason: String| Broken::Torn(Error::invalid(format!("{directory}/{what}: {reason}")));
        let certificate = Certificate::from_pem(text).map_err(|error| broken("tlscert", error.to_string()))?;
        let says =
            Identity::from_subject(certificate.subject()).map_err(|error| broken("tlscert", error.to_string()))?;
        let route = &says.route_to_app;
        if route.name != app {
            let leads = if route.name.is_empty() { "no application".into() } else { format!("{:?}", route.name) };
            return Err(Broken::Wrong(Error::invalid(format!(
                "the certificate in {directory} leads to {leads}: name the directory of an output of type application with \
                 app_name: {app}"
            ))));
        }
        let key = read(&self.directory.join("key"))?;
        let key = KeyPair::from_pem(&key).map_err(|error| broken("key", error.to_string()))?;
        let chain = tls::CertificateChain::new(std::slice::from_ref(&certificate), &key)
            .map_err(|error| broken("key", error.to_string()))?;
        let mut roots = system_authorities();
        let known = read(&self.directory.join("teleport-host-ca.crt"))?;
        roots.extend(
            Certificate::many_from_pem(&known).map_err(|error| broken("teleport-host-ca.crt", error.to_string()))?,
        );
        let web = |address: &str| Web::new(address, self.proxies.clone(), self.clock.clone());
        let web = match self.proxy.as_deref() {
            Some(proxy) => web(proxy),
            None => {
                let web = web(&route.public_addr).with_advice(GUESSED);
                tracing::warn!("no proxy is named, so it is looked for at {}{GUESSED}", web.address());
                web
            }
        };
        let lead = Lead {
            app: app.to_owned(),
            public_name: route.public_addr.clone(),
            is_tcp: self.is_tcp,
            chain,
            // The proxy that was named proves that it is that one.
            trust: tls::Trust::Front { roots, name: web.host().to_owned() },
            web,
            not_after: certificate.not_after(),
        };
        Ok(Access::new(lead, &self.clock)?)
    }
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| {
        Error::invalid(format!(
            "cannot read {}: {error}; --destination-dir names the directory of an output of type application",
            path.display()
        ))
    })
}
