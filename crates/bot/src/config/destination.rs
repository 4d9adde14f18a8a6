//! Where artifacts and state go, as it is written in a file or as a URI on the command line.

use std::path::PathBuf;

use serde_json::{Map, Value as Json, json};

use super::{
    ConfigError,
    fields::{Fields, Source},
    node::Node,
};

/// A place for artifacts or state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A directory.
    Directory(Directory),
    /// Nowhere: gone when the process ends.
    Memory,
    /// A secret of the Kubernetes cluster that the bot runs in.
    KubernetesSecret(KubernetesSecret),
}

/// A directory and how it is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// The directory.
    pub path: PathBuf,
    /// What happens when a symbolic link stands in the path.
    pub symlinks: Symlinks,
    /// Whether access lists are kept.
    pub acls: Acls,
    /// Who else may read; only with [`Acls`] other than off.
    pub readers: Vec<Reader>,
}

/// Protection against links that somebody else has put into the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Symlinks {
    /// Refuse links where the kernel can (Linux 5.6), warn where it cannot.
    #[default]
    TrySecure,
    /// Refuse links; fail where the kernel cannot.
    Secure,
    /// Follow links.
    Insecure,
}

/// POSIX access lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acls {
    /// Never touched.
    Off,
    /// Kept where the file system can, a warning where it cannot.
    Try,
    /// Kept, or the write fails.
    Required,
}

/// Somebody who may read the artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reader {
    /// A user, by name or number.
    User(String),
    /// A group, by name or number.
    Group(String),
}

/// A Kubernetes secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KubernetesSecret {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Labels to put on it.
    pub labels: Vec<(String, String)>,
    /// Which kubeconfig to use.
    pub kubeconfig_path: Option<String>,
    /// Which context of it.
    pub kubeconfig_context: Option<String>,
}

impl Default for Acls {
    fn default() -> Self {
        if cfg!(target_os = "linux") { Self::Try } else { Self::Off }
    }
}

impl Destination {
    /// A directory with everything else at its default.
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        Self::Directory(Directory {
            path: path.into(),
            symlinks: Symlinks::default(),
            acls: Acls::default(),
            readers: Vec::new(),
        })
    }

    /// `file:///path`, a bare path, `memory://`, `kubernetes-secret://name`.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn from_uri(uri: &str) -> Result<Self, String> {
        match uri.split_once("://") {
            None if uri.is_empty() => Err("a destination must not be empty".into()),
            None => Ok(Self::directory(uri)),
            Some(("file", path)) if path.starts_with('/') => Ok(Self::directory(path)),
            Some(("file", _)) => Err(format!("{uri:?}: write file:///absolute/path")),
            Some(("memory", _)) => Ok(Self::Memory),
            Some(("kubernetes-secret", name)) => {
                let name = name.trim_matches('/');
                let (namespace, name) = match name.split_once('/') {
                    Some((namespace, name)) => (Some(namespace.to_owned()), name),
                    None => (None, name),
                };
                if name.is_empty() {
                    return Err(format!("{uri:?}: write kubernetes-secret://<name>"));
                }
                Ok(Self::KubernetesSecret(KubernetesSecret { name: name.into(), namespace, ..Default::default() }))
            }
            Some((scheme, _)) => {
                Err(format!("destination scheme {scheme:?} is unknown; use file, memory or kubernetes-secret"))
            }
        }
    }

    pub(crate) fn read(source: Source<'_>, node: &Node, path: &str) -> Result<Self, ConfigError> {
        let mut fields = Fields::open(source, node, path)?;
        let destination = match fields.required("type")?.as_str() {
            "directory" => Self::Directory(read_directory(&mut fields)?),
            "memory" => Self::Memory,
            "kubernetes_secret" => Self::KubernetesSecret(read_secret(&mut fields)?),
            other => {
                let message = format!("{other:?} is unknown; use directory, memory or kubernetes_secret");
                return Err(fields.refuse("type", message));
            }
        };
        fields.finish()?;
        Ok(destination)
    }

    /// How it is called in messages; two destinations with the same words are the same place.
    pub fn describe(&self) -> String {
        match self {
            Self::Directory(directory) => format!("directory: {}", directory.path.display()),
            Self::Memory => "memory".into(),
            Self::KubernetesSecret(secret) => {
                format!("kubernetes_secret: {}{}", secret.namespace.as_deref().unwrap_or(""), secret.name)
            }
        }
    }

    /// As it stands in a file.
    pub(crate) fn render(&self) -> Json {
        match self {
            Self::Memory => json!({ "type": "memory" }),
            Self::Directory(directory) => render_directory(directory),
            Self::KubernetesSecret(secret) => {
                let mut map = Map::new();
                map.insert("type".into(), "kubernetes_secret".into());
                map.insert("name".into(), secret.name.clone().into());
                let optional = [
                    ("namespace", &secret.namespace),
                    ("kubeconfig_path", &secret.kubeconfig_path),
                    ("kubeconfig_context", &secret.kubeconfig_context),
                ];
                for (key, value) in optional {
                    if let Some(value) = value {
                        map.insert(key.into(), value.clone().into());
                    }
                }
                if !secret.labels.is_empty() {
                    let labels = secret.labels.iter().map(|(k, v)| (k.clone(), Json::from(v.clone()))).collect();
                    map.insert("labels".into(), Json::Object(labels));
                }
                Json::Object(map)
            }
        }
    }
}

fn render_directory(directory: &Directory) -> Json {
    let mut map = Map::new();
    map.insert("type".into(), "directory".into());
    map.insert("path".into(), directory.path.display().to_string().into());
    match directory.symlinks {
        Symlinks::TrySecure => {}
        Symlinks::Secure => drop(map.insert("symlinks".into(), "secure".into())),
        Symlinks::Insecure => drop(map.insert("symlinks".into(), "insecure".into())),
    }
    if directory.acls != Acls::default() {
        let word = match directory.acls {
            Acls::Off => "off",
            Acls::Try => "try",
            Acls::Required => "required",
        };
        map.insert("acls".into(), word.into());
    }
    if !directory.readers.is_empty() {
        let entry = |reader: &Reader| match reader {
            Reader::User(name) => json!({ "user": name }),
            Reader::Group(name) => json!({ "group": name }),
        };
        map.insert("readers".into(), directory.readers.iter().map(entry).collect());
    }
    Json::Object(map)
}

fn read_directory(fields: &mut Fields<'_>) -> Result<Directory, ConfigError> {
    let path = PathBuf::from(fields.required("path")?);
    let symlinks = match fields.text("symlinks")?.as_deref() {
        None | Some("" | "try-secure") => Symlinks::TrySecure,
        Some("secure") => Symlinks::Secure,
        Some("insecure") => Symlinks::Insecure,
        Some(_) => return Err(fields.refuse("symlinks", "must be try-secure, secure or insecure")),
    };
    let acls = match fields.text("acls")?.as_deref() {
        None | Some("") => Acls::default(),
        Some("off" | "false" | "no") => Acls::Off,
        Some("try") => Acls::Try,
        Some("required") => Acls::Required,
        Some(_) => return Err(fields.refuse("acls", "must be off, try or required")),
    };
    let readers = fields.items("readers")?;
    let readers = readers.iter().map(|node| read_reader(fields.source, node, &fields.name("readers")));
    let readers = readers.collect::<Result<Vec<_>, _>>()?;
    if !readers.is_empty() && acls == Acls::Off {
        return Err(fields.refuse("readers", "needs acls: try or required"));
    }
    Ok(Directory { path, symlinks, acls, readers })
}

fn read_reader(source: Source<'_>, node: &Node, path: &str) -> Result<Reader, ConfigError> {
    let mut fields = Fields::open(source, node, path)?;
    let (user, group) = (fields.text("user")?, fields.text("group")?);
    let at = fields.at;
    fields.finish()?;
    match (user, group) {
        (Some(user), None) if !user.is_empty() => Ok(Reader::User(user)),
        (None, Some(group)) if !group.is_empty() => Ok(Reader::Group(group)),
        _ => Err(source.error(at, format!("{path}: an entry has either user or group"))),
    }
}

fn read_secret(fields: &mut Fields<'_>) -> Result<KubernetesSecret, ConfigError> {
    let name = fields.required("name")?;
    let mut labels = Vec::new();
    if let Some(map) = fields.node("labels") {
        let super::node::Value::Map(entries) = &map.value else {
            return Err(fields.refuse("labels", "must be a map"));
        };
        for (key, value) in entries {
            let value = super::fields::scalar(value).ok_or_else(|| fields.refuse("labels", "values must be text"))?;
            labels.push((key.text.clone(), value));
        }
    }
    Ok(KubernetesSecret {
        name,
        namespace: fields.text("namespace")?,
        labels,
        kubeconfig_path: fields.text("kubeconfig_path")?,
        kubeconfig_context: fields.text("kubeconfig_context")?,
    })
}
