//! Objects of Kubernetes: `kubernetes_resources`, whose meaning differs by the version of the role.
//!
//! | version | `kind` | what it governs |
//! |---|---|---|
//! | v3–v6 | `pod` | pods only; everything else but namespaces is left to the groups that Kubernetes sees |
//! | v7 | singular, a closed list; `namespace` is the namespace with all that is in it | everything |
//! | v8 | plural, with its API group; `namespaces` is the object alone | everything |

use std::fmt;

use domain::resources::role::{KubernetesResource, is_cluster_wide, singular_of};

use crate::{
    checker::Findings,
    context::Subject,
    decision::{Place, Side},
    expand::{Held, Matching, Outcome, Values},
};

const PLACE: &str = "kubernetes_resources";

/// An object of Kubernetes, or several, and what is to be done with it.
#[derive(Debug, Clone, Copy)]
pub struct KubernetesObject<'a> {
    /// The API group; empty for the core.
    pub api_group: &'a str,
    /// The plural name of the kind, as it stands in the path of a request.
    pub kind: &'a str,
    /// The namespace, empty for an object outside of them. None: of any namespace.
    pub namespace: Option<&'a str>,
    /// The name. None for a list or a watch: it is allowed if some objects may be seen, and denied only if none may; each
    /// object is then asked for by itself.
    pub name: Option<&'a str>,
    /// The verb, as roles write it: `get`, `list`, `exec` …
    pub verb: &'a str,
}

/// An entry, expanded.
#[derive(Debug)]
pub(crate) struct Entry {
    version: u8,
    is_cluster_wide: bool,
    kind: Values,
    api_group: Values,
    namespace: Values,
    name: Values,
    verbs: Values,
}

impl Entry {
    pub(crate) fn new(entry: &KubernetesResource, version: u8, subject: &Subject) -> Self {
        let pattern = |text: &String| Values::or_empty(text, subject);
        Self {
            version,
            is_cluster_wide: is_cluster_wide(&entry.kind),
            kind: pattern(&entry.kind),
            api_group: pattern(&entry.api_group),
            namespace: pattern(&entry.namespace),
            name: pattern(&entry.name),
            verbs: Values::of(&entry.verbs, subject, Matching::Patterns),
        }
    }

    fn fits(&self, object: &KubernetesObject<'_>, side: Side) -> Outcome {
        // Without verbs an entry allows nothing; that it denies nothing can hardly be meant.
        let verb = match side {
            Side::Deny if self.verbs.is_empty() => Outcome::Yes,
            _ => self.verbs.has(object.verb),
        };
        verb.and(|| if self.version >= 8 { self.fits_plural(object, side) } else { self.fits_singular(object, side) })
    }

    fn fits_plural(&self, object: &KubernetesObject<'_>, side: Side) -> Outcome {
        let kind = self.kind.has(object.kind).and(|| self.api_group.has(object.api_group));
        kind.and(|| self.fits_place(object, side))
    }

    fn fits_singular(&self, object: &KubernetesObject<'_>, side: Side) -> Outcome {
        if self.kind.has("namespace").is_yes() && !self.kind.is_any() {
            // The namespace itself, and all that is in it.
            let namespace = if object.is_namespace() { object.name } else { object.namespace };
            return if namespace == Some("") { Outcome::No } else { has(&self.name, namespace, side) };
        }
        let kind = match singular_of(object.api_group, object.kind) {
            Some(singular) => self.kind.has(singular),
            None => Outcome::of(self.kind.is_any()),
        };
        kind.and(|| self.fits_place(object, side))
    }

    fn fits_place(&self, object: &KubernetesObject<'_>, side: Side) -> Outcome {
        // An entry for nodes with a namespace means nodes all the same: they have none to compare with.
        let namespace = if object.is_namespace() { Some("") } else { object.namespace };
        let in_place = if self.is_cluster_wide { Outcome::Yes } else { has(&self.namespace, namespace, side) };
        in_place.and(|| has(&self.name, object.name, side))
    }
}

/// Whether a value fits; an unknown one fits when some would, and is denied only when all are.
fn has(values: &Values, value: Option<&str>, side: Side) -> Outcome {
    match (value, side) {
        (Some(value), _) => values.has(value),
        (None, Side::Allow) => Outcome::of(!values.is_empty()),
        (None, Side::Deny) => Outcome::of(values.is_any()),
    }
}

impl KubernetesObject<'_> {
    fn is_namespace(&self) -> bool {
        self.kind == "namespaces" && self.api_group.is_empty()
    }

    fn is_pod(&self) -> bool {
        self.kind == "pods" && self.api_group.is_empty()
    }

    pub(crate) fn findings(&self, held: &Held, side: Side) -> Findings {
        let role = held.role.role();
        let entries = &held.side(side).details.kubernetes;
        if side == Side::Allow && role.version_number() < 7 {
            let everything = matches!(entries.as_slice(), [one] if one.namespace.is_any() && one.name.is_any());
            if everything || !self.is_pod() && !self.is_namespace() {
                return vec![(Place::List(side, PLACE), Outcome::Yes)];
            }
        }
        entries.iter().enumerate().map(|(i, entry)| (Place::Entry(side, PLACE, i), entry.fits(self, side))).collect()
    }
}

impl fmt::Display for KubernetesObject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.verb, self.kind)?;
        if !self.api_group.is_empty() {
            write!(f, ".{}", self.api_group)?;
        }
        match (self.namespace, self.name) {
            (Some(""), Some(name)) => write!(f, " {name:?}"),
            (Some(namespace), Some(name)) => write!(f, " \"{namespace}/{name}\""),
            (Some(namespace), None) if !namespace.is_empty() => write!(f, " in {namespace:?}"),
            _ => Ok(()),
        }
    }
}
