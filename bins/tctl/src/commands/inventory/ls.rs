//! `tctl inventory ls`: the instances that are connected, filtered.

use cli::{Format, Table};

use crate::{
    args::Shape,
    cluster::{self, Instance},
    session::Session,
};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tctl inventory ls\n  tctl inventory ls --older-than=18.1.0 --services=node,app")]
pub(crate) struct Args {
    /// Only instances of a lower version.
    #[arg(long, value_name = "VERSION", conflicts_with = "exact_version", value_parser = version)]
    older_than: Option<Version>,
    /// Only instances of this version.
    #[arg(long, value_name = "VERSION", value_parser = version)]
    exact_version: Option<Version>,
    /// Only instances that run one of these services.
    #[arg(long, value_name = "SERVICES", value_delimiter = ',')]
    services: Vec<String>,
    /// Only instances that this program keeps up to date; `none` for those without any.
    #[arg(long, value_name = "NAME")]
    upgrader: Option<String>,
    #[command(flatten)]
    shape: Shape,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let client = session.client().await?;
    let mut instances = cluster::inventory(&client, true).await?.connected;
    instances.retain(|instance| args.wants(instance));
    match args.shape.format {
        Format::Text => show(session, &instances),
        format => session.out.values(format, &instances),
    }
}

impl Args {
    fn wants(&self, instance: &Instance) -> bool {
        // What has no readable version is neither older than another nor equal to it.
        let compared = |wanted: &Option<Version>, fits: fn(&Version, &Version) -> bool| {
            wanted.as_ref().is_none_or(|wanted| version(&instance.version).is_ok_and(|found| fits(&found, wanted)))
        };
        let serves = |wanted: &String| instance.services.iter().any(|service| service.eq_ignore_ascii_case(wanted));
        compared(&self.older_than, |found, wanted| found < wanted)
            && compared(&self.exact_version, |found, wanted| found == wanted)
            && (self.services.is_empty() || self.services.iter().any(serves))
            && match self.upgrader.as_deref() {
                None => true,
                Some("none") => instance.upgrader.is_empty(),
                Some(wanted) => instance.upgrader == wanted,
            }
    }
}

/// Major, minor, patch; and a release counts as higher than what was before it (`-rc.1`).
type Version = (u64, u64, u64, bool, String);

fn version(text: &str) -> Result<Version, String> {
    let wrong = || format!("\"{text}\" is no version, write for example 18.0.0");
    let bare = text.strip_prefix('v').unwrap_or(text);
    let bare = bare.split('+').next().unwrap_or(bare);
    let (numbers, before) = bare.split_once('-').map_or((bare, ""), |(numbers, before)| (numbers, before));
    let numbers: Result<Vec<u64>, _> = numbers.split('.').map(str::parse).collect();
    match numbers.map_err(|_| wrong())?.as_slice() {
        [major, minor, patch] => Ok((*major, *minor, *patch, before.is_empty(), before.to_owned())),
        _ => Err(wrong()),
    }
}

/// Shows instances as a table.
pub(super) fn show(session: &mut Session, instances: &[Instance]) -> anyhow::Result<()> {
    if instances.is_empty() {
        return session.out.line("No instances found");
    }
    session.out.text(table(instances))
}

fn table(instances: &[Instance]) -> Table {
    let mut table = Table::new(["Server ID", "Hostname", "Services", "Agent Version", "Upgrader", "Upgrader Version"]);
    for instance in instances {
        table.row([
            instance.server_id.clone(),
            instance.hostname.clone(),
            instance.services.join(","),
            instance.version.clone(),
            if instance.upgrader.is_empty() { "none".to_owned() } else { instance.upgrader.clone() },
            if instance.upgrader_version.is_empty() { "none".to_owned() } else { instance.upgrader_version.clone() },
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn instance(version: &str, services: &[&str], upgrader: &str) -> Instance {
        Instance {
            server_id: "6c4ed8b9-5b0c-4d1f-9b0a-3f1a2f6d8d11".into(),
            hostname: "auth-1".into(),
            services: services.iter().map(|service| (*service).to_owned()).collect(),
            version: version.into(),
            upgrader: upgrader.into(),
            ..Instance::default()
        }
    }

    #[test]
    fn instances_are_chosen_by_version_service_and_upgrader() {
        let found = instance("18.1.0", &["Auth", "Node"], "unit");
        for (flags, wanted) in [
            ("", true),
            ("--older-than=18.1.1", true),
            ("--older-than=18.1.0", false),
            ("--older-than=v18.2.0-rc.1", true),
            ("--exact-version=18.1.0", true),
            ("--exact-version=18.1.0-rc.1", false),
            ("--services=node,app", true),
            ("--services=db", false),
            ("--upgrader=unit", true),
            ("--upgrader=none", false),
        ] {
            let words = ["tctl"].into_iter().chain(flags.split(' ').filter(|word| !word.is_empty()));
            assert_eq!(Line::try_parse_from(words).unwrap().args.wants(&found), wanted, "{flags}");
        }
        assert!(Line::try_parse_from(["tctl", "--older-than=new"]).is_err());
    }

    #[test]
    fn the_table_of_instances() {
        insta::assert_snapshot!(table(&[instance("18.0.0", &["Auth"], "")]), @r"
        Server ID                            Hostname Services Agent Version Upgrader Upgrader Version
        ------------------------------------ -------- -------- ------------- -------- ----------------
        6c4ed8b9-5b0c-4d1f-9b0a-3f1a2f6d8d11 auth-1   Auth     18.0.0        none     none
        ");
    }
}
