//! `tsh apps`: which applications there are, and certificates for them.

use anyhow::Context;
use app_access::lookup;
use clap::ValueEnum;
use cli::{Advice, Format, Output, Table};
use client::Web;
use clock::Clock;
use crypto::x509::Certificate;
use domain::{Error, identity::Identity, resources::App};
use serde::Serialize;

use crate::{
    args::{Globals, Shape},
    home::{AppFiles, Home},
    session::{self, Session},
};

/// What can be done with applications.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Example:\n  tsh --proxy=example.com:3080 -i alice.pem apps ls")]
pub(crate) enum Command {
    /// List the applications that your roles show.
    Ls(Ls),
    /// Get a certificate for an application.
    Login(Login),
    /// End the session with an application, or with all, and remove its certificate.
    Logout(Logout),
    /// Show how a program uses the certificate.
    Config(Config),
    /// List the applications that there is a certificate for.
    Logins(Logins),
}

/// Flags.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tsh --proxy=example.com:3080 -i alice.pem apps ls\n  tsh -i alice.pem apps ls env=prod --format=json"
)]
pub(crate) struct Ls {
    /// Only applications with these labels, `key=value,…`.
    #[arg(value_name = "LABELS", value_delimiter = ',', value_parser = label)]
    labels: Vec<(String, String)>,
    /// Only applications that show all of these words, separated by commas.
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    search: Vec<String>,
    /// Leaf cluster.
    #[arg(short, long, value_name = "CLUSTER", env = "TELEPORT_CLUSTER", hide = true)]
    cluster: Option<String>,
    /// Only applications for which this expression is true.
    #[arg(long, value_name = "EXPRESSION", default_value = "", hide_default_value = true)]
    query: String,
    #[command(flatten)]
    shape: Shape,
}

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tsh --proxy=example.com:3080 -i alice.pem apps login grafana")]
pub(crate) struct Login {
    /// Name of the application.
    app: String,
    /// The port of an application with several.
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    target_port: u16,
    /// Say nothing.
    #[arg(short, long)]
    quiet: bool,
    /// Leaf cluster.
    #[arg(short, long, value_name = "CLUSTER", env = "TELEPORT_CLUSTER", hide = true)]
    cluster: Option<String>,
    #[arg(long, hide = true)]
    aws_role: Option<String>,
    #[arg(long, hide = true)]
    azure_identity: Option<String>,
    #[arg(long, hide = true)]
    gcp_service_account: Option<String>,
}

impl Login {
    /// Consoles of clouds are no applications that are served here.
    fn refuse_clouds(&self) -> Result<(), Error> {
        let flags = [
            ("--aws-role", &self.aws_role),
            ("--azure-identity", &self.azure_identity),
            ("--gcp-service-account", &self.gcp_service_account),
        ];
        match flags.into_iter().find(|(_, value)| value.is_some()) {
            Some((flag, _)) => Err(Error::unsupported(format!("{flag}: access to clouds is not supported yet"))),
            None => Ok(()),
        }
    }
}

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tsh -i alice.pem apps logout grafana\n  tsh -i alice.pem apps logout")]
pub(crate) struct Logout {
    /// Name of the application [default: all].
    app: Option<String>,
}

/// Flags.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tsh -i alice.pem apps config grafana\n  curl $(tsh -i alice.pem apps config -f uri grafana)"
)]
pub(crate) struct Config {
    /// Name of the application; not needed when there is only one.
    app: Option<String>,
    /// What to show.
    #[arg(short, long, value_name = "FORMAT", default_value = "default")]
    format: Show,
}

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tsh -i alice.pem apps logins")]
pub(crate) struct Logins {}

/// A part of what [`Config`] shows.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Show {
    /// All, for people.
    #[value(alias = "text")]
    Default,
    /// The address.
    Uri,
    /// The file with the authorities.
    Ca,
    /// The file with the certificate.
    Cert,
    /// The file with the key.
    Key,
    /// A command line.
    Curl,
    /// All, for programs.
    Json,
    /// All, for people and files.
    Yaml,
}

/// How a program reaches an application.
#[derive(Serialize)]
struct Way {
    name: String,
    uri: String,
    ca: String,
    cert: String,
    key: String,
    curl: String,
}

/// A row of the list.
#[derive(Serialize)]
struct Row {
    name: String,
    description: String,
    public_addr: String,
    uri: String,
    labels: std::collections::BTreeMap<String, String>,
    logged_in: bool,
}

pub(crate) async fn run(command: Command, globals: &Globals) -> anyhow::Result<()> {
    match command {
        Command::Ls(args) => ls(args, globals).await,
        Command::Login(args) => login(args, globals).await,
        Command::Logout(args) => logout(args, globals).await,
        Command::Config(args) => config(args, globals).await,
        Command::Logins(_) => home(globals)?.logged_in().iter().try_for_each(|name| Output::stdout().line(name)),
    }
}

async fn ls(args: Ls, globals: &Globals) -> anyhow::Result<()> {
    let session = Session::open(globals).await?;
    session.refuse_leaf(args.cluster.as_deref())?;
    let logged_in = session.home.logged_in();
    let authorities = session.client.config().credentials.authorities();
    let host = lookup::public_host(&session.web, authorities, &session.client).await;
    let mut found = lookup::list(&session.client, &args.query).await?;
    found.retain(|app| fits(app, &host, &args));
    let rows = found.into_iter().map(|app| Row {
        public_addr: lookup::public_name(&app, &host),
        logged_in: logged_in.contains(&app.metadata.name),
        labels: app.all_labels().into_owned().into_iter().collect(),
        name: app.metadata.name,
        description: app.metadata.description,
        uri: app.spec.uri,
    });
    let rows: Vec<_> = rows.collect();
    let mut out = Output::stdout();
    if args.shape.format != Format::Text {
        return out.values(args.shape.format, &rows);
    }
    if rows.is_empty() {
        return out.line("No applications found");
    }
    let mut table = Table::new(["Application", "Description", "Public Address", "Labels"]);
    for row in &rows {
        let mark = if row.logged_in { "> " } else { "  " };
        table.row([
            format!("{mark}{}", row.name),
            row.description.clone(),
            row.public_addr.clone(),
            cli::table::labels(&row.labels),
        ]);
    }
    out.text(table)
}

/// `key=value`.
fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("write key=value, found {text:?}"))?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// Whether an application has the labels, and shows the words somewhere.
fn fits(app: &App, host: &str, args: &Ls) -> bool {
    let labels = app.all_labels();
    let shown = labels.iter().map(|(key, value)| format!("{key}={value}"));
    let shown =
        shown.chain([app.metadata.name.clone(), app.metadata.description.clone(), lookup::public_name(app, host)]);
    let shown: Vec<String> = shown.map(|text| text.to_lowercase()).collect();
    let has_label = |(key, value): &(String, String)| labels.get(key) == Some(value);
    let shows = |word: &String| shown.iter().any(|text| text.contains(&word.trim().to_lowercase()));
    args.labels.iter().all(has_label) && args.search.iter().all(shows)
}

async fn login(args: Login, globals: &Globals) -> anyhow::Result<()> {
    args.refuse_clouds()?;
    let session = Session::open(globals).await?;
    session.refuse_leaf(args.cluster.as_deref())?;
    let exchanged = session.exchange(args.target_port).exchange(&args.app).await?;
    let files = session.home.app(&args.app);
    let key = exchanged.key.to_pem()?;
    let authorities: String =
        session.client.config().credentials.authorities().iter().map(Certificate::to_pem).collect();
    files.write(&exchanged.certificate.to_pem(), key.expose(), &authorities)?;
    if args.quiet {
        return Ok(());
    }
    let way = way(&args.app, &files, &session.web, Session::is_of_the_cluster(&session.web).await)?;
    let name = &args.app;
    if lookup::is_tcp(&exchanged.app) {
        return Output::stdout().line(format_args!(
            "Logged into TCP app {name}. Start a local proxy for it and connect there:\n\n  tsh proxy app {name} --port=1234"
        ));
    }
    Output::stdout().line(format_args!("Logged into app {name}. Example curl command:\n\n{}", way.curl))
}

async fn logout(args: Logout, globals: &Globals) -> anyhow::Result<()> {
    let home = home(globals)?;
    let names = match args.app {
        Some(name) => vec![name],
        None => home.logged_in(),
    };
    let mut out = Output::stdout();
    if names.is_empty() {
        return out.line("Not logged into any app");
    }
    let (mut session, mut unread) = (None, None);
    for name in &names {
        let files = home.app(name);
        let lives = match living(name, &files) {
            Ok(lives) => lives,
            // One whose file is damaged does not keep the others.
            Err(error) => {
                if let Some(earlier) = unread.replace(error) {
                    cli::warn(format!("{earlier:#}"));
                }
                continue;
            }
        };
        if let Some(id) = lives {
            let ended = end(globals, &mut session, id).await;
            ended
                .with_context(|| format!("the session with app {name:?} goes on, and its certificate stays"))
                .advise(|| "run it again when the proxy answers: the certificate is what names the session")?;
        }
        files.remove();
        out.line(format_args!("Logged out of app {name:?}"))?;
    }
    unread.map_or(Ok(()), Err)
}

/// The session that a certificate names, unless it has ended by itself, with the certificate.
fn living(name: &str, files: &AppFiles) -> anyhow::Result<Option<String>> {
    let certificate = certificate(name, files)?;
    if certificate.not_after() <= Clock::system().now() {
        return Ok(None);
    }
    Ok(Some(says(&certificate)?.route_to_app.session_id))
}

/// Ends a session at the server, over a connection that the first who needs it makes.
async fn end(globals: &Globals, session: &mut Option<Session>, id: String) -> anyhow::Result<()> {
    let session = match session {
        Some(session) => session,
        none => none.insert(Session::open(globals).await?),
    };
    Ok(lookup::end(&session.client, id).await?)
}

async fn config(args: Config, globals: &Globals) -> anyhow::Result<()> {
    let home = home(globals)?;
    let name = match (args.app, home.logged_in().as_slice()) {
        (Some(name), _) => name,
        (None, [only]) => only.clone(),
        (None, []) => return Err(Error::not_found("not logged into any app: tsh apps login APP").into()),
        (None, several) => {
            return Err(Error::invalid(format!("logged into several apps, name one: {}", several.join(", "))).into());
        }
    };
    let web = Web::new(&session::proxy(globals)?, session::proxies()?, Clock::system());
    // Only a command line must know; what only reads files asks nobody.
    let shows_curl = matches!(args.format, Show::Curl | Show::Json | Show::Yaml);
    let way = way(&name, &home.app(&name), &web, shows_curl && Session::is_of_the_cluster(&web).await)?;
    let mut out = Output::stdout();
    match args.format {
        Show::Uri => out.line(way.uri),
        Show::Ca => out.line(way.ca),
        Show::Cert => out.line(way.cert),
        Show::Key => out.line(way.key),
        Show::Curl => out.line(way.curl),
        Show::Json => out.value(Format::Json, &way),
        Show::Yaml => out.value(Format::Yaml, &way),
        Show::Default => {
            let Way { name, uri, ca, cert, key, .. } = way;
            out.line(format_args!(
                "Name:      {name}\nURI:       {uri}\nCA:        {ca}\nCert:      {cert}\nKey:       {key}"
            ))
        }
    }
}

fn home(globals: &Globals) -> anyhow::Result<Home> {
    Home::new(globals, &session::proxy(globals)?, &session::says(&session::credentials(globals)?)?)
}

/// The certificate for an application.
fn certificate(name: &str, files: &AppFiles) -> anyhow::Result<Certificate> {
    let text = std::fs::read_to_string(&files.certificate)
        .map_err(|_| Error::not_found(format!("not logged into app {name:?}: tsh apps login {name}")))?;
    let damaged = |error| {
        format!("the certificate for app {name:?} cannot be read: {error}; make another: tsh apps login {name}")
    };
    Ok(Certificate::from_pem(&text).map_err(|error| Error::invalid(damaged(error)))?)
}

/// What it says.
fn says(certificate: &Certificate) -> anyhow::Result<Identity> {
    Ok(Identity::from_subject(certificate.subject()).map_err(|error| Error::invalid(error.to_string()))?)
}

/// Read from the certificate: it says where it leads.
fn way(name: &str, files: &AppFiles, web: &Web, names_ca: bool) -> anyhow::Result<Way> {
    let says = says(&certificate(name, files)?)?;
    let port = match web.address().rsplit_once(':') {
        Some((_, port)) if port != "443" => format!(":{port}"),
        _ => String::new(),
    };
    let uri = format!("https://{}{port}", says.route_to_app.public_addr);
    let [cert, key, ca] = [&files.certificate, &files.key, &files.authorities].map(|path| path.display().to_string());
    let trust = if names_ca { format!("  --cacert {ca} \\\n") } else { String::new() };
    let curl = format!("curl \\\n{trust}  --cert {cert} \\\n  --key {key} \\\n  {uri}");
    Ok(Way { name: name.to_owned(), uri, ca, cert, key, curl })
}
