//! The entries of `services` and `outputs`: one table row a type, checked by one reader.

use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::{
    ConfigError, Destination, address,
    fields::{Fields, Source, nearest, scalar},
    node::{Node, Value},
    schema::{Field, KINDS, Kind, Shape},
};

/// One output or service.
#[derive(Debug, Clone)]
pub struct Service {
    /// What it is.
    pub kind: &'static Kind,
    /// How it is called in logs and on `/readyz`; automatic when absent.
    pub name: Option<String>,
    /// Where its artifacts go; outputs have one.
    pub destination: Option<Destination>,
    /// Its own certificate lifetime.
    pub credential_ttl: Option<Duration>,
    /// Its own interval.
    pub renewal_interval: Option<Duration>,
    /// The roles to impersonate; all when empty.
    pub roles: Vec<String>,
    /// The fields of its own, checked against the table.
    pub spec: Map<String, Json>,
}

impl Service {
    /// An entry of this type with everything at its default.
    ///
    /// # Errors
    /// When there is no such type.
    pub fn new(kind: &str) -> Result<Self, String> {
        Ok(Self {
            kind: find(kind)?,
            name: None,
            destination: None,
            credential_ttl: None,
            renewal_interval: None,
            roles: Vec::new(),
            spec: Map::new(),
        })
    }

    /// A switch of its own; false when absent.
    pub fn flag(&self, key: &str) -> bool {
        self.spec.get(key).and_then(Json::as_bool).unwrap_or_default()
    }

    /// A text of its own; empty when absent.
    pub fn text(&self, key: &str) -> &str {
        self.spec.get(key).and_then(Json::as_str).unwrap_or_default()
    }

    pub(crate) fn read(source: Source<'_>, node: &Node, path: &str) -> Result<Self, ConfigError> {
        let mut fields = Fields::open(source, node, path)?;
        let kind = fields.required("type")?;
        let kind = find(&kind).map_err(|message| fields.refuse("type", message))?;
        let name = fields.text("name")?.filter(|name| !name.is_empty());
        if let Some(bad) = name.as_deref().filter(|name| !is_name(name)) {
            return Err(fields.refuse("name", format!("{bad:?} may have letters, digits and - _ + only")));
        }
        let mut service = Self { kind, name, ..Self::new(kind.name).map_err(|m| fields.refuse("type", m))? };
        service.credential_ttl = either_ttl(&mut fields)?;
        service.renewal_interval = fields.duration("renewal_interval")?;
        if kind.has_destination {
            let node = fields.node("destination").ok_or_else(|| fields.missing("destination"))?;
            let destination = Destination::read(source, node, &fields.name("destination"))?;
            if kind.name == "ssh-multiplexer" && !matches!(destination, Destination::Directory(_)) {
                return Err(fields.refuse("destination", "must be a directory"));
            }
            service.destination = Some(destination);
        }
        if kind.has_roles {
            service.roles = fields.texts("roles")?;
        }
        for field in kind.fields {
            if let Some(value) = read_field(&mut fields, field)? {
                service.spec.insert(field.name.to_owned(), value);
            }
        }
        fields.finish()?;
        Ok(service)
    }

    pub(crate) fn render(&self) -> Json {
        let mut map = Map::new();
        map.insert("type".into(), self.kind.name.into());
        if let Some(name) = &self.name {
            map.insert("name".into(), name.clone().into());
        }
        if let Some(destination) = &self.destination {
            map.insert("destination".into(), destination.render());
        }
        for (key, span) in [("credential_ttl", self.credential_ttl), ("renewal_interval", self.renewal_interval)] {
            if let Some(span) = span {
                map.insert(key.into(), domain::form::duration::format(span).into());
            }
        }
        if !self.roles.is_empty() {
            map.insert("roles".into(), self.roles.clone().into());
        }
        let said = |field: &Field| Some((field.name.to_owned(), self.spec.get(field.name)?.clone()));
        map.extend(self.kind.fields.iter().filter_map(said));
        Json::Object(map)
    }
}

/// `credential_ttl`, or its older spelling.
pub(crate) fn either_ttl(fields: &mut Fields<'_>) -> Result<Option<Duration>, ConfigError> {
    let (new, old) = (fields.duration("credential_ttl")?, fields.duration("certificate_ttl")?);
    match (new, old) {
        (Some(_), Some(_)) => {
            Err(fields.refuse("certificate_ttl", "is the older spelling of credential_ttl; keep one of them"))
        }
        (new, old) => Ok(new.or(old)),
    }
}

fn find(name: &str) -> Result<&'static Kind, String> {
    if let Some(kind) = KINDS.iter().find(|kind| kind.name == name) {
        return Ok(kind);
    }
    let names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
    Err(match nearest(name, &names) {
        Some(near) => format!("{name:?} is no type of output or service; did you mean {near:?}?"),
        None => format!("{name:?} is no type of output or service; known: {}", names.join(", ")),
    })
}

pub(crate) fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_+".contains(&byte))
}

/// Reads one field of the table; only what is said is kept.
fn read_field(fields: &mut Fields<'_>, field: &Field) -> Result<Option<Json>, ConfigError> {
    let value = match field.shape {
        Shape::Text => fields.text(field.name)?.map(Json::from),
        Shape::Flag => fields.flag(field.name)?.map(Json::from),
        Shape::Duration => fields.duration(field.name)?.map(|span| Json::from(domain::form::duration::format(span))),
        Shape::Texts => Some(fields.texts(field.name)?).filter(|list| !list.is_empty()).map(Json::from),
        Shape::Choice(words) => match fields.text(field.name)? {
            Some(word) if !words.contains(&word.as_str()) => {
                return Err(fields.refuse(field.name, format!("must be one of {}", words.join(", "))));
            }
            word => word.map(Json::from),
        },
        Shape::Listen => match fields.text(field.name)? {
            Some(uri) => {
                address::check_listener(&uri).map_err(|message| fields.refuse(field.name, message))?;
                Some(Json::from(uri))
            }
            None => None,
        },
        Shape::Selector => fields.node(field.name).map(|node| read_selector(fields, field.name, node)).transpose()?,
        Shape::Selectors => {
            let items = fields.items(field.name)?;
            let list = items.iter().map(|node| read_selector(fields, field.name, node));
            let list = list.collect::<Result<Vec<_>, _>>()?;
            (!list.is_empty()).then_some(Json::from(list))
        }
        Shape::Any => fields.node(field.name).map(to_json),
    };
    if field.required && value.as_ref().is_none_or(|value| value == "") {
        return Err(fields.missing(field.name));
    }
    Ok(value)
}

/// `{name: X}` or `{labels: {k: [v]}}`, exactly one of the two.
fn read_selector(parent: &Fields<'_>, key: &str, node: &Node) -> Result<Json, ConfigError> {
    let mut fields = Fields::open(parent.source, node, &parent.name(key))?;
    let (name, labels) = (fields.text("name")?, fields.node("labels"));
    if name.is_some() == labels.is_some() {
        return Err(fields.refuse("name", "a selector has either name or labels"));
    }
    fields.text("default_namespace")?;
    fields.finish()?;
    Ok(to_json(node))
}

/// The value without its positions.
pub(crate) fn to_json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Flag(flag, _) => Json::Bool(*flag),
        Value::Number(text) => serde_json::from_str(text).unwrap_or_else(|_| Json::from(text.clone())),
        Value::Text(_) => scalar(node).map_or(Json::Null, Json::from),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|(key, value)| (key.text.clone(), to_json(value))).collect())
        }
    }
}
