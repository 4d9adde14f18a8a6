//! How resources are named on the command line: `roles`, `role/ci`, `cert_authority/user`, `users,roles`, `all`.

use anyhow::bail;
use domain::{Error, Kind};

/// A kind, and perhaps one resource of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) kind: Kind,
    pub(crate) name: Option<String>,
}

/// The kinds that `all` stands for: those that can be created again from their documents.
const ALL: [Kind; 10] = [
    Kind::AuthPreference,
    Kind::NetworkingConfig,
    Kind::SessionRecordingConfig,
    Kind::CertAuthority,
    Kind::Role,
    Kind::User,
    Kind::Bot,
    Kind::Token,
    Kind::Lock,
    Kind::App,
];

/// Kinds that only programs ask for.
const INTERNAL: [Kind; 2] = [Kind::ClusterName, Kind::WatchStatus];

/// Reads a comma separated list of references.
///
/// # Errors
/// A kind that does not exist, or whose part of the program does not.
pub(crate) fn parse(text: &str) -> anyhow::Result<Vec<Reference>> {
    if text == "all" {
        return Ok(ALL.into_iter().map(|kind| Reference { kind, name: None }).collect());
    }
    text.split(',').filter(|part| !part.is_empty()).map(one).collect()
}

fn one(text: &str) -> anyhow::Result<Reference> {
    let (word, name) = text.split_once('/').map_or((text, None), |(word, name)| (word, Some(name.to_owned())));
    let kind = kind(word)?;
    if !kind.is_supported() {
        bail!(Error::unsupported(format!("resources of kind \"{kind}\" are not supported yet")));
    }
    Ok(Reference { kind, name: name.filter(|name| !name.is_empty()) })
}

/// Reads the word for a kind; one that does not exist is answered with the nearest and with all that do.
pub(crate) fn kind(word: &str) -> Result<Kind, Error> {
    let unknown = || {
        let known = Kind::ALL.iter().filter(|kind| kind.is_supported() && !INTERNAL.contains(kind));
        let known: Vec<&str> = known.map(|kind| kind.as_str()).collect();
        let meant = daemon::config::nearest(word.trim_end_matches('s'), known.iter().copied());
        let meant = meant.map(|kind| format!(", did you mean \"{kind}\"?")).unwrap_or_else(|| ".".to_owned());
        Error::invalid(format!("\"{word}\" is no kind of resource{meant} There are {}", known.join(", ")))
    };
    Kind::parse(word).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_of_every_shape() {
        let name = |kind, name: Option<&str>| Reference { kind, name: name.map(str::to_owned) };
        for (text, expected) in [
            ("roles", vec![name(Kind::Role, None)]),
            ("role/ci", vec![name(Kind::Role, Some("ci"))]),
            ("cap", vec![name(Kind::AuthPreference, None)]),
            ("cert_authority/user/example.com", vec![name(Kind::CertAuthority, Some("user/example.com"))]),
            ("user/a,lock", vec![name(Kind::User, Some("a")), name(Kind::Lock, None)]),
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        assert_eq!(parse("all").unwrap().len(), ALL.len());
        assert!(
            parse("rolls")
                .unwrap_err()
                .to_string()
                .contains("\"rolls\" is no kind of resource, did you mean \"role\"? There are")
        );
        assert!(parse("xyz").unwrap_err().to_string().contains("\"xyz\" is no kind of resource"));
        assert!(parse("node/x").unwrap_err().to_string().contains("not supported yet"));
    }
}
