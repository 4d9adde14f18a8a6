//! Events about who was let in, and who was not.

use clock::Timestamp;

use crate::event::events;

events! {
    /// Somebody was refused at the door: an unknown or locked user, an expired or foreign certificate.
    AuthAttempt = "auth" ["T3007W"] (user, connection, status) {}

    /// A known caller was denied an operation; says why, which the caller was not told.
    AccessDenied = "tessera.access.denied" ["TSR001W"] (user, connection, status) {
        /// What was asked for: the API's method, for example.
        operation: String,
        /// The verb that was decided.
        #[serde(skip_serializing_if = "String::is_empty")]
        verb: String,
        /// The kind of resource.
        #[serde(skip_serializing_if = "String::is_empty")]
        kind: String,
        /// The resource's name as it was asked for.
        #[serde(skip_serializing_if = "String::is_empty")]
        resource: String,
        /// The role that decided; empty when no role allowed it.
        #[serde(skip_serializing_if = "String::is_empty")]
        role: String,
        /// The rule in that role, as a path: `spec.deny.rules[2]`.
        #[serde(skip_serializing_if = "String::is_empty")]
        rule: String,
        /// The decision in words.
        explanation: String,
        /// How many like denials this record stands for, when they were merged.
        #[serde(skip_serializing_if = "is_single")]
        attempts: u64,
        /// Where this record could not be written for a while: when that was tried first, within a minute of the denial.
        #[serde(with = "crate::time::optional", skip_serializing_if = "Option::is_none")]
        first_attempt: Option<Timestamp>,
    }
}

/// serde: one attempt is not worth a field.
fn is_single(attempts: &u64) -> bool {
    *attempts <= 1
}
