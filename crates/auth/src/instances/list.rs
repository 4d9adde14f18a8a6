//! Pages of bot instances, filtered and in an order of choice.

use domain::{Error, Kind, resources::BotInstance};
use predicate::Expression;
use rbac::Verb;
use serde_json::Value as Json;
use store::{ListRequest, MAX_PAGE_BYTES, MAX_PAGE_SIZE, Page};

use crate::{
    Auth, Caller, Operation,
    guard::Guard,
    query::{self, Document},
    search::Keywords,
};

/// The most instances that are put into another order than that of storage: each page of such a list reads them all.
const MOST_SORTED: usize = 50_000;

/// Stands between the parts of a page token of a sorted list; no part contains it.
const SEPARATOR: char = '\u{1f}';

/// Which instances.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Instances of this bot; empty for all.
    pub bot_name: String,
    /// Must be part of a shown field; letter case is ignored.
    pub search: String,
    /// An expression over the instance that must hold; empty for all.
    pub query: String,
}

/// What a list is ordered by. Ties are in the order of bot and id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SortBy {
    /// Bot and id: the order of storage.
    #[default]
    Bot,
    /// When the instance was last heard of.
    LastActive,
    /// The version of its last heartbeat.
    Version,
    /// The host of its last heartbeat.
    Host,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sort {
    /// What counts.
    pub by: SortBy,
    /// Whether the greatest comes first.
    pub descending: bool,
}

impl SortBy {
    /// Reads the name of a field; none means bot and id.
    pub fn parse(field: &str) -> Option<Self> {
        match field {
            "" | "bot_name" => Some(Self::Bot),
            "active_at_latest" => Some(Self::LastActive),
            "version_latest" => Some(Self::Version),
            "host_name_latest" => Some(Self::Host),
            _ => None,
        }
    }
}

/// A page of the instances that the caller may see.
///
/// # Errors
/// Denied, invalid page token; limit when there are too many to be sorted.
pub async fn list(
    auth: &Auth,
    caller: &Caller,
    page_size: usize,
    page_token: &str,
    filter: &Filter,
    sort: Sort,
) -> Result<Page<BotInstance>, Error> {
    let guard = Guard::new(auth, caller, Operation::ReadBotInstances);
    guard.may(Kind::BotInstance, &[Verb::List, Verb::Read])?;
    let search = Keywords::parse(&[&filter.search])?;
    let filter = &Wanted { filter, expression: query::parse(&filter.query)?, search };
    if sort == Sort::default() {
        return page(&guard, page_size, page_token, filter).await;
    }
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let next = page(&guard, MAX_PAGE_SIZE, &token, filter).await?;
        all.extend(next.items.into_iter().map(|instance| (place(&instance, sort.by), instance)));
        token = next.next_page_token;
        if token.is_empty() {
            break;
        }
        if all.len() >= MOST_SORTED {
            return Err(Error::limit("there are too many instances to sort: name a bot, or leave the order out"));
        }
    }
    all.sort_by(|(a, _), (b, _)| if sort.descending { b.cmp(a) } else { a.cmp(b) });
    let begin = match page_token {
        "" => 0,
        token => {
            let last = read_token(token)?;
            all.partition_point(|(place, _)| if sort.descending { *place >= last } else { *place <= last })
        }
    };
    let size = if page_size == 0 { MAX_PAGE_SIZE } else { page_size.min(MAX_PAGE_SIZE) };
    let size = fitting(all.iter().skip(begin).take(size).map(|(_, instance)| instance));
    let more = all.len() > begin + size;
    let shown: Vec<_> = all.into_iter().skip(begin).take(size).collect();
    let next_page_token = shown.last().filter(|_| more).map(|(place, _)| write_token(place)).unwrap_or_default();
    Ok(Page { items: shown.into_iter().map(|(_, instance)| instance).collect(), next_page_token })
}

/// How many of these fit one message: at least one, and as many as a page of any list may be long.
fn fitting<'a>(instances: impl Iterator<Item = &'a BotInstance>) -> usize {
    let mut bytes = 0;
    let sizes = instances.map(|instance| serde_json::to_vec(instance).map_or(0, |json| json.len()));
    let fits = sizes.enumerate().take_while(|(index, size)| {
        bytes += size;
        *index == 0 || bytes <= MAX_PAGE_BYTES
    });
    fits.count()
}

/// A filter that makes sense.
struct Wanted<'a> {
    filter: &'a Filter,
    expression: Option<Expression>,
    search: Keywords,
}

async fn page(guard: &Guard<'_>, size: usize, token: &str, filter: &Wanted<'_>) -> Result<Page<BotInstance>, Error> {
    let request = ListRequest::page(size, token);
    let bot = &filter.filter.bot_name;
    let request = if bot.is_empty() { request } else { request.within(bot) };
    let wanted = |instance: &BotInstance| {
        matches(instance, &filter.search)
            && filter.expression.as_ref().is_none_or(|expression| document(instance).fits(expression))
    };
    guard.page(&request, &[Verb::List, Verb::Read], wanted).await
}

fn matches(instance: &BotInstance, search: &Keywords) -> bool {
    let (heartbeat, authentication) = (instance.status.latest_heartbeat(), instance.status.latest_authentication());
    let fields = [
        Some(instance.spec.bot_name.as_str()),
        Some(instance.spec.instance_id.as_str()),
        heartbeat.map(|heartbeat| heartbeat.hostname.as_str()),
        heartbeat.map(|heartbeat| heartbeat.version.as_str()),
        heartbeat.map(|heartbeat| heartbeat.os.as_str()),
        authentication.map(|authentication| authentication.join_method.as_str()),
    ];
    search.match_fields(fields.into_iter().flatten())
}

/// An instance as an expression sees it. The newest record of each list has a name of its own.
fn document(instance: &BotInstance) -> Document<'_> {
    let mut json = serde_json::to_value(instance).unwrap_or_default();
    if let Some(status) = json.get_mut("status").and_then(Json::as_object_mut) {
        let latest = [
            ("latest_heartbeat", instance.status.latest_heartbeat().map(serde_json::to_value)),
            ("latest_authentication", instance.status.latest_authentication().map(serde_json::to_value)),
        ];
        for (name, record) in latest {
            if let Some(Ok(record)) = record {
                status.insert(name.to_owned(), record);
            }
        }
    }
    Document { name: &instance.metadata.name, labels: &instance.metadata.labels, json }
}

/// Where an instance stands in an order: the value that counts, then bot and id.
type Place = (String, String, String);

fn place(instance: &BotInstance, by: SortBy) -> Place {
    let heartbeat = instance.status.latest_heartbeat();
    let value = match by {
        SortBy::Bot => String::new(),
        SortBy::LastActive => {
            let heard = heartbeat.and_then(|heartbeat| heartbeat.recorded_at);
            let known =
                instance.status.latest_authentication().and_then(|authentication| authentication.authenticated_at);
            heard.max(known).map(|time| format!("{:020}", time.as_millisecond().max(0))).unwrap_or_default()
        }
        SortBy::Version => heartbeat.map(|heartbeat| version_key(&heartbeat.version)).unwrap_or_default(),
        SortBy::Host => heartbeat.map(|heartbeat| heartbeat.hostname.clone()).unwrap_or_default(),
    };
    (value, instance.spec.bot_name.clone(), instance.spec.instance_id.clone())
}

/// A version as text that sorts as its numbers do.
fn version_key(version: &str) -> String {
    let numbers = version.trim_start_matches('v').split(['.', '-', '+']).map(|part| match part.parse::<u64>() {
        Ok(number) => format!("{number:010}"),
        Err(_) => part.to_owned(),
    });
    numbers.collect::<Vec<_>>().join(".")
}

fn write_token((value, bot, id): &Place) -> String {
    hex::encode(format!("{value}{SEPARATOR}{bot}{SEPARATOR}{id}"))
}

fn read_token(token: &str) -> Result<Place, Error> {
    let foreign = || Error::invalid("the page token does not belong to this list: begin without one");
    let text = hex::decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(foreign)?;
    match text.split(SEPARATOR).collect::<Vec<_>>()[..] {
        [value, bot, id] => Ok((value.to_owned(), bot.to_owned(), id.to_owned())),
        _ => Err(foreign()),
    }
}
