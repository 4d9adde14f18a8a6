//! The closed list of what the authority can be asked to do, and what each leaves in the audit log.

/// What an operation leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    /// It changes nothing.
    Read,
    /// It changes something, and an audit event is durable in the same commit.
    Event,
    /// It changes something that is too frequent and too small to audit: heartbeats, keep-alives, sweeps.
    Presence,
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $trace:ident,)*) => {
        /// One public operation of this crate.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Operation {
            $($(#[$doc])* $name,)*
        }

        impl Operation {
            /// All of them, in the order of this file.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What it leaves behind.
            pub const fn trace(self) -> Trace {
                match self {
                    $(Self::$name => Trace::$trace,)*
                }
            }

            /// Its name, for logs and metrics.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

operations! {
    /// Server version, cluster name and features.
    Ping = Read,
    /// The cluster's name.
    ReadDomainName = Read,
    /// The host CA, for those who verify it by a pin.
    ReadClusterCa = Read,
    /// A machine without an identity proves what it is.
    Join = Event,
    /// X.509 and SSH certificates for a user: renewal, impersonation, signing by an administrator.
    IssueUserCertificates = Event,
    /// An SSH host certificate.
    IssueHostCertificate = Event,
    /// A host renews its certificates.
    IssueHostIdentity = Event,
    /// A bot whose certificate expired a short while ago renews it.
    RenewInGrace = Event,
    /// Roles.
    ReadRoles = Read,
    /// The caller's own roles.
    ReadOwnRoles = Read,
    /// A new role.
    CreateRole = Event,
    /// A role at a known revision.
    UpdateRole = Event,
    /// A role whatever was there.
    UpsertRole = Event,
    /// A role goes.
    DeleteRole = Event,
    /// Users.
    ReadUsers = Read,
    /// A new user.
    CreateUser = Event,
    /// A user at a known revision.
    UpdateUser = Event,
    /// A user whatever was there.
    UpsertUser = Event,
    /// A user goes.
    DeleteUser = Event,
    /// A link with which a person sets a password.
    CreateUserToken = Event,
    /// A link, for who has it.
    ReadUserToken = Read,
    /// Join tokens.
    ReadTokens = Read,
    /// A new join token.
    CreateToken = Event,
    /// A join token whatever was there.
    UpsertToken = Event,
    /// A join token goes.
    DeleteToken = Event,
    /// Bots.
    ReadBots = Read,
    /// A new bot, its user and its role.
    CreateBot = Event,
    /// Fields of a bot.
    UpdateBot = Event,
    /// A bot whatever was there.
    UpsertBot = Event,
    /// A bot, its user and its role go.
    DeleteBot = Event,
    /// Bot instances.
    ReadBotInstances = Read,
    /// A bot instance goes and leaves a tombstone.
    DeleteBotInstance = Event,
    /// A bot says that it lives.
    SubmitHeartbeat = Presence,
    /// Locks.
    ReadLocks = Read,
    /// A lock whatever was there.
    UpsertLock = Event,
    /// A lock goes.
    DeleteLock = Event,
    /// Cluster-wide settings.
    ReadClusterConfig = Read,
    /// Cluster-wide settings change.
    UpdateClusterConfig = Event,
    /// Certificate authorities.
    ReadAuthorities = Read,
    /// Trusted keys of a certificate authority change.
    UpsertAuthority = Event,
    /// A certificate authority goes.
    DeleteAuthority = Event,
    /// Private keys of the authorities leave the server.
    ExportKeys = Event,
    /// Lists of revoked certificates.
    ReadRevocations = Read,
    /// Applications.
    ReadApps = Read,
    /// A new application.
    CreateApp = Event,
    /// An application changes.
    UpdateApp = Event,
    /// An application goes.
    DeleteApp = Event,
    /// What serves applications.
    ReadAppServers = Read,
    /// An application's server says that it lives.
    UpsertAppServer = Presence,
    /// An application's server goes.
    DeleteAppServer = Presence,
    /// Sessions with applications, without what is secret of them.
    ReadAppSessions = Read,
    /// Everything that is needed to speak for a session with an application.
    FetchAppSession = Read,
    /// Whether a session with an application lives.
    CheckAppSession = Read,
    /// A word for an application about whose session it is.
    SignAppAssertion = Read,
    /// A session with an application, held by a cookie.
    CreateAppSession = Event,
    /// A session with an application ends.
    DeleteAppSession = Event,
    /// Which proxies there are.
    ReadProxies = Read,
    /// A proxy says that it is there.
    UpsertProxy = Presence,
    /// Certificates of the public port, with their keys, and what is shared to get them.
    ReadPublicCertificates = Read,
    /// A certificate of the public port whatever was there.
    StorePublicCertificate = Event,
    /// An account with an ACME authority.
    StoreAcmeAccount = Event,
    /// A proxy proves to an ACME authority that a name is its own.
    ProvePublicName = Presence,
    /// Changes as they happen.
    Watch = Read,
    /// The audit log.
    SearchEvents = Read,
    /// The audit log's own proof.
    VerifyAudit = Read,
    /// An agent reports an event.
    EmitEvent = Event,
    /// What the caller's access could be, for tools that ask before they act.
    ReadCapabilities = Read,
    /// Why an identity may or may not do something.
    ExplainAccess = Read,
    /// What runs in the cluster.
    ReadInventory = Read,
    /// How the cluster is.
    ReadStatus = Read,
    /// What has expired goes.
    Sweep = Presence,
}
