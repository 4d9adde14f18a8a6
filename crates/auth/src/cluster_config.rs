//! Cluster-wide settings: how to authenticate, networking, session recording, and what the audit log keeps.

pub mod read;
pub mod reset;
pub mod update;
pub mod upsert;

use audit::{
    Status,
    events::config::{
        AuthPreferenceUpdate, ClusterAuditConfigUpdate, ClusterNetworkingConfigUpdate, SessionRecordingConfigUpdate,
    },
};
use domain::{
    Error, Kind,
    metadata::ORIGIN,
    resources::{AuditConfig, AuthPreference, NetworkingConfig, SessionRecordingConfig, auth_preference::SecondFactor},
};
use rbac::{RuleContext, Verb};
use store::{Change, Keyed, Receipt};

use crate::{Auth, Caller, Operation, decide::Asked};

/// A setting of which there is one in a cluster, and that the API or the server's start can change.
pub trait Setting: Keyed + Default {
    /// Adds the audit event of a change.
    fn record(change: Change, caller: &Caller, before: Option<&Self>, after: &Self) -> Change;
}

impl Setting for AuthPreference {
    fn record(change: Change, caller: &Caller, before: Option<&Self>, after: &Self) -> Change {
        let enforced = |preference: &Self| !preference.spec.second_factors.contains(&SecondFactor::Otp);
        // The enum of the v18 API: 1 unchanged, 2 enabled, 3 disabled.
        let admin_actions_mfa_changed = match (before.is_some_and(enforced), enforced(after)) {
            (before, after) if before == after => 1,
            (_, true) => 2,
            (_, false) => 3,
        };
        change.event(&AuthPreferenceUpdate {
            status: Status::succeeded(),
            user: caller.user_metadata(),
            connection: caller.connection(),
            admin_actions_mfa_changed,
        })
    }
}

impl Setting for NetworkingConfig {
    fn record(change: Change, caller: &Caller, _: Option<&Self>, _: &Self) -> Change {
        change.event(&ClusterNetworkingConfigUpdate {
            status: Status::succeeded(),
            user: caller.user_metadata(),
            connection: caller.connection(),
        })
    }
}

impl Setting for AuditConfig {
    fn record(change: Change, caller: &Caller, _: Option<&Self>, _: &Self) -> Change {
        change.event(&ClusterAuditConfigUpdate {
            status: Status::succeeded(),
            user: caller.user_metadata(),
            connection: caller.connection(),
        })
    }
}

impl Setting for SessionRecordingConfig {
    fn record(change: Change, caller: &Caller, _: Option<&Self>, _: &Self) -> Change {
        change.event(&SessionRecordingConfigUpdate {
            status: Status::succeeded(),
            user: caller.user_metadata(),
            connection: caller.connection(),
        })
    }
}

/// Asks for each of the verbs on a setting.
fn permit<T: Setting>(auth: &Auth, caller: &Caller, verbs: &[Verb]) -> Result<(), Error> {
    for &verb in verbs {
        let asked = Asked { operation: Operation::UpdateClusterConfig, kind: T::KIND, verb, name: name::<T>() };
        auth.require(caller, &asked, &RuleContext::NONE)?;
    }
    Ok(())
}

/// The name of the only resource of a kind.
fn name<T: Keyed>() -> &'static str {
    T::KIND.singleton_name().unwrap_or_default()
}

/// Stores a setting over exactly the one that was looked at.
async fn replace<T: Setting>(auth: &Auth, caller: &Caller, setting: &T) -> Result<Receipt, Error> {
    let mut change = auth.store.change();
    let stored = change.read::<T>(name::<T>()).await?;
    refuse_static(stored.as_ref())?;
    T::record(change.upsert(setting)?, caller, stored.as_ref(), setting).commit().await
}

/// Refuses to change what the configuration file says: the next start would undo it silently.
fn refuse_static<T: Setting>(stored: Option<&T>) -> Result<(), Error> {
    if stored.is_some_and(|stored| stored.metadata().label(ORIGIN) == "config-file") {
        return Err(Error::invalid(format!(
            "{} is managed by the configuration file of the auth service; change it there and restart the service",
            T::KIND
        )));
    }
    Ok(())
}

/// Makes what came in a document that can be stored: the only name, no end, defaults, and where it comes from.
fn normalize<T: Setting>(setting: &mut T, origin: &str) -> Result<(), Error> {
    let metadata = setting.metadata_mut();
    let wanted = name::<T>();
    if !metadata.name.is_empty() && metadata.name != wanted {
        return Err(Error::invalid(format!("metadata.name: must be {wanted:?}, found {:?}", metadata.name)));
    }
    wanted.clone_into(&mut metadata.name);
    metadata.expires = None;
    metadata.labels.insert(ORIGIN.to_owned(), origin.to_owned());
    setting.set_defaults();
    setting.validate()
}

/// Whether every identity of the cluster may read a setting: agents and tools must know how to authenticate.
fn is_for_everybody(kind: Kind) -> bool {
    matches!(kind, Kind::AuthPreference | Kind::ClusterName)
}
