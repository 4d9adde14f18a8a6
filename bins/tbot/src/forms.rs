//! The forms of `tbot start` and `tbot configure`: each stands for a configuration with one output or service.

use bot::{
    Overrides,
    config::{Destination, Reader, Service},
};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::args::{Globals, Shared};

/// What the help of a form shows: both commands that know it.
macro_rules! example {
    ($line:literal) => {
        concat!(
            "Examples:\n  tbot start ", $line, " \\\n      --auth-server=auth.example.com:3025 --token=TOKEN --ca-pin=sha256:…\n  \
             tbot configure ", $line, " -o /etc/tbot.yaml \\\n      --auth-server=auth.example.com:3025 --token=/etc/tbot-token --ca-pin=sha256:…"
        )
    };
}

/// A form; plain `start` is `legacy`.
#[derive(Debug, Subcommand)]
pub(crate) enum Form {
    /// The flags of old: one identity output, or just a configuration file.
    #[command(after_help = example!("legacy --data-dir=/var/lib/teleport/bot --destination-dir=/opt/machine-id"))]
    Legacy(Legacy),
    /// Certificates for SSH, TLS clients and the API.
    #[command(visible_aliases = ["ssh", "id"])]
    #[command(after_help = example!("identity --destination=file:///opt/machine-id --reader-user=app"))]
    Identity(Identity),
    /// Certificates for an application.
    #[command(visible_alias = "app")]
    #[command(after_help = example!("application --destination=/opt/grafana --app=grafana"))]
    Application(Application),
    /// A local tunnel to an application.
    #[command(after_help = example!("application-tunnel --listen=tcp://127.0.0.1:8080 --app=grafana"))]
    ApplicationTunnel(ApplicationTunnel),
    /// A local HTTP proxy to applications.
    #[command(after_help = example!("application-proxy --listen=tcp://127.0.0.1:8080"))]
    ApplicationProxy(ApplicationProxy),
    /// Certificates for a database.
    #[command(visible_alias = "db")]
    #[command(after_help = example!("database --destination=/opt/db --service=postgres --username=app --database=orders"))]
    Database(Database),
    /// A local tunnel to a database.
    #[command(after_help = example!("database-tunnel --listen=tcp://127.0.0.1:5432 --service=postgres --username=app --database=orders"))]
    DatabaseTunnel(DatabaseTunnel),
    /// A kubeconfig for one cluster.
    #[command(visible_alias = "k8s")]
    #[command(after_help = example!("kubernetes --destination=/opt/kube --kubernetes-cluster=prod"))]
    Kubernetes(Kubernetes),
    /// A kubeconfig for many clusters.
    #[command(name = "kubernetes/v2")]
    #[command(after_help = example!("kubernetes/v2 --destination=/opt/kube --name-selector=prod --label-selector=env=dev"))]
    KubernetesV2(KubernetesV2),
    /// SSH connections through one process.
    #[command(after_help = example!("ssh-multiplexer --destination=/opt/ssh"))]
    SshMultiplexer(SshMultiplexer),
    /// An X.509 SVID.
    #[command(after_help = example!("workload-identity-x509 --destination=/opt/svid --name-selector=web"))]
    WorkloadIdentityX509(WorkloadX509),
    /// A JWT SVID.
    #[command(after_help = example!("workload-identity-jwt --destination=/opt/svid --name-selector=web --audience=api.example.com"))]
    WorkloadIdentityJwt(WorkloadJwt),
    /// The SPIFFE Workload API.
    #[command(after_help = example!("workload-identity-api --listen=unix:///run/spire.sock --name-selector=web"))]
    WorkloadIdentityApi(WorkloadApi),
    /// AWS credentials through Roles Anywhere.
    #[command(after_help = example!("workload-identity-aws-roles-anywhere --destination=/opt/aws --name-selector=web --role-arn=ARN --profile-arn=ARN --trust-anchor-arn=ARN"))]
    WorkloadIdentityAwsRolesAnywhere(RolesAnywhere),
    /// Joins and renews, and nothing else.
    #[command(after_help = example!("noop --storage=memory://"))]
    Noop(Noop),
}

/// Where an output goes and who may read it.
#[derive(Debug, Args)]
struct Target {
    /// A directory, `file:///path`, `memory://` or `kubernetes-secret://name`.
    #[arg(long, value_name = "URI")]
    destination: String,
    /// A user who may read the files. May be repeated.
    #[arg(long = "reader-user", value_name = "USER")]
    reader_users: Vec<String>,
    /// A group that may read the files. May be repeated.
    #[arg(long = "reader-group", value_name = "GROUP")]
    reader_groups: Vec<String>,
}

/// Declares a form's flags: the shared ones, and its own.
macro_rules! forms {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Args)]
        pub(crate) struct $name {
            #[command(flatten)]
            shared: Shared,
            $($(#[$attribute])* $field: $type,)*
        }
    )*};
}

forms! {
    /// Flags.
    Identity {
        #[command(flatten)]
        target: Target,
        /// Leaf cluster.
        #[arg(long)]
        cluster: Option<String>,
        /// Let the certificate be exchanged for others.
        #[arg(long, overrides_with = "no_allow_reissue")]
        allow_reissue: bool,
        #[arg(long, hide = true, overrides_with = "allow_reissue")]
        no_allow_reissue: bool,
    }
    /// Flags.
    Application {
        #[command(flatten)]
        target: Target,
        /// Name of the application.
        #[arg(long)]
        app: String,
        /// Write tls.crt, tls.key and tls.cas too.
        #[arg(long, overrides_with = "no_specific_tls_extensions")]
        specific_tls_extensions: bool,
        #[arg(long, hide = true, overrides_with = "specific_tls_extensions")]
        no_specific_tls_extensions: bool,
    }
    /// Flags.
    ApplicationTunnel {
        /// `tcp://address:port` or `unix:///path`.
        #[arg(long)]
        listen: String,
        /// Name of the application.
        #[arg(long)]
        app: String,
    }
    /// Flags.
    ApplicationProxy {
        /// `tcp://address:port` or `unix:///path`.
        #[arg(long)]
        listen: String,
    }
    /// Flags.
    Database {
        #[command(flatten)]
        target: Target,
        /// Name of the database service.
        #[arg(long)]
        service: String,
        /// Database user.
        #[arg(long)]
        username: String,
        /// Database.
        #[arg(long)]
        database: String,
        /// Names of the files: tls, mongo or cockroach.
        #[arg(long)]
        format: Option<String>,
    }
    /// Flags.
    DatabaseTunnel {
        /// `tcp://address:port` or `unix:///path`.
        #[arg(long)]
        listen: String,
        /// Name of the database service.
        #[arg(long)]
        service: String,
        /// Database user.
        #[arg(long)]
        username: String,
        /// Database.
        #[arg(long)]
        database: String,
    }
    /// Flags.
    Kubernetes {
        #[command(flatten)]
        target: Target,
        /// Name of the cluster.
        #[arg(long)]
        kubernetes_cluster: String,
        /// Put the credentials into the file.
        #[arg(long, overrides_with = "no_disable_exec_plugin")]
        disable_exec_plugin: bool,
        #[arg(long, hide = true, overrides_with = "disable_exec_plugin")]
        no_disable_exec_plugin: bool,
    }
    /// Flags.
    KubernetesV2 {
        #[command(flatten)]
        target: Target,
        /// Name of a cluster. May be repeated.
        #[arg(long = "name-selector")]
        names: Vec<String>,
        /// `k=v,k=v`. May be repeated.
        #[arg(long = "label-selector")]
        labels: Vec<String>,
        /// Put the credentials into the file.
        #[arg(long, overrides_with = "no_disable_exec_plugin")]
        disable_exec_plugin: bool,
        #[arg(long, hide = true, overrides_with = "disable_exec_plugin")]
        no_disable_exec_plugin: bool,
    }
    /// Flags.
    SshMultiplexer {
        #[command(flatten)]
        target: Target,
        /// Sessions survive a change of network.
        #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        enable_resumption: Option<bool>,
        #[arg(long, hide = true, overrides_with = "enable_resumption")]
        no_enable_resumption: bool,
        /// Program that OpenSSH runs. May be repeated.
        #[arg(long)]
        proxy_command: Vec<String>,
        /// File with proxy templates.
        #[arg(long)]
        proxy_templates_path: Option<String>,
    }
    /// Flags.
    WorkloadX509 {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        selector: Selector,
        /// Write the bundles of federated trust domains too.
        #[arg(long, overrides_with = "no_include_federated_trust_bundles")]
        include_federated_trust_bundles: bool,
        #[arg(long, hide = true, overrides_with = "include_federated_trust_bundles")]
        no_include_federated_trust_bundles: bool,
    }
    /// Flags.
    WorkloadJwt {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        selector: Selector,
        /// Who is to accept the token. May be repeated.
        #[arg(long = "audience", required = true)]
        audiences: Vec<String>,
    }
    /// Flags.
    WorkloadApi {
        #[command(flatten)]
        selector: Selector,
        /// `tcp://address:port` or `unix:///path`.
        #[arg(long)]
        listen: String,
    }
    /// Flags.
    RolesAnywhere {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        selector: Selector,
        /// The role.
        #[arg(long)]
        role_arn: String,
        /// The profile.
        #[arg(long)]
        profile_arn: String,
        /// The trust anchor.
        #[arg(long)]
        trust_anchor_arn: String,
        /// The region.
        #[arg(long)]
        region: Option<String>,
        /// Lifetime of the AWS session.
        #[arg(long)]
        session_duration: Option<String>,
        /// Time between renewals of it.
        #[arg(long)]
        session_renewal_interval: Option<String>,
    }
    /// Flags.
    Noop {}
    /// Flags.
    Legacy {
        /// Where the bot keeps its own state; the older spelling of --storage.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<String>,
        /// Where an identity output goes.
        #[arg(long, value_name = "DIR")]
        destination_dir: Option<String>,
    }
}

/// Which workload identity.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Selector {
    /// Its name.
    #[arg(long = "name-selector")]
    name: Option<String>,
    /// `k=v1|v2,k=v`.
    #[arg(long = "label-selector")]
    labels: Option<String>,
}

impl Form {
    /// What the form says about the configuration.
    pub(crate) fn overrides(self, globals: &Globals) -> Result<Overrides, String> {
        let (shared, kind, target, spec) = match self {
            Self::Noop(form) => return Ok(form.shared.overrides(globals)),
            Self::Legacy(form) => return form.overrides(globals),
            Self::Identity(form) => {
                let spec = json!({ "cluster": form.cluster, "allow_reissue": form.allow_reissue });
                (form.shared, "identity", Some(form.target), spec)
            }
            Self::Application(form) => {
                let spec = json!({ "app_name": form.app, "specific_tls_naming": form.specific_tls_extensions });
                (form.shared, "application", Some(form.target), spec)
            }
            Self::ApplicationTunnel(form) => {
                let spec = json!({ "listen": form.listen, "app_name": form.app });
                (form.shared, "application-tunnel", None, spec)
            }
            Self::ApplicationProxy(form) => (form.shared, "application-proxy", None, json!({ "listen": form.listen })),
            Self::Database(form) => {
                let spec = json!({ "service": form.service, "database": form.database, "username": form.username,
                    "format": form.format });
                (form.shared, "database", Some(form.target), spec)
            }
            Self::DatabaseTunnel(form) => {
                let spec = json!({ "listen": form.listen, "service": form.service, "database": form.database,
                    "username": form.username });
                (form.shared, "database-tunnel", None, spec)
            }
            Self::Kubernetes(form) => {
                let spec = json!({ "kubernetes_cluster": form.kubernetes_cluster,
                    "disable_exec_plugin": form.disable_exec_plugin });
                (form.shared, "kubernetes", Some(form.target), spec)
            }
            Self::KubernetesV2(form) => {
                let spec = json!({ "selectors": selectors(&form.names, &form.labels)?,
                    "disable_exec_plugin": form.disable_exec_plugin });
                (form.shared, "kubernetes/v2", Some(form.target), spec)
            }
            Self::SshMultiplexer(form) => {
                let spec = json!({ "enable_resumption": form.resumption(), "proxy_command": form.proxy_command,
                    "proxy_templates_path": form.proxy_templates_path });
                (form.shared, "ssh-multiplexer", Some(form.target), spec)
            }
            Self::WorkloadIdentityX509(form) => {
                let spec = json!({ "selector": form.selector.to_json()?,
                    "include_federated_trust_bundles": form.include_federated_trust_bundles });
                (form.shared, "workload-identity-x509", Some(form.target), spec)
            }
            Self::WorkloadIdentityJwt(form) => {
                let spec = json!({ "selector": form.selector.to_json()?, "audiences": form.audiences });
                (form.shared, "workload-identity-jwt", Some(form.target), spec)
            }
            Self::WorkloadIdentityApi(form) => {
                let spec = json!({ "listen": form.listen, "selector": form.selector.to_json()? });
                (form.shared, "workload-identity-api", None, spec)
            }
            Self::WorkloadIdentityAwsRolesAnywhere(form) => {
                let spec = json!({ "selector": form.selector.to_json()?, "role_arn": form.role_arn,
                    "profile_arn": form.profile_arn, "trust_anchor_arn": form.trust_anchor_arn, "region": form.region,
                    "session_duration": form.session_duration,
                    "session_renewal_interval": form.session_renewal_interval });
                (form.shared, "workload-identity-aws-roles-anywhere", Some(form.target), spec)
            }
        };
        let mut service = Service::new(kind)?;
        service.destination = target.map(Target::destination).transpose()?;
        service.spec = said(spec);
        Ok(Overrides { service: Some(service), ..shared.overrides(globals) })
    }
}

impl Legacy {
    pub(crate) fn overrides(self, globals: &Globals) -> Result<Overrides, String> {
        let mut overrides = self.shared.overrides(globals);
        overrides.storage = overrides.storage.or(self.data_dir);
        if let Some(directory) = self.destination_dir {
            let mut service = Service::new("identity")?;
            service.destination = Some(Destination::from_uri(&directory)?);
            overrides.service = Some(service);
        }
        Ok(overrides)
    }
}

impl SshMultiplexer {
    fn resumption(&self) -> Option<bool> {
        if self.no_enable_resumption { Some(false) } else { self.enable_resumption }
    }
}

impl Target {
    fn destination(self) -> Result<Destination, String> {
        let mut destination =
            Destination::from_uri(&self.destination).map_err(|text| format!("--destination: {text}"))?;
        let readers = self.reader_users.into_iter().map(Reader::User);
        let readers: Vec<_> = readers.chain(self.reader_groups.into_iter().map(Reader::Group)).collect();
        match &mut destination {
            Destination::Directory(directory) => directory.readers = readers,
            _ if readers.is_empty() => {}
            _ => return Err("--reader-user and --reader-group need a directory".into()),
        }
        Ok(destination)
    }
}

impl Selector {
    fn to_json(&self) -> Result<Value, String> {
        match (&self.name, &self.labels) {
            (Some(name), _) => Ok(json!({ "name": name })),
            (None, labels) => Ok(json!({ "labels": label_map(labels.as_deref().unwrap_or_default())? })),
        }
    }
}

fn selectors(names: &[String], labels: &[String]) -> Result<Vec<Value>, String> {
    if names.is_empty() && labels.is_empty() {
        return Err("give --name-selector or --label-selector".into());
    }
    let names = names.iter().map(|name| Ok(json!({ "name": name })));
    let labels = labels.iter().map(|labels| Ok(json!({ "labels": label_map(labels)? })));
    names.chain(labels).collect()
}

/// `k=v1|v2,k=v`
fn label_map(text: &str) -> Result<Map<String, Value>, String> {
    let pair = |pair: &str| {
        let (key, values) = pair.split_once('=').ok_or_else(|| format!("{pair:?}: write key=value"))?;
        Ok((key.trim().to_owned(), values.split('|').map(str::trim).collect::<Value>()))
    };
    text.split(',').filter(|pair| !pair.trim().is_empty()).map(pair).collect()
}

/// Only what was said: no nulls, no switches that are off, no empty lists.
fn said(spec: Value) -> Map<String, Value> {
    let Value::Object(map) = spec else { return Map::new() };
    let is_said = |key: &str, value: &Value| match value {
        Value::Null => false,
        // The one switch that is on unless somebody says otherwise.
        Value::Bool(false) => key == "enable_resumption",
        Value::Array(items) => !items.is_empty(),
        _ => true,
    };
    map.into_iter().filter(|(key, value)| is_said(key, value)).collect()
}

#[cfg(test)]
mod tests;
