//! Reads documents, and says where they are wrong.

mod error;
mod node;
mod read;
pub(crate) mod store;
#[cfg(test)]
mod tests;

use node::{Node, Position, Value};
use read::{Fault, Unknown, from_node, suggest};
use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy};

pub use error::DocumentError;

use crate::resources::{
    App, AppServer, AuditConfig, AuthPreference, Bot, BotInstance, CertAuthority, ClusterName, Lock, NetworkingConfig,
    Role, SessionRecordingConfig, Token, User,
};
use crate::{Error, Kind, Metadata, Resource};

/// The largest text that is read as documents: a few thousand roles. What a stranger can make us hold is bounded.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The deepest nesting. The deepest document of the reference has ten levels. The parser is recursive: in a debug build a level
/// takes some 40 kB of stack, and a thread of the runtime has 2 MiB.
const MAX_DEPTH: usize = 24;

/// How many values aliases may stand for, all together: a "billion laughs" ends here.
const MAX_ALIASED: usize = 20_000;

/// How many values all documents of a text may have.
const MAX_NODES: usize = 500_000;

macro_rules! any {
    ($($variant:ident($type:ty)),+ $(,)?) => {
        /// A resource of any kind that documents can have.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(clippy::large_enum_variant)]
        pub enum AnyResource {
            $(#[doc = concat!("See [`", stringify!($type), "`].")] $variant($type)),+
        }

        $(impl From<$type> for AnyResource {
            fn from(resource: $type) -> Self {
                Self::$variant(resource)
            }
        })+

        impl AnyResource {
            /// The kind of the resource.
            #[must_use]
            pub const fn kind(&self) -> Kind {
                match self { $(Self::$variant(_) => <$type as Resource>::KIND),+ }
            }

            /// Name, labels, expiry, revision.
            #[must_use]
            pub fn metadata(&self) -> &Metadata {
                match self { $(Self::$variant(resource) => resource.metadata()),+ }
            }

            /// The same, to be changed.
            pub fn metadata_mut(&mut self) -> &mut Metadata {
                match self { $(Self::$variant(resource) => resource.metadata_mut()),+ }
            }

            /// The kind within the kind, mostly empty.
            #[must_use]
            pub fn sub_kind(&self) -> &str {
                match self { $(Self::$variant(resource) => resource.sub_kind()),+ }
            }

            /// Reads the resource of this kind.
            fn from_node(kind: Kind, node: &Node) -> Result<Option<Self>, Fault> {
                $(if kind == <$type as Resource>::KIND {
                    check_version(node, <$type as Resource>::VERSION, <$type as Resource>::VERSIONS)?;
                    return from_node::<$type>(node, &Unknown::Refuse).map(|resource| Some(Self::$variant(resource)));
                })+
                Ok(None)
            }

            /// Fills what was left out.
            pub fn set_defaults(&mut self) {
                match self { $(Self::$variant(resource) => resource.set_defaults()),+ }
            }

            /// Checks what a resource must fulfil.
            ///
            /// # Errors
            /// When something is missing, contradictory or out of bounds.
            pub fn validate(&self) -> Result<(), Error> {
                match self { $(Self::$variant(resource) => resource.validate()),+ }
            }
        }

        impl serde::Serialize for AnyResource {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self { $(Self::$variant(resource) => resource.serialize(serializer)),+ }
            }
        }
    };
}

any! {
    Role(Role), User(User), Token(Token), Bot(Bot), BotInstance(BotInstance), Lock(Lock), CertAuthority(CertAuthority),
    ClusterName(ClusterName), AuthPreference(AuthPreference), NetworkingConfig(NetworkingConfig),
    SessionRecordingConfig(SessionRecordingConfig), AuditConfig(AuditConfig), App(App), AppServer(AppServer),
}

/// Reads all documents of a text, YAML or JSON. Defaults are not filled in and nothing is validated; `source_name` is what
/// errors call the text.
///
/// # Errors
/// When the text is no YAML, a document is of no known kind, has an unknown key, or a value of the wrong shape.
pub fn read_documents(text: &str, source_name: &str) -> Result<Vec<AnyResource>, DocumentError> {
    read_nodes(text, source_name)?.iter().map(|node| read_node(node, text, source_name)).collect()
}

/// The same, with defaults filled in and each resource validated; what is not valid is shown where it is written.
///
/// # Errors
/// As [`read_documents`], and when a resource is not valid.
pub fn read_valid_documents(text: &str, source_name: &str) -> Result<Vec<AnyResource>, DocumentError> {
    read_nodes(text, source_name)?.iter().map(|node| read_valid_node(node, text, source_name)).collect()
}

/// The same, each with the line where it begins, and with all faults of the text instead of the first: who moves a cluster
/// wants to know of everything that will not come along.
///
/// # Errors
/// As [`read_valid_documents`]; there is at least one fault.
pub fn read_located_documents(text: &str, source_name: &str) -> Result<Vec<(usize, AnyResource)>, Vec<DocumentError>> {
    let nodes = read_nodes(text, source_name).map_err(|fault| vec![fault])?;
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    for node in &nodes {
        match read_valid_node(node, text, source_name) {
            Ok(resource) => found.push((node.at.map_or(1, |(line, _)| line), resource)),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

fn read_valid_node(node: &Node, text: &str, source_name: &str) -> Result<AnyResource, DocumentError> {
    let mut resource = read_node(node, text, source_name)?;
    resource.set_defaults();
    resource.validate().map_err(|why| invalid(&why, node, text, source_name))?;
    Ok(resource)
}

/// The roots of all documents; the elements of a list are documents too, as `get` writes them.
fn read_nodes(text: &str, source_name: &str) -> Result<Vec<Node>, DocumentError> {
    let refuse = |message: String| DocumentError::new(source_name, text, None, message);
    if text.len() > MAX_BYTES {
        return Err(refuse(format!("the text has {} bytes, at most {MAX_BYTES} are read: split it", text.len())));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, max_nodes: MAX_NODES, max_total_scalar_bytes: 2 * MAX_BYTES },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_ALIASED },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Merge,
        strict_booleans: true,
        with_snippet: false,
    };
    let nodes: Vec<Node> = serde_saphyr::from_multiple_with_options(text, options).map_err(|why| {
        let at = why.location().filter(|at| at.line() > 0);
        let at = at.and_then(|at| Some((usize::try_from(at.line()).ok()?, usize::try_from(at.column().max(1)).ok()?)));
        let message = duplicate(&why, text, at).unwrap_or_else(|| plain(&why));
        DocumentError::new(source_name, text, at, message)
    })?;
    let mut documents = Vec::new();
    for node in nodes {
        match node.value {
            Value::Null => {}
            Value::List(elements) => documents.extend(elements),
            _ => documents.push(node),
        }
    }
    if documents.is_empty() {
        return Err(refuse("there is no document in it".to_owned()));
    }
    Ok(documents)
}

/// A key that is there twice: which, and where it was first. The parser knows the second place only; the first is the
/// nearest line above with the same key at the same depth.
fn duplicate(why: &serde_saphyr::Error, text: &str, at: Option<Position>) -> Option<String> {
    let serde_saphyr::Error::DuplicateMappingKey { key, .. } = why.without_snippet() else { return None };
    let (key, (line, column)) = (key.as_deref()?, at?);
    let is_first = |text: &str| {
        let from: String = text.chars().skip(column - 1).collect();
        let name = from.trim_start_matches(['"', '\'']).strip_prefix(key);
        let before = text.chars().take(column - 1).all(|c| matches!(c, ' ' | '-'));
        before && name.is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':'))
    };
    let above: Vec<&str> = text.lines().take(line - 1).collect();
    let first = above.iter().rposition(|line| is_first(line)).map(|index| format!(", first in line {}", index + 1));
    Some(format!("the key {key:?} is there twice{}: keep one", first.unwrap_or_default()))
}

/// The parser's own words, without its own place.
fn plain(why: &serde_saphyr::Error) -> String {
    let text = why.to_string();
    let first = text.lines().next().unwrap_or_default();
    let cut = first.find(" at line ").unwrap_or(first.len());
    first[..cut].trim_end_matches([',', ':']).trim_start_matches("error: ").to_owned()
}

fn read_node(node: &Node, text: &str, source_name: &str) -> Result<AnyResource, DocumentError> {
    read_kind(node).map_err(|fault| DocumentError {
        subject: subject(node),
        path: fault.path.unwrap_or_default(),
        help: fault.help,
        is_unsupported: node
            .get("kind")
            .and_then(Node::text)
            .and_then(Kind::parse)
            .is_some_and(|kind| !kind.is_supported()),
        ..DocumentError::new(source_name, text, fault.at.or(node.at), fault.message)
    })
}

/// The header first: the kind says of which type the rest is.
fn read_kind(node: &Node) -> Result<AnyResource, Fault> {
    if !matches!(node.value, Value::Map(_)) {
        return Err(Fault::new(format!(
            "a document must be a mapping with kind, version, metadata and spec, found {}",
            node.describe()
        )));
    }
    let kind = node.get("kind").ok_or_else(|| Fault {
        help: "write for example \"kind: role\"".to_owned(),
        ..Fault::new("the key \"kind\" is missing")
    })?;
    let at = |message: String| Fault { at: kind.at, path: Some("kind".to_owned()), ..Fault::new(message) };
    let word = kind.text().ok_or_else(|| at(format!("must be a string, found {}", kind.describe())))?;
    let known = Kind::ALL.iter().copied().find(|known| known.as_str() == word);
    let Some(known) = known else {
        let words: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        return Err(Fault { help: suggest(word, &words), ..at(format!("there is no kind {word:?}")) });
    };
    let read = AnyResource::from_node(known, node)?;
    let read = read.ok_or_else(|| at(format!("resources of kind {known} are not supported yet")))?;
    check_spec(node).map(|()| read)
}

/// A document without a specification is a slip: a file that was cut off, or wrong indentation. Read as "all defaults" it
/// would empty the resource that has its name.
fn check_spec(node: &Node) -> Result<(), Fault> {
    let (at, message) = match node.entry("spec") {
        None => (node.at, "spec is missing"),
        Some((key, Node { value: Value::Null, .. })) => (key.at, "spec has nothing in it"),
        Some(_) => return Ok(()),
    };
    Err(Fault { at, help: "write \"spec: {}\" if nothing is to be in it".to_owned(), ..Fault::new(message) })
}

fn check_version(node: &Node, default: &str, known: &[&str]) -> Result<(), Fault> {
    let Some(version) = node.get("version") else {
        return Err(Fault {
            help: format!("write \"version: {default}\""),
            ..Fault::new("the key \"version\" is missing")
        });
    };
    match version.text() {
        Some(word) if known.contains(&word) => Ok(()),
        _ => Err(Fault {
            at: version.at,
            path: Some("version".to_owned()),
            ..Fault::new(format!(
                "must be one of {}, found {}",
                known.join(", "),
                version.text().unwrap_or(version.describe())
            ))
        }),
    }
}

/// What the document is about, as far as it can be read.
fn subject(node: &Node) -> String {
    let kind = node.get("kind").and_then(Node::text).unwrap_or_default();
    let name = node.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Node::text);
    match name {
        // The name of a token may be its secret.
        Some(name) if kind != "token" && name.len() <= 64 && Kind::parse(kind).is_some() => format!("{kind} {name:?}"),
        _ => String::new(),
    }
}

/// A finding of `validate`, shown at the deepest part of its path that is written.
fn invalid(why: &Error, node: &Node, text: &str, source_name: &str) -> DocumentError {
    let (path, message) = match why.message.split_once(": ") {
        Some((path, message))
            if path.starts_with("spec") || path.starts_with("metadata") || path.starts_with("status") =>
        {
            (path, message)
        }
        _ => ("", why.message.as_str()),
    };
    let mut place = node;
    for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
        let next = match (step.strip_suffix(']').and_then(|index| index.parse::<usize>().ok()), &place.value) {
            (Some(index), Value::List(elements)) => elements.get(index),
            _ => place.get(step),
        };
        match next {
            Some(next) => place = next,
            None => break,
        }
    }
    DocumentError {
        subject: subject(node),
        path: path.to_owned(),
        ..DocumentError::new(source_name, text, place.at, message)
    }
}
