//! What a bot writes for other programs: one file a type.

mod application;
mod identity;

use std::{sync::Arc, time::Duration};

use crypto::SecretString;

use crate::{
    BotError,
    config::{Config, Service},
    destination::Sink,
    impersonation::Impersonation,
    renewal::machine::{FIRST_WAIT, left},
    run::Hub,
};

/// The name of a file and what is in it, which may be a private key.
type Artifact = (&'static str, SecretString);

/// An output, ready to be written.
pub(crate) struct Output {
    /// The type.
    pub(crate) kind: &'static str,
    /// How it is called.
    pub(crate) name: String,
    interval: Duration,
    grant: Impersonation,
    /// The application that the certificates lead to, when they lead to one.
    app: String,
    /// Certificate, key and authorities are written under the names that web servers are used to, too.
    specific_names: bool,
    /// What SSH clients need beside keys and certificates is written, too.
    for_ssh: bool,
    sink: Arc<Sink>,
}

impl Output {
    /// Opens the destination of an entry.
    pub(crate) fn open(config: &Config, service: &Service, name: String) -> Result<Self, BotError> {
        let destination = service.destination.as_ref();
        let destination = destination.ok_or_else(|| BotError::Unsupported(format!("{name} has no destination")))?;
        let for_ssh = is_for_ssh(service);
        if for_ssh {
            tracing::info!(
                output = name,
                "known_hosts is written, ssh_config is not: it leads through tbot ssh-proxy-command, which is not \
                 supported yet (ssh_config: off writes neither and says nothing)"
            );
        }
        if !service.roles.is_empty() {
            tracing::warn!(output = name, "roles of a single output are deprecated; use one bot for each set of roles");
        }
        Ok(Self {
            kind: service.kind.name,
            interval: config.interval_of(service),
            grant: Impersonation::of(config, service, &name),
            app: service.text("app_name").to_owned(),
            specific_names: has_specific_names(service),
            for_ssh,
            sink: Arc::new(Sink::open(destination)?),
            name,
        })
    }

    /// Where it is written to.
    pub(crate) fn sink(&self) -> &Sink {
        &self.sink
    }

    /// Gets new certificates and writes the artifacts. Returns when they are to be written again.
    pub(crate) async fn write(&self, hub: &Hub) -> Result<Duration, BotError> {
        let asked = hub.clock().now();
        let issued = match self.kind {
            "application" => Box::pin(application::write(self, hub)).await?,
            _ => identity::write(self, hub).await?,
        };
        let left = left(asked, hub.clock().now(), issued.not_before(), issued.not_after());
        let planned = pause(self.interval, self.grant.ttl, self.grant.ttl);
        if left < planned {
            tracing::warn!(
                output = self.name,
                asked = domain::form::duration::format(self.grant.ttl),
                until = %issued.not_after(),
                "the certificate ends before the renewal_interval is over (max_session_ttl of a role); renewing sooner"
            );
        }
        Ok(pause(self.interval, self.grant.ttl, left))
    }

    /// Puts all files in their places together. Another thread waits for the disk: ours carries what goes through tunnels.
    async fn put(&self, artifacts: Vec<Artifact>) -> Result<(), BotError> {
        let sink = Arc::clone(&self.sink);
        let written = tokio::task::spawn_blocking(move || {
            let files = artifacts.iter().map(|(name, content)| (*name, content.expose().as_bytes()));
            sink.write_all(&files.collect::<Vec<_>>())
        });
        let written = written.await.map_err(|error| BotError::Machine(format!("cannot write the files: {error}")))?;
        Ok(written?)
    }
}

/// Between two writes: a little more than the interval, so that the bot's own identity, which no certificate outlives,
/// goes first; never so much that the old certificate ends before. One that was given less time than was asked for
/// (`left` of `ttl`) is renewed after the same part of it.
fn pause(interval: Duration, ttl: Duration, left: Duration) -> Duration {
    let planned = interval + (interval / 20).min(ttl.saturating_sub(interval) / 2);
    if left >= ttl { planned } else { planned.mul_f64(left.as_secs_f64() / ttl.as_secs_f64()).max(FIRST_WAIT) }
}

/// The key of the file and its older spelling.
fn has_specific_names(service: &Service) -> bool {
    service.flag("specific_tls_naming") || service.flag("specific_tls_extensions")
}

fn is_for_ssh(service: &Service) -> bool {
    service.kind.name == "identity" && service.text("ssh_config") != "off"
}

/// The names of the files that an entry writes, for `tbot init`.
pub fn artifacts(service: &Service) -> Vec<&'static str> {
    match service.kind.name {
        "identity" if is_for_ssh(service) => [identity::ARTIFACTS, identity::FOR_SSH].concat(),
        "identity" => identity::ARTIFACTS.to_vec(),
        "application" if has_specific_names(service) => [application::ARTIFACTS, application::SPECIFIC].concat(),
        "application" => application::ARTIFACTS.to_vec(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::config::Destination;

    #[tokio::test]
    async fn what_waits_for_the_disk_holds_nothing_else_up() {
        let mut service = Service::new("identity").unwrap();
        service.destination = Some(Destination::Memory);
        let output = Output::open(&Config::default(), &service, "out".into()).unwrap();
        // The disk: it is busy until the only thread of this runtime gets to do something else.
        let (holds, held) = tokio::sync::oneshot::channel();
        let (go_on, told) = mpsc::channel();
        let sink = Arc::clone(&output.sink);
        let disk = std::thread::spawn(move || {
            let Sink::Memory(files) = sink.as_ref() else { panic!("memory") };
            let _busy = files.lock().unwrap();
            holds.send(()).unwrap();
            told.recv_timeout(Duration::from_secs(5))
        });
        held.await.unwrap();
        let (written, ()) = tokio::join!(output.put(vec![("key", "k".into())]), async { go_on.send(()).unwrap() });
        written.unwrap();
        disk.join().unwrap().expect("nothing else was done before the disk was free");
        assert_eq!(output.sink.read("key").unwrap().unwrap().expose().as_slice(), b"k");
    }

    #[test]
    fn a_certificate_that_a_role_made_shorter_is_renewed_before_it_ends() {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        for (interval, ttl, left, expect) in [
            (minutes(20), minutes(60), minutes(60), minutes(21)),
            (minutes(20), minutes(60), minutes(90), minutes(21)),
            (minutes(50), minutes(60), minutes(60), Duration::from_secs(52 * 60 + 30)),
            (minutes(20), minutes(60), minutes(10), Duration::from_secs(210)),
            (minutes(59), minutes(60), minutes(6), Duration::from_secs(357)),
            (minutes(20), minutes(60), Duration::from_millis(10), FIRST_WAIT),
        ] {
            assert_eq!(pause(interval, ttl, left), expect, "{interval:?} of {ttl:?}, {left:?} left");
        }
    }
}
