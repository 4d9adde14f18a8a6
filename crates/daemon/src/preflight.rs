//! What a start needs of this machine besides a valid configuration: files that can be used, ports that are free.
//!
//! `tessera check` looks at the files; a server that is told to begin anew looks at all of it first, because the image
//! that replaces it could not go back.

use std::net::{IpAddr, SocketAddr, TcpListener};

use anyhow::{Context, bail};
use crypto::{KeyPair, x509::Certificate};
use proxy::{KeyPairFiles, WebCertificate};
use service::Handover;

use crate::{
    config::{self, Config},
    data_dir::DataDir,
    documents::Documents,
    server::Environment,
    services::{join_token, resolve},
    static_tokens,
};

/// Whether the files that the configuration names can be used; what is odd about them is returned, one sentence each.
///
/// # Errors
/// A file is missing or is not what it should be.
pub fn files(config: &Config) -> anyhow::Result<Vec<String>> {
    let mut advice = Vec::new();
    if config.proxy_service.enabled {
        let pairs = config.proxy_service.https_keypairs.iter().map(key_pair).collect::<anyhow::Result<Vec<_>>>()?;
        advice.extend(uncovered(config, &pairs));
    }
    if config.auth_service.enabled {
        static_tokens::read(&config.auth_service.tokens)?;
    } else {
        config.teleport.join_params.as_ref().map(join_token).transpose()?;
    }
    Ok(advice)
}

/// A certificate of the file with its key.
///
/// # Errors
/// Which file cannot be used, and why.
pub(crate) fn key_pair(pair: &config::KeyPair) -> anyhow::Result<(Vec<Certificate>, KeyPair)> {
    let files = KeyPairFiles { certificate: pair.cert_file.clone(), key: pair.key_file.clone() };
    let place = || format!("{}: proxy_service.https_keypairs", pair.place);
    let loaded = files.load().with_context(place)?;
    WebCertificate::new(std::slice::from_ref(&loaded)).with_context(|| {
        let (certificate, key) = (pair.cert_file.display(), pair.key_file.display());
        format!("{}: {key} is not the key of the certificate in {certificate}", place())
    })?;
    Ok(loaded)
}

/// The public names, and those of the applications below them, that no certificate has: whoever comes by one is shown a
/// certificate for another name.
pub(crate) fn uncovered(config: &Config, pairs: &[(Vec<Certificate>, KeyPair)]) -> Option<String> {
    let leaves: Vec<&Certificate> = pairs.iter().filter_map(|(chain, _)| chain.first()).collect();
    let names: Vec<&str> = leaves.iter().flat_map(|leaf| leaf.dns_names()).map(String::as_str).collect();
    let addresses: Vec<String> = leaves.iter().flat_map(|leaf| leaf.ip_addresses()).map(ToString::to_string).collect();
    let is_covered = |host: &str| {
        names.iter().any(|name| proxy::covers(name, host)) || addresses.iter().any(|address| address == host)
    };
    let public = config.proxy_service.public_addr.iter().map(|public| &public.host);
    let wanted = public.flat_map(|host| {
        // An address has nothing below it.
        let below = host.parse::<IpAddr>().is_err().then(|| format!("*.{host}"));
        [host.clone()].into_iter().chain(below)
    });
    let missing: Vec<String> = wanted.filter(|host| !is_covered(host)).collect();
    (!pairs.is_empty() && !missing.is_empty()).then(|| {
        format!(
            "proxy_service.https_keypairs: no certificate is for {}, only for {}: clients will refuse the proxy \
             or its applications by that name",
            missing.join(" and "),
            if names.is_empty() { "no DNS name".to_owned() } else { names.join(", ") }
        )
    })
}

/// What runs, as far as the image after it depends on it.
pub(crate) struct Running<'a> {
    pub(crate) config: &'a Config,
    pub(crate) environment: &'a Environment,
    /// The ports that are kept for the next image.
    pub(crate) handover: &'a Handover,
    /// The cluster, when its auth service is in this process.
    pub(crate) cluster: Option<&'a str>,
}

impl Running<'_> {
    /// Whether a server with this configuration would start in our place.
    ///
    /// # Errors
    /// What would keep it from that.
    pub(crate) async fn may_become(&self, new: &Config) -> anyhow::Result<()> {
        files(new)?;
        let (old, environment) = (&self.config.teleport, self.environment);
        if let Some(path) = &environment.apply_on_startup {
            Documents::read(path)?;
        }
        if old.data_dir != new.teleport.data_dir {
            DataDir::open(&new.teleport.data_dir, &environment.random)?;
        }
        let wanted = new.auth_service.cluster_name.as_ref().filter(|_| new.auth_service.enabled);
        let is_same_store = old.data_dir == new.teleport.data_dir && old.storage.path == new.teleport.storage.path;
        if let (Some(cluster), Some(wanted), true) = (self.cluster, wanted, is_same_store)
            && cluster != wanted
        {
            bail!("auth_service.cluster_name: the cluster is called {cluster:?}, and that cannot be changed");
        }
        let kept = self.handover.kept_tcp();
        for port in new.ports() {
            let address = resolve(port.address).await.context(port.key)?;
            may_open(port.name, address, &kept).with_context(|| format!("{} {address} cannot be used", port.key))?;
        }
        Ok(())
    }
}

/// Whether a port of this name could be opened once the old image is gone.
fn may_open(name: &str, wanted: SocketAddr, kept: &[(String, SocketAddr)]) -> anyhow::Result<()> {
    let is_held = |held: &SocketAddr| {
        held.port() == wanted.port()
            && (held.ip() == wanted.ip() || held.ip().is_unspecified() || wanted.ip().is_unspecified())
    };
    match kept.iter().find(|(_, held)| is_held(held)) {
        // It is taken over, or makes room.
        Some((holder, _)) if holder == name => Ok(()),
        Some((holder, _)) => bail!("it is the {holder} port of this server now; stop the server and start it again"),
        None => {
            TcpListener::bind(wanted)?;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_certificate_are_named_when_they_do_not_fit() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        let names: [(&str, &[&str]); 3] =
            [("a", &["p.example"]), ("b", &["*.p.example"]), ("c", &["p.example", "*.P.example", "10.0.0.1"])];
        for (name, hosts) in names {
            let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
            let made = rcgen::generate_simple_self_signed(hosts).unwrap();
            std::fs::write(at(&format!("{name}.crt")), made.cert.pem()).unwrap();
            std::fs::write(at(&format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
        }
        let read = |host: &str, certificate: &str, key: &str| {
            let (certificate, key) = (at(certificate), at(key));
            let text = format!(
                "proxy_service: {{public_addr: '{host}', https_keypairs: [{{cert_file: {certificate}, key_file: {key}}}]}}"
            );
            files(&Config::from_text(&text, "x.yaml").unwrap())
        };
        for (host, pair, missing) in [
            ("p.example:443", "c", None),
            ("10.0.0.1", "c", None),
            ("p.example:443", "a", Some("for *.p.example, only for p.example:")),
            ("x.p.example", "b", Some("for *.x.p.example, only for *.p.example:")),
            ("q.example", "a", Some("for q.example and *.q.example, only for p.example:")),
        ] {
            let said = read(host, &format!("{pair}.crt"), &format!("{pair}.key")).unwrap();
            assert_eq!(said.len(), usize::from(missing.is_some()), "{host} {pair}: {said:?}");
            assert!(missing.is_none_or(|missing| said[0].contains(missing)), "{said:?}");
        }
        for (certificate, key, expected) in [
            ("a.crt", "b.key", "b.key is not the key of the certificate in"),
            ("d.crt", "a.key", "d.crt"),
            ("a.key", "a.key", "no certificate chain"),
            ("a.crt", "a.crt", "no private key"),
        ] {
            let refused = format!("{:#}", read("p.example", certificate, key).unwrap_err());
            assert!(refused.starts_with("x.yaml:1:60: proxy_service.https_keypairs: "), "{refused}");
            assert!(refused.contains(expected), "{refused}");
        }
    }

    #[test]
    fn a_port_is_ours_free_or_refused() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = other.local_addr().unwrap();
        assert!(may_open("proxy", taken, &[]).is_err(), "somebody else's");
        let kept = [("proxy".to_owned(), taken)];
        may_open("proxy", taken, &kept).unwrap();
        may_open("proxy", SocketAddr::new([0, 0, 0, 0].into(), taken.port()), &kept).unwrap();
        let refused = may_open("diag", taken, &kept).unwrap_err().to_string();
        assert!(refused.contains("the proxy port of this server"), "{refused}");
        drop(other);
        may_open("proxy", taken, &[]).unwrap();
        may_open("proxy", SocketAddr::new([127, 0, 0, 1].into(), 0), &kept).unwrap();
    }
}
