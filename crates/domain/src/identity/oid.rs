//! The attributes of an X.509 subject.

macro_rules! oids {
    ($($name:ident = $oid:literal;)+) => {
        $(#[doc = concat!("`", $oid, "`")] pub const $name: &str = $oid;)+

        /// Every attribute that is of our own making.
        pub(super) const KNOWN: &[&str] = &[$($name),+];
    };
}

oids! {
    ORGANIZATION = "2.5.4.10";
    ORGANIZATIONAL_UNIT = "2.5.4.11";
    LOCALITY = "2.5.4.7";
    STREET = "2.5.4.9";
    POSTAL_CODE = "2.5.4.17";
    COMMON_NAME = "2.5.4.3";
    KUBERNETES_USERS = "1.3.9999.1.1";
    KUBERNETES_GROUPS = "1.3.9999.1.2";
    KUBERNETES_CLUSTER = "1.3.9999.1.3";
    APP_SESSION_ID = "1.3.9999.1.4";
    APP_CLUSTER = "1.3.9999.1.5";
    APP_PUBLIC_ADDR = "1.3.9999.1.6";
    TELEPORT_CLUSTER = "1.3.9999.1.7";
    MFA_VERIFIED = "1.3.9999.1.8";
    LOGIN_IP = "1.3.9999.1.9";
    APP_NAME = "1.3.9999.1.10";
    APP_AWS_ROLE = "1.3.9999.1.11";
    AWS_ROLE_ARNS = "1.3.9999.1.12";
    RENEWABLE = "1.3.9999.1.13";
    GENERATION = "1.3.9999.1.14";
    PRIVATE_KEY_POLICY = "1.3.9999.1.15";
    APP_AZURE_IDENTITY = "1.3.9999.1.16";
    AZURE_IDENTITIES = "1.3.9999.1.17";
    APP_GCP_ACCOUNT = "1.3.9999.1.18";
    GCP_ACCOUNTS = "1.3.9999.1.19";
    USER_TYPE = "1.3.9999.1.20";
    DATABASE_SERVICE = "1.3.9999.2.1";
    DATABASE_PROTOCOL = "1.3.9999.2.2";
    DATABASE_USER = "1.3.9999.2.3";
    DATABASE_NAME = "1.3.9999.2.4";
    DATABASE_NAMES = "1.3.9999.2.5";
    DATABASE_USERS = "1.3.9999.2.6";
    IMPERSONATOR = "1.3.9999.2.7";
    ACTIVE_REQUESTS = "1.3.9999.2.8";
    DISALLOW_REISSUE = "1.3.9999.2.9";
    ALLOWED_RESOURCES = "1.3.9999.2.10";
    SYSTEM_ROLES = "1.3.9999.2.11";
    PREVIOUS_IDENTITY_EXPIRES = "1.3.9999.2.12";
    CONNECTION_DIAGNOSTIC_ID = "1.3.9999.2.13";
    PINNED_IP = "1.3.9999.2.15";
    BOT_NAME = "1.3.9999.2.18";
    REQUESTED_DATABASE_ROLES = "1.3.9999.2.19";
    BOT_INSTANCE_ID = "1.3.9999.2.20";
    JOIN_ATTRIBUTES = "1.3.9999.2.21";
    JOIN_TOKEN_HASH = "1.3.9999.50.1";
    DEVICE_ID = "1.3.9999.3.1";
    DEVICE_ASSET_TAG = "1.3.9999.3.2";
    DEVICE_CREDENTIAL_ID = "1.3.9999.3.3";
}
