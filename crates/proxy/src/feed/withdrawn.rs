//! Servers of applications that are gone. The name that we are told does not say which agent's one was, so all are read
//! anew: once for many, and beside what else is followed, since a lock must not wait for it.

use std::pin::Pin;

use clock::Clock;
use domain::{Error, resources::AppServer};

use crate::view::View;

type Reading<'a> = Pin<Box<dyn Future<Output = Result<Vec<AppServer>, Error>> + Send + 'a>>;

/// Reads the servers anew when some were withdrawn.
pub(super) struct Withdrawn<'a, F> {
    view: &'a View,
    clock: &'a Clock,
    begin: F,
    reading: Option<Reading<'a>>,
    /// Another one was withdrawn since the reading began, and may be in what it finds.
    is_due: bool,
    /// Servers that have said since then that they are there: they may not be in what it finds.
    since: Vec<AppServer>,
}

impl<'a, F, R> Withdrawn<'a, F>
where
    F: FnMut() -> R,
    R: Future<Output = Result<Vec<AppServer>, Error>> + Send + 'a,
{
    pub(super) fn new(view: &'a View, clock: &'a Clock, begin: F) -> Self {
        Self { view, clock, begin, reading: None, is_due: false, since: Vec::new() }
    }

    /// One was withdrawn.
    pub(super) fn one(&mut self) {
        match self.reading {
            Some(_) => self.is_due = true,
            None => self.reading = Some(Box::pin((self.begin)())),
        }
    }

    /// One says that it is there.
    pub(super) fn put(&mut self, server: AppServer) {
        self.view.put_server(&server);
        if self.reading.is_some() {
            self.since.push(server);
        }
    }

    /// Waits until all were read; for ever while none was withdrawn. Dropping the future loses nothing.
    pub(super) async fn read(&mut self) -> Result<(), Error> {
        let Some(reading) = &mut self.reading else { return std::future::pending().await };
        let found = reading.await;
        self.reading = None;
        self.view.set_servers(&found?, self.clock.now());
        self.since.drain(..).for_each(|server| self.view.put_server(&server));
        if std::mem::take(&mut self.is_due) {
            self.one();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        sync::{Mutex, PoisonError},
    };

    use domain::resources::{App, app::AppSpec, app_server::AppServerSpec};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::names::Names;

    fn server(name: &str) -> AppServer {
        let app = App::new(name, AppSpec { uri: "http://localhost:1".into(), ..AppSpec::default() });
        AppServer::new(name, AppServerSpec { host_id: "a".into(), app: Some(app), ..AppServerSpec::default() })
    }

    #[tokio::test]
    async fn many_that_are_withdrawn_are_read_once_and_nothing_that_happens_meanwhile_is_lost() {
        let (view, clock) = (View::new(Names::new(&[])), Clock::system());
        let (stored, reads) = (Mutex::new(vec![server("kept")]), Cell::new(0));
        let (turns, stored) = (&Semaphore::new(0), &stored);
        let mut withdrawn = Withdrawn::new(&view, &clock, || {
            reads.set(reads.get() + 1);
            async move {
                // What is found was there before the answer arrived.
                let found = stored.lock().unwrap_or_else(PoisonError::into_inner).clone();
                turns.acquire().await.unwrap().forget();
                Ok(found)
            }
        });
        let is_there = |name: &str| !view.servers_of(name).is_empty();
        for name in ["kept", "gone"] {
            withdrawn.put(server(name));
        }
        for _ in 0..400 {
            withdrawn.one();
        }
        assert!(futures_util::poll!(Box::pin(withdrawn.read())).is_pending());
        withdrawn.put(server("new"));
        stored.lock().unwrap().push(server("new"));
        turns.add_permits(1);
        withdrawn.read().await.unwrap();
        assert!(is_there("kept") && is_there("new") && !is_there("gone"));
        // The last one of them may have gone after the answer was made.
        stored.lock().unwrap().retain(|server| server.metadata.name != "kept");
        turns.add_permits(1);
        withdrawn.read().await.unwrap();
        assert!(!is_there("kept") && is_there("new"));
        assert_eq!(reads.get(), 2);
        assert!(futures_util::poll!(Box::pin(withdrawn.read())).is_pending(), "there is nothing to read");
    }
}
