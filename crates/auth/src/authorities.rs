//! Certificate authorities: whom to trust. Their private keys leave by [`export_keys`] alone.

pub mod delete;
pub mod export_keys;
pub mod host_certificate;
pub mod list;
pub mod read;
pub mod rotate;
pub mod upsert;

use crypto::x509;
use domain::{Error, Kind, ca::CaType, resources::CertAuthority};
use rbac::{RuleContext, Verb};

use crate::{Auth, Caller, Operation, decide::Asked, failure::internal};

/// Reads a type as a request names it.
///
/// # Errors
/// Invalid, in the words that clients look for when they ask for a type that a server does not have.
pub(crate) fn parse(word: &str) -> Result<CaType, Error> {
    CaType::parse(word).ok_or_else(|| Error::invalid(format!("{word:?} authority type is not supported")))
}

/// Decides who may read an authority. What is public is for everybody whom no role denies it; "with keys" takes a rule and
/// the auth server's own host, and even then the keys stay behind: there is one operation for them.
fn permit(auth: &Auth, caller: &Caller, name: &str, with_keys: bool) -> Result<(), Error> {
    let asked = |verb| Asked { operation: Operation::ReadAuthorities, kind: Kind::CertAuthority, verb, name };
    if !with_keys {
        return auth.require_undenied(caller, &asked(Verb::ReadNoSecrets), &RuleContext::NONE);
    }
    auth.require(caller, &asked(Verb::Read), &RuleContext::NONE)?;
    if caller.is_local_admin() {
        return Ok(());
    }
    Err(Error::denied(
        "access denied: private keys of authorities are handed out on the auth server's host only: tctl auth export --keys",
    ))
}

/// The pins of an authority's certificates, for the audit log.
fn pins(authority: &CertAuthority) -> Result<Vec<String>, Error> {
    Ok(certificates(authority)?.iter().map(|certificate| certificate.pin()).collect())
}

/// The trusted certificates, readable or the request is refused.
fn certificates(authority: &CertAuthority) -> Result<Vec<x509::Certificate>, Error> {
    ca::authority::trusted_certificates(authority)
        .map_err(|error| internal("a certificate authority cannot be read", error))
}
