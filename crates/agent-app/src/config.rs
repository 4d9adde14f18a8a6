//! What is served here.

use crypto::x509::Certificate;
use domain::{form::Labels, resources};

use crate::{Hosts, Metrics};

/// The section `app_service`, read and checked.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// How people call this machine.
    pub hostname: String,
    /// The applications of the configuration file.
    pub apps: Vec<resources::App>,
    /// Whether `dumper` is served, which answers with what it was asked.
    pub debug_app: bool,
    /// Selectors of `app` resources that are served as well: any of them suffices.
    pub resources: Vec<Labels>,
    /// Which addresses applications may be at.
    pub hosts: Hosts,
    /// The authorities that HTTPS applications are judged by: those of the machine.
    pub roots: Vec<Certificate>,
    /// What is counted.
    pub metrics: Metrics,
}
