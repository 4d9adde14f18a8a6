//! The public parts of the cluster's authorities, as artifacts need them.

use api::{
    r#gen::{teleport::trust::v1::GetCertAuthoritiesRequest, types},
    methods::teleport::trust::v1::trust_service::GetCertAuthorities,
};
use client::Client;
use crypto::x509::Certificate;
use domain::{Error, ca::CaType};

/// What one authority signs with, now or after a rotation: whoever verifies trusts all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Authority {
    /// PEM certificates.
    pub(crate) tls: Vec<String>,
    /// `authorized_keys` lines.
    pub(crate) ssh: Vec<String>,
}

/// The authorities that artifacts name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Authorities {
    /// Of servers.
    pub(crate) host: Authority,
    /// Of users and bots.
    pub(crate) user: Authority,
    /// Of databases.
    pub(crate) database: Authority,
}

impl Authorities {
    /// Asks for all of them.
    ///
    /// # Errors
    /// What the server answered, or an authority without a certificate.
    pub(crate) async fn fetch(client: &Client, cluster: &str) -> Result<Self, Error> {
        let host = fetch_one(client, CaType::Host, cluster).await?;
        if host.tls.is_empty() {
            return Err(Error::internal("the cluster shows no host authority"));
        }
        let user = fetch_one(client, CaType::User, cluster).await?;
        let database = fetch_one(client, CaType::Db, cluster).await?;
        Ok(Self { host, user, database })
    }
}

async fn fetch_one(client: &Client, ca_type: CaType, cluster: &str) -> Result<Authority, Error> {
    let request = GetCertAuthoritiesRequest { r#type: ca_type.as_str().to_owned(), include_key: false };
    let answer = client.repeat::<GetCertAuthorities>(request).await?;
    let mut found = Authority::default();
    let specs = answer.cert_authorities_v2.into_iter().filter_map(|authority| authority.spec);
    for spec in specs.filter(|spec| spec.cluster_name == cluster) {
        for keys in [spec.active_keys, spec.additional_trusted_keys].into_iter().flatten() {
            found.add(keys)?;
        }
    }
    Ok(found)
}

impl Authority {
    fn add(&mut self, keys: types::CaKeySet) -> Result<(), Error> {
        let garbled = |_| Error::internal("the server sent an authority that cannot be read");
        for pair in keys.tls {
            let text = String::from_utf8(pair.cert).map_err(|_| garbled(()))?;
            // Read and written anew: only certificates reach the files.
            let parsed = Certificate::many_from_pem(&text).map_err(|_| garbled(()))?;
            self.tls.extend(parsed.iter().map(Certificate::to_pem));
        }
        for pair in keys.ssh {
            let line = String::from_utf8(pair.public_key).map_err(|_| garbled(()))?;
            let key = crypto::PublicKey::from_authorized_key(line.trim()).map_err(|_| garbled(()))?;
            self.ssh.push(key.to_authorized_key().trim_end().to_owned());
        }
        Ok(())
    }
}
