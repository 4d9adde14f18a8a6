//! What anybody may know of the authorities: certificates and public keys, for programs that trust or verify.

use crypto::{PublicKey, jwk::Jwk};
use domain::{ca::CaType, resources::CertAuthority};
use http::{Response, StatusCode};
use serde_json::json;

use crate::{body::Body, pages, view::View};

/// The kinds that `/webapi/auth/export?type=` knows.
const KINDS: &str = "host, user, tls, tls-host, tls-user, tls-user-der, tls-spiffe, db, db-der, db-client, db-client-der, \
                     openssh, saml-idp, windows";

const UNKNOWN: &str = "the authorities are not known yet";

/// `/webapi/auth/export?type=KIND`: authorities as the reference's `tctl auth export` writes them.
pub(crate) fn export(view: &View, kind: Option<&str>) -> Response<Body> {
    let authorities = view.authorities();
    let of = |ca_type| authorities.all.iter().filter(move |authority| authority.ca_type() == ca_type);
    let pem = |ca_type| of(ca_type).flat_map(CertAuthority::trusted_tls).map(text).collect::<String>();
    let exported = match kind.unwrap_or("host") {
        "host" => of(CaType::Host).map(|authority| known_hosts(authority, "@cert-authority *")).collect(),
        "user" => of(CaType::User).map(|authority| known_hosts(authority, "cert-authority")).collect(),
        "tls" | "tls-host" => pem(CaType::Host),
        "tls-user" => pem(CaType::User),
        "tls-user-der" => return der(&pem(CaType::User)),
        "tls-spiffe" => pem(CaType::Spiffe),
        "db" => pem(CaType::Db),
        "db-der" => return der(&pem(CaType::Db)),
        "db-client" => pem(CaType::DbClient),
        "db-client-der" => return der(&pem(CaType::DbClient)),
        "openssh" => of(CaType::Openssh).flat_map(CertAuthority::trusted_ssh).map(text).collect(),
        "saml-idp" => pem(CaType::SamlIdp),
        "windows" => return der(&pem(CaType::User)),
        _ => return pages::refusal(StatusCode::BAD_REQUEST, &format!("no such type; there are {KINDS}")),
    };
    if exported.is_empty() {
        return pages::refusal(StatusCode::SERVICE_UNAVAILABLE, UNKNOWN);
    }
    pages::plain(StatusCode::OK, exported)
}

/// A block of text that ends with its line.
fn text(bytes: &[u8]) -> String {
    format!("{}\n", String::from_utf8_lossy(bytes).trim_end())
}

fn known_hosts(authority: &CertAuthority, mark: &str) -> String {
    let kind = authority.ca_type().as_str();
    let cluster = &authority.spec.cluster_name;
    let line = |key: &[u8]| {
        let key = String::from_utf8_lossy(key);
        let key = key.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        match authority.ca_type() {
            CaType::Host => format!("{mark}.{cluster},{cluster} {key} type={kind}\n"),
            _ => format!("{mark} {key} clustername={cluster}&type={kind}\n"),
        }
    };
    authority.trusted_ssh().map(line).collect()
}

fn der(pem: &str) -> Response<Body> {
    match crypto::x509::Certificate::from_pem(pem) {
        Ok(certificate) => pages::answer(StatusCode::OK, "application/octet-stream", certificate.der().to_vec()),
        Err(_) => pages::refusal(StatusCode::SERVICE_UNAVAILABLE, UNKNOWN),
    }
}

/// `/.well-known/jwks.json`: the keys that verify what agents tell applications about their users.
pub(crate) fn jwks(view: &View) -> Response<Body> {
    let authorities = view.authorities();
    let keys: Vec<Jwk> = authorities
        .all
        .iter()
        .filter(|authority| authority.ca_type() == CaType::Jwt)
        .flat_map(|authority| [&authority.spec.active_keys, &authority.spec.additional_trusted_keys])
        .flat_map(|set| &set.jwt)
        .filter_map(|pair| PublicKey::from_pem(std::str::from_utf8(&pair.public_key.0).ok()?).ok())
        .map(|key| Jwk::of(&key))
        .collect();
    let mut response = pages::answer(StatusCode::OK, "application/json", json!({ "keys": keys }).to_string());
    response.headers_mut().insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("max-age=60"));
    response
}
