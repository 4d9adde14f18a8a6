//! `tessera configure`: writes a configuration file that works.

use std::path::PathBuf;

use anyhow::bail;
use cli::Output;
use daemon::{
    config::{Config, Suite},
    configure::{Answers, Target, text, write},
};

const SUITES: [Suite; 4] = [Suite::BalancedV1, Suite::Legacy, Suite::FipsV1, Suite::HsmV1];

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tessera configure --cluster-name=example.com\n  \
                        tessera configure --cluster-name=example.com --public-addr=auth.example.com:3025 -o file\n  \
                        tessera configure -o /tmp/tessera.yaml --data-dir=/tmp/tessera")]
pub(crate) struct Args {
    /// The cluster's name; it cannot change later [default: the host name].
    #[arg(long)]
    cluster_name: Option<String>,
    /// Names or addresses under which clients reach this server.
    #[arg(long, value_delimiter = ',')]
    public_addr: Vec<String>,
    /// This machine's name [default: the host name].
    #[arg(long)]
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
    /// Get web certificates from an ACME authority.
    #[arg(long)]
    acme: bool,
    /// Address for the ACME account.
    #[arg(long)]
    acme_email: Option<String>,
    /// Certificate of the web port.
    #[arg(long)]
    cert_file: Option<PathBuf>,
    /// Key of the web port.
    #[arg(long)]
    key_file: Option<PathBuf>,
    /// Where to: `file` (/etc/tessera.yaml), `stdout`, or a path.
    #[arg(short, long, default_value = "stdout")]
    output: String,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    if args.acme || args.acme_email.is_some() || args.cert_file.is_some() || args.key_file.is_some() {
        bail!(domain::Error::unsupported(
            "--acme, --acme-email, --cert-file and --key-file belong to the proxy, which is not supported yet"
        ));
    }
    let suite = args.signature_algorithm_suite.as_deref();
    let suite = SUITES.into_iter().find(|known| suite == Some(known.as_str()));
    let answers = Answers {
        cluster_name: args.cluster_name,
        public_addr: args.public_addr,
        nodename: args.nodename,
        // The server and tctl read this file from whatever directory they are started in.
        data_dir: args.data_dir.map(std::path::absolute).transpose()?,
        listen_addr: args.listen_addr,
        suite,
    };
    let text = text(&answers).map_err(cli::exit::invalid_input)?;
    for warning in Config::from_text(&text, &args.output)?.warnings {
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
