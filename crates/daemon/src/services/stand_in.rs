//! What the public port shows when no certificate is configured: one of the cluster's own authority, for the proxy's names
//! and those of the applications below them.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use agent::Host;
use client::Backoff;
use clock::Clock;
use crypto::{KeyPair, Random, x509::Certificate};
use domain::Error;
use proxy::{Address, Proxy, WebCertificate};
use service::Stop;

/// A certificate with more names is too long for the handshakes of some programs.
const MOST_NAMES: usize = 100;

/// How often we look for new applications.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The longest wait after a failure.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Asks for the certificate, and anew as applications appear.
pub(super) struct StandIn<'a> {
    pub(super) host: &'a Host,
    pub(super) public: &'a [Address],
    pub(super) clock: &'a Clock,
    pub(super) random: &'a Random,
}

impl StandIn<'_> {
    /// The names for these applications.
    pub(super) fn names(&self, applications: &[String]) -> BTreeSet<String> {
        names(self.public, self.host.identity().cluster(), applications)
    }

    /// A certificate for these names, with its key.
    ///
    /// # Errors
    /// The auth service does not answer, or refuses one of them.
    pub(super) async fn issue(&self, names: &BTreeSet<String>) -> Result<(Vec<Certificate>, KeyPair), Error> {
        let (certificate, key) = self.host.certificate_for(names.iter().cloned().collect()).await?;
        Ok((vec![certificate], key))
    }

    /// Keeps it fresh, and for every application that is announced; `shown` are the names that it has.
    pub(super) async fn keep(&self, web: &WebCertificate, proxy: &Proxy, mut shown: BTreeSet<String>, stop: &Stop) {
        let mut changed = self.host.changed();
        let mut until = self.host.identity().not_after();
        let backoff = || Backoff::new(LOOK_EVERY, LONGEST_WAIT);
        let (mut pause, mut waits) = (LOOK_EVERY, backoff());
        loop {
            tokio::select! {
                () = stop.requested() => return,
                changed = changed.changed() => if changed.is_err() { return },
                () = self.clock.sleep(pause) => {}
            }
            // Our identity was renewed, which is when this one is due, too.
            if self.host.identity().not_after() != until {
                until = self.host.identity().not_after();
                shown.clear();
            }
            let wanted = self.names(&proxy.app_names());
            // An application that went away may come back; its name goes at the next renewal.
            if shown.is_superset(&wanted) {
                continue;
            }
            let issued = self.issue(&wanted).await;
            let used = issued.and_then(|pair| web.set(&[pair]).map_err(super::proxy::unusable));
            match used {
                Ok(_) => {
                    tracing::info!(certificate = ?web.described(), "the public port shows a certificate for other names");
                    (shown, pause, waits) = (wanted, LOOK_EVERY, backoff());
                }
                Err(error) => {
                    tracing::warn!(%error, names = ?wanted, "no certificate for the names of the public port; trying again");
                    pause = waits.wait(self.random);
                }
            }
        }
    }
}

/// The addresses, and the applications below them.
fn names(public: &[Address], cluster: &str, applications: &[String]) -> BTreeSet<String> {
    let hosts = public.iter().map(|address| address.host.to_ascii_lowercase());
    let mut names: BTreeSet<String> = hosts.collect();
    // An address has nothing below it, and `*.<cluster>` would also stand for each host of the cluster.
    let has_wildcard = |host: &&String| host.parse::<IpAddr>().is_err() && !host.eq_ignore_ascii_case(cluster);
    let wildcards: Vec<String> = names.iter().filter(has_wildcard).map(|host| format!("*.{host}")).collect();
    names.extend(wildcards);
    let mut applications = applications.to_vec();
    applications.sort();
    for application in applications {
        if names.len() < MOST_NAMES && !names.iter().any(|name| proxy::covers(name, &application)) {
            names.insert(application);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_never_stands_for_the_hosts_of_the_cluster() {
        let public = ["Proxy.example", "p2.example", "10.0.0.1"].map(|host| Address::new(host, 443));
        let applications = ["grafana.proxy.example", "grafana.p2.example"].map(str::to_owned);
        for (cluster, expected) in [
            (
                "proxy.example",
                &["*.p2.example", "10.0.0.1", "grafana.proxy.example", "p2.example", "proxy.example"][..],
            ),
            ("example", &["*.p2.example", "*.proxy.example", "10.0.0.1", "p2.example", "proxy.example"]),
        ] {
            let found = names(&public, cluster, &applications);
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{cluster}");
        }
        let many: Vec<String> = (0..1000).map(|number| format!("a{number}.proxy.example")).collect();
        assert_eq!(names(&public, "proxy.example", &many).len(), MOST_NAMES);
    }
}
