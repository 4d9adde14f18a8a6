//! Certificate authorities.

use api::{
    convert::Wire,
    r#gen::{
        teleport::trust::v1::{
            DeleteCertAuthorityRequest, GetCertAuthoritiesRequest, GetCertAuthorityRequest, UpsertCertAuthorityRequest,
        },
        tessera::v1::{ExportCrlRequest, ExportKeysRequest, ExportedKey},
    },
    methods::{
        teleport::trust::v1::trust_service as rpc,
        tessera::v1::{crl_service, keys_service},
    },
};
use client::Client;
use crypto::{KeyPair, PublicKey, x509::Certificate};
use domain::{Error, ca::CaType, error::Kind as ErrorKind, form::SecretBytes, resources::CertAuthority};

use super::{Remote, ping};

/// The authority of one type of our own cluster.
pub(crate) async fn authority(client: &Client, ca_type: CaType, with_keys: bool) -> Result<CertAuthority, Error> {
    let domain = ping(client).await?.cluster_name;
    let request = GetCertAuthorityRequest { r#type: ca_type.as_str().to_owned(), domain, include_key: with_keys };
    CertAuthority::from_wire(client.call::<rpc::GetCertAuthority>(request).await?)
}

/// All authorities of the cluster that this program knows.
pub(crate) async fn authorities(client: &Client) -> Result<Vec<CertAuthority>, Error> {
    CertAuthority::list(client, false).await
}

/// `TYPE`, or `TYPE/CLUSTER`.
pub(super) async fn by_reference(client: &Client, name: &str, with_keys: bool) -> Result<Vec<CertAuthority>, Error> {
    let (word, cluster) = name.split_once('/').map_or((name, None), |(word, cluster)| (word, Some(cluster)));
    let ca_type = CaType::parse(word)
        .ok_or_else(|| Error::invalid(format!("\"{word}\" is no type of authority; write cert_authority/user")))?;
    let mut found = of_type(client, ca_type, with_keys).await?;
    found.retain(|authority| cluster.is_none_or(|cluster| authority.spec.cluster_name == cluster));
    if found.is_empty() {
        return Err(Error::not_found(format!("cert_authority \"{name}\" not found")));
    }
    Ok(found)
}

/// The authorities of one type. Private keys leave the server by one call of their own only.
async fn of_type(client: &Client, ca_type: CaType, include_key: bool) -> Result<Vec<CertAuthority>, Error> {
    let request = GetCertAuthoritiesRequest { r#type: ca_type.as_str().to_owned(), include_key };
    let answer = client.call::<rpc::GetCertAuthorities>(request).await?;
    let found = answer.cert_authorities_v2.into_iter().map(CertAuthority::from_wire);
    let mut found: Vec<CertAuthority> = found.collect::<Result<_, _>>()?;
    if include_key && !found.is_empty() {
        let own = ping(client).await?.cluster_name;
        if let Some(authority) = found.iter_mut().find(|authority| authority.spec.cluster_name == own) {
            exported(client, ca_type).await?.into_iter().try_for_each(|key| put(authority, key))?;
        }
    }
    Ok(found)
}

/// The pins of the host authority: what a joining machine checks the server by.
pub(crate) async fn ca_pins(client: &Client) -> Result<Vec<String>, Error> {
    let authority = authority(client, CaType::Host, false).await?;
    let mut pins = Vec::new();
    for pem in authority.trusted_tls() {
        let certificate = std::str::from_utf8(pem).ok().and_then(|pem| Certificate::from_pem(pem).ok());
        pins.extend(certificate.map(|certificate| certificate.pin()));
    }
    Ok(pins)
}

/// The private keys of an authority for one use (`ssh`, `tls` or `jwt`); the server audits it.
pub(crate) async fn private_keys(client: &Client, ca_type: CaType, key_use: &str) -> Result<Vec<Vec<u8>>, Error> {
    let keys = exported(client, ca_type).await?;
    Ok(keys.into_iter().filter(|key| key.r#use == key_use).map(|key| key.private_key).collect())
}

async fn exported(client: &Client, ca_type: CaType) -> Result<Vec<ExportedKey>, Error> {
    let request = ExportKeysRequest { r#type: ca_type.as_str().to_owned() };
    Ok(client.call::<keys_service::ExportKeys>(request).await?.keys)
}

/// Puts a private key beside its public one, wherever that stands in the authority.
fn put(authority: &mut CertAuthority, key: ExportedKey) -> Result<(), Error> {
    let broken = |_| Error::internal("the server sent a private key that cannot be read");
    let private =
        String::from_utf8(key.private_key).map_err(|_| Error::internal("the server sent a key that is no text"))?;
    let pair = KeyPair::from_pem(&private).map_err(broken)?;
    let is_ours = |public: Option<PublicKey>| public.is_some_and(|public| public == *pair.public());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let spec = &mut authority.spec;
    for keys in [&mut spec.active_keys, &mut spec.additional_trusted_keys] {
        let ssh = keys.ssh.iter_mut().filter(|_| key.r#use == "ssh");
        for found in ssh.filter(|one| is_ours(PublicKey::from_authorized_key(text(&one.public_key.0).trim()).ok())) {
            found.private_key = SecretBytes::new(private.clone().into_bytes());
        }
        let certified = |pem: &[u8]| Certificate::from_pem(&text(pem)).ok()?.public_key().ok();
        for found in keys.tls.iter_mut().filter(|one| key.r#use == "tls" && is_ours(certified(&one.cert.0))) {
            found.key = SecretBytes::new(private.clone().into_bytes());
        }
        let jwt = keys.jwt.iter_mut().filter(|_| key.r#use == "jwt");
        for found in jwt.filter(|one| is_ours(PublicKey::from_pem(&text(&one.public_key.0)).ok())) {
            found.private_key = SecretBytes::new(private.clone().into_bytes());
        }
    }
    Ok(())
}

/// The revocation lists of an authority: one `krl` for OpenSSH, or a `crl` for each X.509 key, DER.
pub(crate) async fn revocation_lists(client: &Client, ca_type: &str, format: &str) -> Result<Vec<Vec<u8>>, Error> {
    let request = ExportCrlRequest { r#type: ca_type.to_owned(), format: format.to_owned() };
    let answer = client.call::<crl_service::Export>(request).await?;
    Ok(answer.lists.into_iter().map(|list| list.data).collect())
}

impl Remote for CertAuthority {
    async fn list(client: &Client, with_secrets: bool) -> Result<Vec<Self>, Error> {
        let mut found = Vec::new();
        for ca_type in CaType::ALL {
            match of_type(client, ca_type, with_secrets).await {
                Ok(authorities) => found.extend(authorities),
                // A server may be older, or leave out what it does not have.
                Err(error) if matches!(error.kind, ErrorKind::Invalid | ErrorKind::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// The API has no call that only creates; our own authorities always exist.
    async fn create(client: &Client, authority: Self) -> Result<(), Error> {
        let (ca_type, cluster) = (authority.ca_type(), &authority.spec.cluster_name);
        if of_type(client, ca_type, false).await?.iter().any(|found| found.spec.cluster_name == *cluster) {
            return Err(Error::already_exists(format!("cert_authority \"{ca_type}/{cluster}\" already exists")));
        }
        Self::upsert(client, authority).await
    }

    async fn upsert(client: &Client, authority: Self) -> Result<(), Error> {
        let request = UpsertCertAuthorityRequest { cert_authority: Some(authority.to_wire()) };
        client.call::<rpc::UpsertCertAuthority>(request).await.map(drop)
    }

    async fn delete(client: &Client, name: &str) -> Result<(), Error> {
        let (word, domain) = name
            .split_once('/')
            .ok_or_else(|| Error::invalid(format!("write cert_authority/TYPE/CLUSTER, found \"{name}\"")))?;
        let request = DeleteCertAuthorityRequest { r#type: word.to_owned(), domain: domain.to_owned() };
        client.call::<rpc::DeleteCertAuthority>(request).await
    }
}
