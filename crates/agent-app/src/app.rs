//! An application, compiled: its address and its rewrites.

use std::collections::BTreeMap;

use domain::{Error, Metadata, Resource as _, metadata, resources};

use crate::{
    target::{Scheme, Target},
    web::rewrite::Rewrites,
};

/// The name of the debug application.
pub const DUMPER: &str = "dumper";

/// An application as this agent serves it.
#[derive(Debug, Clone)]
pub struct App {
    document: resources::App,
    target: Target,
    rewrites: Rewrites,
}

/// Where a definition comes from; the value of the origin label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Config,
    Dynamic,
}

impl App {
    /// Whether a definition of a configuration file can be served, told before anything is joined.
    ///
    /// # Errors
    /// As an agent with this definition would fail: `spec.KEY: why`.
    pub fn check(document: &resources::App) -> Result<(), Error> {
        Self::compile(document.clone(), Origin::Config).map(|_| ())
    }

    /// Compiles a definition.
    ///
    /// # Errors
    /// It is out of order, or of a kind that is not served here.
    pub(crate) fn compile(mut document: resources::App, origin: Origin) -> Result<Self, Error> {
        document.set_defaults();
        document.validate()?;
        let word = match origin {
            Origin::Config => "config",
            Origin::Dynamic => "dynamic",
        };
        document.metadata.labels.insert(metadata::ORIGIN.to_owned(), word.to_owned());
        let target = Target::parse(&document.spec.uri)?;
        let rewrites = Rewrites::compile(document.spec.rewrite.as_ref())?;
        Ok(Self { document, target, rewrites })
    }

    /// The application that answers with what it was asked.
    pub(crate) fn dumper() -> Self {
        let mut document = resources::App { metadata: Metadata::named(DUMPER), ..resources::App::default() };
        document.spec.uri = "http://127.0.0.1".to_owned();
        document.metadata.description = "Answers with what it was asked.".to_owned();
        document.metadata.labels.insert(metadata::ORIGIN.to_owned(), "config".to_owned());
        document.set_defaults();
        Self { document, target: Target::dumper(), rewrites: Rewrites::default() }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.document.metadata.name
    }

    /// The definition.
    pub fn document(&self) -> &resources::App {
        &self.document
    }

    /// Whether it is reached as plain bytes.
    pub fn is_tcp(&self) -> bool {
        self.target.scheme == Scheme::Tcp
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) fn rewrites(&self) -> &Rewrites {
        &self.rewrites
    }

    /// The labels of the definition and those that commands print. A command cannot take the place of a fixed label.
    pub(crate) fn labels(&self, mut printed: BTreeMap<String, String>) -> BTreeMap<String, String> {
        printed.extend(self.document.metadata.labels.clone());
        printed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_cannot_take_the_place_of_a_fixed_label() {
        let mut document = resources::App { metadata: Metadata::named("a"), ..resources::App::default() };
        document.spec.uri = "http://a".to_owned();
        document.metadata.labels.insert("env".to_owned(), "prod".to_owned());
        let app = App::compile(document, Origin::Config).unwrap();
        let printed = [("env", "dev"), ("load", "low")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let labels = app.labels(printed);
        assert_eq!((labels["env"].as_str(), labels["load"].as_str()), ("prod", "low"));
        assert_eq!(labels[metadata::ORIGIN], "config");
    }
}
