//! Which components are ready, and why the others are not.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use serde::Serialize;
use tokio::sync::watch;

/// The state of one component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Not ready yet.
    #[default]
    Starting,
    /// Working, perhaps with something that an operator should know.
    Ready {
        /// What an operator should know.
        note: Option<String>,
    },
    /// Not working, and why.
    Unready {
        /// Why.
        reason: String,
    },
}

/// The registry of components. Cheap to clone; all clones are one registry.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    components: RwLock<BTreeMap<String, State>>,
    ready: watch::Sender<bool>,
}

/// A component's end of the registry.
#[derive(Clone, Debug)]
pub struct Component {
    name: String,
    registry: Readiness,
}

/// What `/readyz` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `ok`, or `starting`, or `unhealthy`.
    pub status: &'static str,
    /// The reasons, one line each: why it is not ready, and what an operator should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// The components.
    pub services: BTreeMap<String, ComponentReport>,
}

/// What is said of one component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComponentReport {
    /// `healthy`, `initializing` or `unhealthy`.
    pub status: &'static str,
    /// Why, or what an operator should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Readiness {
    /// An empty registry; without components it is ready.
    pub fn new() -> Self {
        Self(Arc::new(Shared { components: RwLock::default(), ready: watch::Sender::new(true) }))
    }

    /// Adds a component, which starts as not ready.
    pub fn register(&self, name: impl Into<String>) -> Component {
        let component = Component { name: name.into(), registry: self.clone() };
        component.set(State::Starting);
        component
    }

    /// Whether every component is ready.
    pub fn is_ready(&self) -> bool {
        *self.0.ready.borrow()
    }

    /// Waits until every component is ready.
    pub async fn ready(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// The state of everything.
    pub fn report(&self) -> Report {
        let components = self.0.components.read().unwrap_or_else(PoisonError::into_inner);
        let services: BTreeMap<_, _> =
            components.iter().map(|(name, state)| (name.clone(), ComponentReport::from(state))).collect();
        let status = if components.values().any(|state| matches!(state, State::Unready { .. })) {
            "unhealthy"
        } else if components.values().any(|state| *state == State::Starting) {
            "starting"
        } else {
            "ok"
        };
        let reasons = services
            .iter()
            .filter_map(|(name, report)| match &report.reason {
                Some(reason) => Some(format!("{name}: {reason}")),
                None => (report.status == "initializing").then(|| format!("{name}: starting")),
            })
            .collect();
        Report { status, reasons, services }
    }

    /// The state of one component.
    pub fn component(&self, name: &str) -> Option<ComponentReport> {
        self.0.components.read().unwrap_or_else(PoisonError::into_inner).get(name).map(ComponentReport::from)
    }
}

impl Component {
    /// It works.
    pub fn ready(&self) {
        self.set(State::Ready { note: None });
    }

    /// It works, and an operator should know something.
    pub fn ready_with_note(&self, note: impl Into<String>) {
        self.set(State::Ready { note: Some(note.into()) });
    }

    /// It does not work.
    pub fn unready(&self, reason: impl Into<String>) {
        self.set(State::Unready { reason: reason.into() });
    }

    /// Sets its state.
    pub fn set(&self, state: State) {
        let mut components = self.registry.0.components.write().unwrap_or_else(PoisonError::into_inner);
        components.insert(self.name.clone(), state);
        let ready = components.values().all(|state| matches!(state, State::Ready { .. }));
        // Under the lock, so that two components cannot publish in the wrong order.
        self.registry.0.ready.send_replace(ready);
    }

    /// Takes the component out of the registry: it was stopped on purpose.
    pub fn remove(self) {
        let mut components = self.registry.0.components.write().unwrap_or_else(PoisonError::into_inner);
        components.remove(&self.name);
        let ready = components.values().all(|state| matches!(state, State::Ready { .. }));
        self.registry.0.ready.send_replace(ready);
    }
}

impl From<&State> for ComponentReport {
    fn from(state: &State) -> Self {
        match state {
            State::Starting => Self { status: "initializing", reason: None },
            State::Ready { note } => Self { status: "healthy", reason: note.clone() },
            State::Unready { reason } => Self { status: "unhealthy", reason: Some(reason.clone()) },
        }
    }
}

impl ComponentReport {
    /// Whether the component works.
    pub fn is_ready(&self) -> bool {
        self.status == "healthy"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_is_wrong_and_what_should_be_known() {
        let readiness = Readiness::new();
        assert_eq!(readiness.report().status, "ok");
        let (storage, sweep) = (readiness.register("storage"), readiness.register("sweep"));
        assert_eq!(readiness.report().status, "starting");
        storage.unready("disk full");
        sweep.ready_with_note("waits 15 minutes after a clock step");
        let report = readiness.report();
        assert_eq!(report.status, "unhealthy");
        assert_eq!(report.reasons, ["storage: disk full", "sweep: waits 15 minutes after a clock step"]);
        assert!(!readiness.is_ready());
        storage.ready();
        assert!(readiness.is_ready());
        assert_eq!(
            serde_json::to_string(&readiness.report()).unwrap(),
            r#"{"status":"ok","reasons":["sweep: waits 15 minutes after a clock step"],"services":{"storage":{"status":"healthy"},"sweep":{"status":"healthy","reason":"waits 15 minutes after a clock step"}}}"#
        );
    }
}
