//! What the authority counts.

use std::sync::atomic::AtomicU64;

use telemetry::metrics::{Counter, EncodeLabelSet, Family, Gauge, Registry};

/// Which sort of certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Form {
    form: &'static str,
}

/// Why a join failed: words of ours, nothing that a stranger chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    method: &'static str,
    reason: &'static str,
}

/// The counters of the authority. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    requests: Counter,
    certificates: Family<Form, Counter>,
    joins_failed: Family<Reason, Counter>,
    stale_decisions: Counter,
    cache_age: Gauge<f64, AtomicU64>,
    audit_backlog: Gauge,
}

impl Metrics {
    /// Shows the counters in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("auth_generate_requests", "Certificate requests that were granted", self.requests.clone());
        registry.register("tessera_certificates_issued", "Certificates issued, by form", self.certificates.clone());
        registry.register("tessera_joins_failed", "Joins that failed, by reason", self.joins_failed.clone());
        registry.register(
            "tessera_auth_stale_decisions",
            "Callers who were let in on locks that were not known freshly, as best_effort allows",
            self.stale_decisions.clone(),
        );
        registry.register(
            "tessera_cache_age_seconds",
            "How old the view is that decisions are made from",
            self.cache_age.clone(),
        );
        registry.register(
            "tessera_audit_backlog",
            "Audit records that the chain has not linked yet, as far as it has looked ahead",
            self.audit_backlog.clone(),
        );
    }

    /// Certificates were signed.
    pub(crate) fn issued(&self, x509: bool, ssh: bool) {
        self.requests.inc();
        for form in [x509.then_some("x509"), ssh.then_some("ssh")].into_iter().flatten() {
            self.certificates.get_or_create(&Form { form }).inc();
        }
    }

    /// A join failed.
    pub(crate) fn join_failed(&self, method: &'static str, reason: &'static str) {
        self.joins_failed.get_or_create(&Reason { method, reason }).inc();
    }

    /// Somebody was let in on locks that were not known freshly.
    pub(crate) fn decided_on_stale_locks(&self) {
        self.stale_decisions.inc();
    }

    /// How far decisions and the audit chain are behind; told every second by who watches them.
    pub fn behind(&self, cache: std::time::Duration, audit: u64) {
        self.cache_age.set(cache.as_secs_f64());
        self.audit_backlog.set(i64::try_from(audit).unwrap_or(i64::MAX));
    }
}
