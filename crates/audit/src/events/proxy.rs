//! Events about the public port.

use crate::event::events;

events! {
    /// A proxy got a certificate for its public port from an ACME authority.
    PublicCertificateStore = "tessera.public_certificate.store" ["TSR060I"] (resource, user, connection) {
        /// SHA-256 of the certificate.
        fingerprint: String,
        /// Who issued it.
        #[serde(skip_serializing_if = "String::is_empty")]
        issuer: String,
    }

    /// A proxy made an account with an ACME authority; the name is the authority's directory.
    AcmeAccountStore = "tessera.acme_account.store" ["TSR061I"] (resource, user, connection) {
        /// The account's URL.
        account: String,
    }
}
