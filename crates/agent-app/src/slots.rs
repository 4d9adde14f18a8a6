//! What is kept for each session while it is served. A connection holds the place of its session, so that a request looks
//! nothing up; places that nobody holds are swept now and then.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Sessions that are kept before the first look for those that nobody needs. The next look is at twice as many as were
/// left: who comes never pays for more than two.
const FIRST_SWEEP: usize = 1024;

/// The place of one session. It is locked while auth is asked: once for all who wait.
pub(crate) type Slot<T> = Arc<tokio::sync::Mutex<T>>;

/// The places by session.
pub(crate) struct Slots<T>(Mutex<Inner<T>>);

struct Inner<T> {
    by_id: HashMap<String, Slot<T>>,
    sweep_at: usize,
}

impl<T: Default> Slots<T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Inner { by_id: HashMap::new(), sweep_at: FIRST_SWEEP }))
    }

    /// The place of a session; `is_wanted` says what is kept though nobody holds it.
    pub(crate) fn of(&self, id: &str, is_wanted: impl Fn(&T) -> bool) -> Slot<T> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = inner.by_id.get(id) {
            return Arc::clone(slot);
        }
        if inner.by_id.len() >= inner.sweep_at {
            inner
                .by_id
                .retain(|_, slot| Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|kept| is_wanted(&kept)));
            inner.sweep_at = FIRST_SWEEP.max(inner.by_id.len() * 2);
        }
        Arc::clone(inner.by_id.entry(id.to_owned()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_is_kept_and_who_is_gone_is_swept() {
        let slots = Slots::<bool>::new();
        let held = slots.of("held", |_| false);
        *slots.of("wanted", |_| false).try_lock().unwrap() = true;
        for count in 0..3 * FIRST_SWEEP {
            drop(slots.of(&count.to_string(), |wanted| *wanted));
        }
        assert!(slots.0.lock().unwrap().by_id.len() <= FIRST_SWEEP);
        assert!(Arc::ptr_eq(&held, &slots.of("held", |_| false)));
        assert!(*slots.of("wanted", |_| false).try_lock().unwrap());
    }
}
