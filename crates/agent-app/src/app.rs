//! An application, compiled: its address, its rewrites and its cross-origin rules.

use std::collections::BTreeMap;

use domain::{Error, Metadata, Resource as _, metadata, resources};

use crate::{
    target::{Scheme, Target},
    web::{cors::Cors, rewrite::Rewrites},
};

/// The name of the debug application.
pub const DUMPER: &str = "dumper";

/// An application as this agent serves it.
#[derive(Debug, Clone)]
pub struct App {
    document: resources::App,
    target: Target,
    rewrites: Rewrites,
    cors: Option<Cors>,
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
        if target.scheme == Scheme::Tcp && target.port.is_none() && document.spec.tcp_ports.is_empty() {
            return Err(Error::invalid("spec.uri: a TCP application needs a port, in its address or in tcp_ports"));
        }
        let rewrites = Rewrites::compile(document.spec.rewrite.as_ref())?;
        let cors = document.spec.cors.as_ref().map(Cors::compile);
        Ok(Self { document, target, rewrites, cors })
    }

    /// The application that answers with what it was asked.
    pub(crate) fn dumper() -> Self {
        let mut document = resources::App { metadata: Metadata::named(DUMPER), ..resources::App::default() };
        document.spec.uri = "http://127.0.0.1".to_owned();
        document.metadata.description = "Answers with what it was asked.".to_owned();
        document.metadata.labels.insert(metadata::ORIGIN.to_owned(), "config".to_owned());
        document.set_defaults();
        Self { document, target: Target::dumper(), rewrites: Rewrites::default(), cors: None }
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

    pub(crate) fn cors(&self) -> Option<&Cors> {
        self.cors.as_ref()
    }

    /// The labels of the definition and those that commands print. A command cannot take the place of a fixed label.
    pub(crate) fn labels(&self, printed: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut labels = printed.clone();
        labels.extend(self.document.metadata.labels.clone());
        labels
    }

    /// The port of a TCP application that is meant by a session: the one it names, if the application has it; without
    /// one the first.
    pub(crate) fn tcp_port(&self, wanted: u16) -> Option<u16> {
        let ranges = &self.document.spec.tcp_ports;
        match (wanted, ranges.first()) {
            (0, None) => self.target.port,
            (0, Some(first)) => u16::try_from(first.port).ok(),
            (wanted, None) => self.target.port.filter(|port| *port == wanted),
            (wanted, Some(_)) => ranges
                .iter()
                .any(|range| (range.port..=range.end_port.max(range.port)).contains(&u32::from(wanted)))
                .then_some(wanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::resources::app::PortRange;

    use super::*;

    #[test]
    fn only_ports_of_the_application_are_reached() {
        let mut document = resources::App { metadata: Metadata::named("db"), ..resources::App::default() };
        document.spec.uri = "tcp://db:5432".to_owned();
        let one = App::compile(document.clone(), Origin::Config).unwrap();
        assert_eq!([one.tcp_port(0), one.tcp_port(5432), one.tcp_port(22)], [Some(5432), Some(5432), None]);
        document.spec.uri = "tcp://db".to_owned();
        assert!(App::compile(document.clone(), Origin::Config).is_err());
        document.spec.tcp_ports = vec![PortRange { port: 10, end_port: 0 }, PortRange { port: 20, end_port: 30 }];
        let many = App::compile(document, Origin::Config).unwrap();
        let found = [0, 10, 11, 20, 30, 31].map(|port| many.tcp_port(port));
        assert_eq!(found, [Some(10), Some(10), None, Some(20), Some(30), None]);
    }

    #[test]
    fn a_command_cannot_take_the_place_of_a_fixed_label() {
        let mut document = resources::App { metadata: Metadata::named("a"), ..resources::App::default() };
        document.spec.uri = "http://a".to_owned();
        document.metadata.labels.insert("env".to_owned(), "prod".to_owned());
        let app = App::compile(document, Origin::Config).unwrap();
        let printed = [("env", "dev"), ("load", "low")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let labels = app.labels(&printed);
        assert_eq!((labels["env"].as_str(), labels["load"].as_str()), ("prod", "low"));
        assert_eq!(labels[metadata::ORIGIN], "config");
    }
}
