//! `tctl apps ls`: applications and the hosts that serve them.

use std::net::IpAddr;

use cli::{Format, Table};
use domain::resources::AppServer;

use crate::{
    args::Shape,
    cluster,
    commands::traits::{labels, words},
    session::Session,
};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tctl apps ls env=prod --search=grafana\n  tctl apps ls --format=json")]
pub(crate) struct Args {
    /// Only applications with these labels, `key=value,…`.
    #[arg(value_name = "LABELS", default_value = "", hide_default_value = true)]
    labels: String,
    /// Only applications that show all of these words, separated by commas.
    #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true)]
    search: String,
    /// Only applications for which this expression is true.
    #[arg(long, value_name = "EXPRESSION", default_value = "", hide_default_value = true)]
    query: String,
    #[command(flatten)]
    shape: Shape,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let client = session.client().await?;
    let labels = labels(&args.labels)?;
    let servers = cluster::app_servers(&client, &labels, &words(&args.search), &args.query).await?;
    if args.shape.format != Format::Text {
        return session.out.values(args.shape.format, &servers);
    }
    if servers.is_empty() {
        return session.out.line("No applications found");
    }
    let proxy = cluster::proxy_address(&client).await?;
    session.out.text(table(&servers, proxy.as_deref()))
}

/// The table of applications; those without an address of their own are below the proxy's.
pub(crate) fn table(servers: &[AppServer], proxy: Option<&str>) -> Table {
    let host = proxy.map(|address| address.rsplit_once(':').map_or(address, |(host, _)| host));
    // An address has nothing below it.
    let host = host.filter(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().is_err());
    let mut table = Table::new(["Host", "Name", "Description", "Public Address", "URI", "Labels", "Version"]);
    for server in servers {
        let app = server.spec.app.clone().unwrap_or_default();
        let public = match (app.spec.public_addr.as_str(), host) {
            ("", Some(host)) => format!("{}.{host}", app.metadata.name),
            (own, _) => own.to_owned(),
        };
        table.row([
            server.spec.hostname.clone(),
            app.metadata.name.clone(),
            app.metadata.description.clone(),
            public,
            app.spec.uri.clone(),
            cli::table::labels(&*app.all_labels()),
            server.spec.version.clone(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use domain::resources::{App, app::AppSpec};

    use super::*;

    #[test]
    fn an_application_is_shown_where_it_is_reached() {
        let server = |public: &str| {
            let spec = AppSpec { uri: "http://a".into(), public_addr: public.into(), ..AppSpec::default() };
            let mut server = AppServer::default();
            server.spec.app = Some(App::new("grafana", spec));
            server
        };
        for (public, proxy, expected) in [
            ("", Some("proxy.example:3080"), "grafana.proxy.example "),
            ("own.example", Some("proxy.example:3080"), "own.example "),
            ("", Some("10.0.0.1:3080"), "http://a"),
            ("", None, "http://a"),
        ] {
            let shown = table(&[server(public)], proxy).to_string();
            assert!(shown.contains(expected), "{shown}");
            assert_eq!(shown.contains("grafana.proxy"), expected.starts_with("grafana."), "{shown}");
        }
    }
}
