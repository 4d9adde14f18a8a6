//! `tctl get`: resources as documents that `tctl create` reads back.

use cli::{Format, Table};
use domain::{
    AnyResource, Kind, Resource, Timestamp, metadata,
    resources::{Lock, Role},
};

use super::{apps, bots, reference, tokens, users};
use crate::{cluster, session::Session};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tctl get roles\n  tctl get user/alice,role/ci --format=json\n  \
                        tctl get cert_authority/user\n  tctl get locks --format=text\n  tctl get all > backup.yaml")]
pub(crate) struct Args {
    /// `KIND`, `KIND/NAME`, several separated by commas, or `all`.
    #[arg(value_name = "KIND[/NAME][,…]", required = true)]
    resources: Vec<String>,
    /// How the result is shown.
    #[arg(long, value_name = "FORMAT", default_value = "yaml")]
    format: Format,
    /// Include private keys and passwords, for which the permission to read secrets is needed.
    #[arg(long)]
    with_secrets: bool,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let client = session.client().await?;
    let mut found = Vec::new();
    let text = args.resources.join(",");
    for reference in reference::parse(&text)? {
        found.extend(cluster::get(&client, reference.kind, reference.name.as_deref(), args.with_secrets).await?);
    }
    if text == "all" {
        // A bot brings its user and role along; as documents of their own they could not be created again.
        found.retain(|resource| resource.kind() == Kind::Bot || resource.metadata().label(metadata::BOT).is_empty());
    }
    match args.format {
        Format::Text => session.out.text(table(&found, args.with_secrets)),
        format => session.out.values(format, &found),
    }
}

/// Resources of one kind are shown with what tells them apart, a mixture with what all have.
fn table(resources: &[AnyResource], with_secrets: bool) -> Table {
    let mut kinds = resources.iter().map(AnyResource::kind);
    let kind = kinds.next().filter(|first| kinds.all(|kind| kind == *first));
    macro_rules! of_kind {
        ($variant:ident) => {
            resources.iter().filter_map(|resource| match resource {
                AnyResource::$variant(resource) => Some(resource.clone()),
                _ => None,
            })
        };
    }
    match kind {
        Some(Kind::Lock) => locks(of_kind!(Lock)),
        Some(Kind::Role) => roles(of_kind!(Role)),
        Some(Kind::Bot) => bots::ls::table(&of_kind!(Bot).collect::<Vec<_>>()),
        Some(Kind::User) => users::ls::table(&of_kind!(User).collect::<Vec<_>>()),
        Some(Kind::BotInstance) => bots::instances::ls::table(&of_kind!(BotInstance).collect::<Vec<_>>()),
        Some(Kind::Token) => tokens::ls::table(&of_kind!(Token).collect::<Vec<_>>(), with_secrets),
        Some(Kind::AppServer) => apps::ls::table(&of_kind!(AppServer).collect::<Vec<_>>(), None),
        _ => mixed(resources),
    }
}

fn mixed(resources: &[AnyResource]) -> Table {
    let mut table = Table::new(["Kind", "Name", "Labels", "Expires"]);
    for resource in resources {
        let metadata = resource.metadata();
        let kind = match resource.sub_kind() {
            "" => resource.kind().to_string(),
            sub_kind => format!("{}/{sub_kind}", resource.kind()),
        };
        let name = match resource {
            AnyResource::Token(token) => token.safe_name(),
            _ => metadata.name.clone(),
        };
        table.row([kind, name, cli::table::labels(&metadata.labels), expires(metadata.expires)]);
    }
    table
}

fn locks(locks: impl Iterator<Item = Lock>) -> Table {
    let mut table = Table::new(["ID", "Target", "Message", "Expires"]);
    for lock in locks {
        let target: Vec<String> = lock.spec.target.fields().map(|(field, value)| format!("{field}={value}")).collect();
        table.row([lock.name().to_owned(), target.join(","), lock.spec.message.clone(), expires(lock.spec.expires)]);
    }
    table
}

fn roles(roles: impl Iterator<Item = Role>) -> Table {
    let mut table = Table::new(["Role", "Version", "Description", "Labels"]);
    for role in roles {
        let labels = cli::table::labels(&role.metadata.labels);
        table.row([role.name().to_owned(), role.version.clone(), role.metadata.description.clone(), labels]);
    }
    table
}

fn expires(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "never".to_owned(), cluster::show_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_what_tells_resources_of_a_kind_apart() {
        let lock = "{kind: lock, version: v2, metadata: {name: 6c4ed8b9-5b0c-4d1f-9b0a-3f1a2f6d8d11}, \
                    spec: {target: {user: alice, role: ci}, message: laptop stolen, expires: '2026-01-02T03:04:05Z'}}\n";
        let role = "{kind: role, version: v7, metadata: {name: ci, description: deploys}, spec: {}}\n";
        let token = "{kind: token, version: v2, metadata: {name: 0123456789abcdef}, spec: {roles: [Node]}}\n";
        let read = |text: &str| domain::document::read_valid_documents(text, "test").unwrap();
        insta::assert_snapshot!(table(&read(lock), false), @r"
        ID                                   Target             Message       Expires
        ------------------------------------ ------------------ ------------- --------------------
        6c4ed8b9-5b0c-4d1f-9b0a-3f1a2f6d8d11 user=alice,role=ci laptop stolen 2026-01-02T03:04:05Z
        ");
        insta::assert_snapshot!(table(&read(role), false), @r"
        Role Version Description Labels
        ---- ------- ----------- ------
        ci   v7      deploys
        ");
        insta::assert_snapshot!(table(&read(&format!("{role}---\n{token}")), false), @r"
        Kind  Name             Labels Expires
        ----- ---------------- ------ -------
        role  ci                      never
        token ************cdef        never
        ");
    }
}
