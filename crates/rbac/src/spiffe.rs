//! SPIFFE ids by path and names: `spiffe`, the way before workload identities.

use std::net::IpAddr;

use domain::{form::Cidr, resources::role::SpiffeCondition};

use crate::{
    checker::Findings,
    context::Subject,
    decision::{Place, Side},
    expand::{Matching, Outcome, Values},
};

/// The names that an SVID is to have.
#[derive(Debug, Clone, Copy)]
pub struct SvidRequest<'a> {
    /// The path of the SPIFFE id, which begins with a slash.
    pub path: &'a str,
    /// The DNS names beside it.
    pub dns_sans: &'a [String],
    /// The addresses beside it.
    pub ip_sans: &'a [IpAddr],
}

/// An entry, expanded.
#[derive(Debug)]
pub(crate) struct SpiffeEntry {
    path: Values,
    dns_sans: Values,
    ip_sans: Vec<Cidr>,
    /// Why an address range could not be told.
    broken: Option<String>,
    names_sans: bool,
}

impl SpiffeEntry {
    pub(crate) fn new(entry: &SpiffeCondition, subject: &Subject) -> Self {
        let broken = entry.ip_sans.iter().find(|range| Cidr::parse(range).is_none());
        Self {
            path: Values::of([&entry.path], subject, Matching::Patterns),
            // DNS names have no case (RFC 4343).
            dns_sans: Values::of(entry.dns_sans.iter().map(|name| lower(name)), subject, Matching::Patterns),
            ip_sans: entry.ip_sans.iter().filter_map(|range| Cidr::parse(range)).collect(),
            broken: broken.map(|range| format!("{range:?} is no range of addresses")),
            names_sans: !entry.dns_sans.is_empty() || !entry.ip_sans.is_empty(),
        }
    }

    fn has_address(&self, address: IpAddr) -> Outcome {
        match &self.broken {
            _ if self.ip_sans.iter().any(|range| range.contains(address)) => Outcome::Yes,
            Some(why) => Outcome::Unknown(why.clone()),
            None => Outcome::No,
        }
    }

    /// `allow` needs the path and every name; `deny` needs the path and, if the entry speaks of names, one of them.
    fn fits(&self, request: &SvidRequest<'_>, side: Side) -> Outcome {
        let names = request.dns_sans.iter().map(|name| self.dns_sans.has(&name.to_ascii_lowercase()));
        let names = names.chain(request.ip_sans.iter().map(|address| self.has_address(*address)));
        self.path.has(request.path).and(|| match side {
            Side::Allow => names.fold(Outcome::Yes, |all, one| all.and(|| one)),
            Side::Deny if !self.names_sans => Outcome::Yes,
            Side::Deny => names.fold(Outcome::No, Outcome::or),
        })
    }
}

/// In small letters, unless it is a regular expression or a template: there letters are also syntax.
fn lower(name: &str) -> String {
    if name.starts_with('^') || name.contains("{{") { name.to_owned() } else { name.to_ascii_lowercase() }
}

impl SvidRequest<'_> {
    pub(crate) fn findings(&self, entries: &[SpiffeEntry], side: Side) -> Findings {
        let entries = entries.iter().enumerate();
        entries.map(|(index, entry)| (Place::Entry(side, "spiffe", index), entry.fits(self, side))).collect()
    }
}
