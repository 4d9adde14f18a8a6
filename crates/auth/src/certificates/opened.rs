//! Something made from the cache at its first use and kept until what it was made from changes.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;

/// What was made, if it was; reading it takes no lock.
pub(crate) struct Opened<T> {
    kept: ArcSwapOption<T>,
    /// Held while it is made or forgotten: what was made before a change must not be kept after it, or a certificate
    /// authority that was removed would be trusted until the next change.
    changing: Mutex<()>,
}

impl<T> Default for Opened<T> {
    fn default() -> Self {
        Self { kept: ArcSwapOption::empty(), changing: Mutex::default() }
    }
}

impl<T> Opened<T> {
    /// What is kept, or what `open` makes now.
    pub(crate) fn get_or_open<E>(&self, open: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        if let Some(kept) = self.kept.load_full() {
            return Ok(kept);
        }
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = self.kept.load_full() {
            return Ok(kept);
        }
        let made = Arc::new(open()?);
        self.kept.store(Some(Arc::clone(&made)));
        Ok(made)
    }

    /// Forgets it; called after what it is made from has changed.
    pub(crate) fn forget(&self) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.kept.store(None);
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::mpsc, thread, time::Duration};

    use super::*;

    #[test]
    fn what_was_made_before_a_change_is_not_kept_after_it() {
        let opened = Opened::default();
        let (changed, seen) = mpsc::channel();
        thread::scope(|scope| {
            let made = opened.get_or_open(|| {
                scope.spawn(|| {
                    opened.forget();
                    let _ = changed.send(());
                });
                // Without the lock the change is through before this ends, and "old" is kept.
                let _ = seen.recv_timeout(Duration::from_millis(100));
                Ok::<_, Infallible>("old")
            });
            assert_eq!(made.map(|made| *made), Ok("old"));
        });
        assert_eq!(opened.get_or_open(|| Ok::<_, Infallible>("new")).map(|made| *made), Ok("new"));
    }
}
