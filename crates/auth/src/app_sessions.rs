//! Sessions with applications: what a certificate or a cookie is good for at the proxy and at the agent.
//!
//! Whoever knows the id of a session and is a proxy can speak for it; so the id is nowhere but in the certificate or the
//! cookie. What is stored lies under its hash and is sealed with it, what people see is the beginning of that hash.

pub mod assertion;
pub mod create;
pub mod end;
pub mod fetch;
pub mod list;
pub mod live;
pub mod report;

mod record;

use crypto::x509;
use domain::{Error, Kind, error::Kind as ErrorKind, identity::Identity, role::SystemRole};
use rbac::{RuleContext, Verb};

pub(crate) use end::expired;
pub(crate) use record::Record;
pub use record::{Holder, MOST_SESSIONS, SessionId, Shown};

use crate::{Auth, Caller, Operation, decide::Asked, failure::internal};

/// A session that lives: what is stored about it, and whose it is.
pub(crate) struct Alive {
    pub(crate) record: Record,
    pub(crate) certificate: x509::Certificate,
    pub(crate) identity: Identity,
}

/// The session of this id if it lives now: it has not ended, its authority is trusted, its user and all its roles are there,
/// no lock hits it.
pub(crate) async fn alive(auth: &Auth, id: &SessionId) -> Result<Option<Alive>, Error> {
    match record::read(auth, &id.hash()).await? {
        Some(record) => checked(auth, record),
        None => Ok(None),
    }
}

pub(crate) fn checked(auth: &Auth, record: Record) -> Result<Option<Alive>, Error> {
    if record.not_after <= auth.clock.now() {
        return Ok(None);
    }
    let certificate = x509::Certificate::from_pem(&record.certificate)
        .map_err(|error| internal("the certificate of a session cannot be read", error))?;
    let decided = auth.trusted_identity(&certificate).and_then(|(identity, from_host_authority)| {
        if from_host_authority {
            return Err(Error::denied("a session of a host"));
        }
        auth.user_access(&identity, &certificate)?;
        auth.refuse_locked(&identity)?;
        Ok(identity)
    });
    match decided {
        Ok(identity) => Ok(Some(Alive { record, certificate, identity })),
        Err(error) if error.kind() == ErrorKind::Denied => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lets parts of the system go on that may use sessions whose id they have seen. A rule of a person's role says nothing
/// about it: with the keys of a session its reader would be somebody else.
fn require_part(
    auth: &Auth,
    caller: &Caller,
    operation: Operation,
    verb: Verb,
    parts: &[SystemRole],
) -> Result<(), Error> {
    let asked = Asked { operation, kind: Kind::WebSession, verb, name: "" };
    auth.require(caller, &asked, &RuleContext::NONE)?;
    match caller.system_role() {
        Some(role) if role == SystemRole::Admin || parts.contains(&role) => Ok(()),
        _ => Err(Error::denied("access denied")),
    }
}

fn gone() -> Error {
    Error::not_found("this session with an application does not exist, or has ended")
}
