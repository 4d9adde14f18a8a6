//! `tessera configure`: writes a configuration file that works.

use std::path::PathBuf;

use cli::Output;
use daemon::{
    config::{Config, Suite},
    configure::{Acme, Answers, Joins, Target, text, write},
};

const SUITES: [Suite; 4] = [Suite::BalancedV1, Suite::Legacy, Suite::FipsV1, Suite::HsmV1];

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tessera configure --cluster-name=example.com\n  \
                        tessera configure --cluster-name=example.com --public-addr=auth.example.com:3025 -o file\n  \
                        tessera configure --roles=proxy --auth-server=auth.example.com --token=/etc/token \\\n    \
                        --ca-pin=sha256:… --public-addr=proxy.example.com:443 --cert-file=proxy.crt --key-file=proxy.key\n  \
                        tessera configure --roles=app --proxy=proxy.example.com:443 --token=/etc/token \\\n    \
                        --app-name=grafana --app-uri=http://localhost:3000\n  \
                        tessera configure -o /tmp/tessera.yaml --data-dir=/tmp/tessera")]
pub(crate) struct Args {
    /// Services to run, comma separated: auth, proxy, app [default: auth, and what the other flags speak of].
    #[arg(short, long, value_name = "ROLES", value_delimiter = ',')]
    roles: Vec<String>,
    /// The cluster's name; it cannot change later [default: the host name].
    #[arg(long)]
    cluster_name: Option<String>,
    /// Names or addresses under which clients reach the proxy of this server, or its auth service when it has no proxy.
    #[arg(long, value_delimiter = ',')]
    public_addr: Vec<String>,
    /// This machine's name [default: the host name].
    #[arg(long, visible_alias = "node-name")]
    nodename: Option<String>,
    /// Where state lives.
    #[arg(long, value_hint = clap::ValueHint::DirPath)]
    data_dir: Option<PathBuf>,
    /// Where the API listens.
    #[arg(long)]
    listen_addr: Option<String>,
    /// Which key algorithms [default: balanced-v1].
    #[arg(long, value_name = "SUITE", value_parser = SUITES.map(Suite::as_str))]
    signature_algorithm_suite: Option<String>,
    /// The auth service of the cluster to join, or a proxy that leads to it.
    #[arg(long, value_name = "HOST:PORT")]
    auth_server: Option<String>,
    /// A proxy of the cluster to join.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "auth_server")]
    proxy: Option<String>,
    /// Token to join the cluster with, or the path of a file that holds it.
    #[arg(long)]
    token: Option<String>,
    /// Pin of the cluster's CA, `sha256:…`. May be repeated.
    #[arg(long)]
    ca_pin: Vec<String>,
    /// How to join the cluster.
    #[arg(long, default_value = "token", hide = true, value_parser = ["token"])]
    join_method: String,
    /// Name of an application beside this server.
    #[arg(long, requires = "app_uri")]
    app_name: Option<String>,
    /// Address of the application, such as http://localhost:3000.
    #[arg(long, requires = "app_name")]
    app_uri: Option<String>,
    /// Get web certificates from an ACME authority.
    #[arg(long)]
    acme: bool,
    /// Address for the ACME account.
    #[arg(long, requires = "acme")]
    acme_email: Option<String>,
    /// Certificate of the web port, with its chain.
    #[arg(long, requires = "key_file", value_hint = clap::ValueHint::FilePath)]
    cert_file: Option<PathBuf>,
    /// Key of the web port.
    #[arg(long, requires = "cert_file", value_hint = clap::ValueHint::FilePath)]
    key_file: Option<PathBuf>,
    /// Where to: `file` (/etc/tessera.yaml), `stdout`, or a path.
    #[arg(short, long, default_value = "stdout")]
    output: String,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let suite = args.signature_algorithm_suite.as_deref();
    let suite = SUITES.into_iter().find(|known| suite == Some(known.as_str()));
    // The server and tctl read this file from whatever directory they are started in.
    let absolute = |path: Option<PathBuf>| path.map(std::path::absolute).transpose();
    let answers = Answers {
        roles: args.roles,
        cluster_name: args.cluster_name,
        public_addr: args.public_addr,
        nodename: args.nodename,
        data_dir: absolute(args.data_dir)?,
        listen_addr: args.listen_addr,
        suite,
        joins: Joins {
            auth_server: args.auth_server,
            proxy_server: args.proxy,
            token: args.token,
            ca_pins: args.ca_pin,
        },
        https_keypair: absolute(args.cert_file)?.zip(absolute(args.key_file)?),
        acme: args.acme.then_some(Acme { email: args.acme_email }),
        app: args.app_name.zip(args.app_uri),
    };
    let text = text(&answers).map_err(cli::exit::invalid_input)?;
    let config = Config::from_text(&text, &args.output)?;
    for warning in config.warnings.iter().chain(&config.advice()) {
        cli::warn(warning);
    }
    let mut out = Output::stdout();
    match Target::parse(&args.output) {
        Target::Stdout => out.text(text),
        Target::File(path) => {
            write(&path, &text)?;
            let path = path.display();
            out.line(format_args!("The configuration has been written to {path}.\n  next: tessera start -c {path}"))
        }
    }
}
