//! Carries out what the machine says: loads, asks, keeps, and finds words for what only a person can change.

use std::sync::Arc;

use clock::Timestamp;
use crypto::KeyPair;
use domain::{
    Error,
    error::{Kind, Reason},
    resources::token::JoinMethod,
};
use join::Asked;

use super::machine::{Failure, Machine, Now, Validity, Way};
use crate::{
    BotError,
    identity::{BotIdentity, Exchange, Pending, Question, State, StateError, key_algorithm, token_hash},
};

/// The identity's life: state on disk, machine, and the conversations.
pub(crate) struct Driver {
    pub(crate) exchange: Exchange,
    pub(crate) state: Arc<State>,
    pub(crate) machine: Machine,
    identity: Option<BotIdentity>,
    /// The token that was refused last, so that another one in its file is noticed.
    refused: Option<String>,
    last_error: Option<Error>,
}

impl Driver {
    /// Finds out what there is: an identity, a token, or nothing.
    pub(crate) fn load(exchange: Exchange, state: Arc<State>) -> Result<Self, BotError> {
        let token = exchange.config.onboarding.read_token();
        let hash = token.as_ref().ok().map(|token| token_hash(token.expose()));
        let mut identity = match state.load() {
            Ok(identity) => identity,
            // Whatever is there is no identity. A place that cannot be read now may well hold one: that ends the process.
            Err(error @ (StateError::Damaged { .. } | StateError::Key(_))) if hash.is_some() => {
                tracing::error!(error = %chain(&error), "the stored identity cannot be used; joining anew");
                None
            }
            Err(error) => return Err(error.into()),
        };
        if let (Some(hash), Some(joined_with)) = (&hash, state.joined_with()?)
            && *hash != joined_with
            && identity.take().is_some()
        {
            tracing::info!("the configured token is not the one that the stored identity joined with; joining anew");
        }
        match (&identity, token) {
            (Some(identity), _) => log_loaded(identity, exchange.clock.now()),
            (None, Ok(_)) => {
                tracing::info!(storage = state.describe(), "no stored identity; joining");
                exchange.first_trust(None).map_err(|source| BotError::Auth { what: "cannot join", source })?;
            }
            (None, Err(message)) => {
                let storage = state.describe();
                return Err(BotError::Machine(format!("there is no stored identity in {storage}, and {message}")));
            }
        }
        let interval = exchange.config.interval();
        let machine = Machine::new(interval, identity.as_ref().map(validity), hash.is_some());
        Ok(Self { exchange, state, machine, identity, refused: None, last_error: None })
    }

    /// What the clocks show.
    pub(crate) fn now(&self) -> Now {
        Now { wall: self.exchange.clock.now(), boot: self.exchange.clock.boot() }
    }

    /// The identity in hand, if our clock thinks it good.
    pub(crate) fn usable(&self) -> Option<&BotIdentity> {
        self.identity.as_ref().filter(|identity| identity.not_after() > self.exchange.clock.now())
    }

    /// Asks once; tells the machine what came of it.
    pub(crate) async fn attempt(&mut self, way: Way) -> Result<BotIdentity, BotError> {
        let asked = self.now().wall;
        let answer = match way {
            Way::Join => self.join().await,
            Way::Renew | Way::Grace => self.renew(way).await,
        };
        let now = self.now();
        match answer {
            Ok(identity) => {
                self.machine.succeeded(asked, now, validity(&identity));
                self.identity = Some(identity.clone());
                (self.refused, self.last_error) = (None, None);
                Ok(identity)
            }
            Err(error) => {
                let failure = match &error {
                    BotError::Auth { source, .. } => classify(way, source),
                    _ => Failure::Unavailable,
                };
                if failure == Failure::TokenRefused {
                    self.refused = self.configured_token();
                }
                if let BotError::Auth { source, .. } = &error {
                    self.last_error = Some(source.clone());
                }
                let jitter = f64::from(self.exchange.random.below(1000)) / 1000.0;
                self.machine.failed(now, failure, jitter);
                Err(error)
            }
        }
    }

    async fn join(&mut self) -> Result<BotIdentity, BotError> {
        let failed = |source| BotError::Auth { what: "cannot join", source };
        let token = self.exchange.config.onboarding.read_token();
        let token = token.map_err(|message| failed(Error::invalid(message)))?;
        let question = Question::Join { token_hash: token_hash(token.expose()) };
        let client = self.exchange.connect_anonymously(self.identity.as_ref()).await.map_err(failed)?;
        let pending = match self.pending(&question)? {
            Some(pending) => pending,
            None => {
                let algorithm = key_algorithm(&client).await.map_err(failed)?;
                self.ask_with(question, algorithm)?
            }
        };
        let method = JoinMethod::parse(self.exchange.config.onboarding.method()).unwrap_or_default();
        let prover = join::prover(method).map_err(|error| failed(error.into()))?;
        let proof = prover.prove(Asked { token: &token }).await.map_err(failed)?;
        let answer = self.exchange.join(&client, &pending.key, &proof).await.map_err(failed)?;
        Ok(self.state.answered(&pending, answer)?)
    }

    async fn renew(&mut self, way: Way) -> Result<BotIdentity, BotError> {
        let what = "cannot renew the bot's identity";
        let Some(identity) = &self.identity else {
            return Err(BotError::Auth { what, source: Error::invalid("there is no identity to renew") });
        };
        let question = Question::Renew { generation: identity.says().generation };
        let pending = match self.pending(&question)? {
            Some(pending) => pending,
            None => self.ask_with(question, identity.key().algorithm())?,
        };
        let answer = match way {
            Way::Grace => self.exchange.renew_in_grace(identity, &pending.key).await,
            _ => self.exchange.renew(identity, &pending.key).await,
        };
        let answer = answer.map_err(|source| BotError::Auth { what, source })?;
        Ok(self.state.answered(&pending, answer)?)
    }

    /// The question that a former attempt has asked in vain: it is asked again with the same keys, so that the server
    /// recognises it (invariant 16).
    fn pending(&self, question: &Question) -> Result<Option<Pending>, BotError> {
        Ok(self.state.pending()?.filter(|pending| pending.question == *question))
    }

    /// Makes new keys, durable before anybody hears of them.
    fn ask_with(&self, question: Question, algorithm: crypto::Algorithm) -> Result<Pending, BotError> {
        self.state.write_test()?;
        let key =
            KeyPair::generate(algorithm).map_err(|error| BotError::Machine(format!("cannot make a key: {error}")))?;
        let pending = Pending { key, question };
        self.state.ask(&pending)?;
        Ok(pending)
    }

    /// Keeps the cluster's current authorities with the identity.
    pub(crate) fn adopt(&mut self, identity: BotIdentity) -> Result<(), BotError> {
        self.state.put_authorities(&identity)?;
        self.identity = Some(identity);
        Ok(())
    }

    /// Takes over authorities that were learned meanwhile for the same certificate.
    pub(crate) fn keep_up(&mut self, current: &BotIdentity) {
        if self.identity.as_ref().is_some_and(|identity| identity.tls() == current.tls()) {
            self.identity = Some(current.clone());
        }
    }

    fn configured_token(&self) -> Option<String> {
        self.exchange.config.onboarding.read_token().ok().map(|token| token_hash(token.expose()))
    }

    /// Whether somebody has put another token where the refused one was; then there is something to try again.
    pub(crate) fn look_for_token(&mut self) -> bool {
        let Some(found) = self.configured_token() else { return false };
        if self.refused.as_ref() == Some(&found) {
            return false;
        }
        let interval = self.exchange.config.interval();
        self.machine = Machine::new(interval, None, true);
        true
    }

    /// What a person has to do about a refusal that waiting does not cure, though this program keeps asking.
    pub(crate) fn advice(&self, error: &BotError) -> Option<String> {
        let BotError::Auth { source, .. } = error else { return None };
        advice(&self.identity.as_ref()?.says().bot_name, source)
    }

    /// What a person has to do when the machine is stuck.
    pub(crate) fn help(&self) -> String {
        let why = self.last_error.as_ref().map(|error| format!(" ({})", error.message)).unwrap_or_default();
        match &self.identity {
            Some(identity) => {
                let bot = &identity.says().bot_name;
                format!(
                    "the identity of bot {bot:?} has expired at {} and cannot be renewed any more{why}. On the auth \
                     host: remove a lock if there is one (tctl get locks), make a new token with `tctl bots instances add \
                     {bot}`, put it into onboarding.token and restart tbot",
                    identity.not_after()
                )
            }
            None => format!(
                "the join token was refused{why}. A bot's token works once and for a limited time: make a new one on the \
                 auth host with `tctl bots instances add <bot>` and put it into onboarding.token or --token"
            ),
        }
    }
}

/// The next step for the bot that has an identity and was refused.
fn advice(bot: &str, refusal: &Error) -> Option<String> {
    match (refusal.reason, refusal.kind) {
        (Some(Reason::Locked), _) => Some(format!(
            "bot {bot:?} is locked. When you are sure that nobody copied its storage, remove the lock on the auth host \
             (tctl get locks, tctl rm lock/<name>); tbot asks again each minute. After a generation mismatch it needs \
             a new token as well: tctl bots instances add {bot}"
        )),
        (Some(Reason::UntrustedServer), _) => Some(format!(
            "the stored identity of bot {bot:?} may be of another cluster than the one at this address. If the cluster is \
             the right one, put a token of it into onboarding.token, with its CA pin, and restart tbot: it joins anew"
        )),
        (None, Kind::Denied | Kind::NotFound) => Some(format!(
            "see whether bot {bot:?} still exists (tctl bots ls). If it was deleted: tctl bots add {bot} --roles=…, put the \
             new token into onboarding.token and restart tbot"
        )),
        _ => None,
    }
}

fn validity(identity: &BotIdentity) -> Validity {
    Validity {
        not_before: identity.not_before(),
        not_after: identity.not_after(),
        renewable: identity.says().renewable,
    }
}

/// What an answer means for the machine: the reason decides, and without one (another server, an older version) the kind.
fn classify(way: Way, error: &Error) -> Failure {
    match (way, error.kind, error.reason) {
        (_, Kind::Unavailable | Kind::Limit | Kind::Internal, _) => Failure::Unavailable,
        // We refused the server, not the server us; or somebody must remove a lock. Another way would not help.
        (_, _, Some(Reason::UntrustedServer | Reason::Locked)) => Failure::Refused,
        (Way::Join, Kind::Denied | Kind::Invalid | Kind::NotFound | Kind::Unsupported, _) => Failure::TokenRefused,
        (Way::Renew, _, Some(Reason::Expired)) => Failure::Expired,
        (Way::Grace, _, _) => Failure::GraceOver,
        _ => Failure::Refused,
    }
}

fn log_loaded(identity: &BotIdentity, now: Timestamp) {
    tracing::info!("bot identity loaded: {identity}");
    tracing::info!("onboarding configuration is ignored because an identity was loaded from storage");
    if identity.not_after() <= now {
        tracing::warn!(expired = %identity.not_after(), %now, "identity has expired; trying the grace for renewals");
    }
}

/// The whole chain of an error on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_bot_is_told_the_next_step() {
        let denied = |reason| Error::denied("no").because(reason);
        for (refusal, step) in [
            (denied(Reason::Locked), "tctl rm lock/<name>"),
            (denied(Reason::UntrustedServer), "may be of another cluster"),
            (Error::not_found("bot not found"), "tctl bots add ci"),
            (Error::denied("no such bot"), "tctl bots add ci"),
        ] {
            assert!(advice("ci", &refusal).is_some_and(|text| text.contains(step)), "{refusal}");
        }
        assert_eq!(advice("ci", &Error::unavailable("no answer")), None);
    }

    #[test]
    fn answers_are_sorted_by_what_helps() {
        let denied = |reason| Error::denied("expired lock CA pin: words decide nothing").because(reason);
        let cases = [
            (Way::Renew, Error::unavailable("x"), Failure::Unavailable),
            (Way::Renew, Error::limit("x").because(Reason::TooManyRepeats), Failure::Unavailable),
            (Way::Renew, denied(Reason::Expired), Failure::Expired),
            (Way::Renew, denied(Reason::Locked), Failure::Refused),
            (Way::Renew, denied(Reason::GenerationMismatch), Failure::Refused),
            (Way::Renew, Error::denied("the certificate has expired"), Failure::Refused),
            (Way::Grace, denied(Reason::GraceOver), Failure::GraceOver),
            (Way::Grace, Error::unsupported("unknown service"), Failure::GraceOver),
            (Way::Grace, denied(Reason::Locked), Failure::Refused),
            (Way::Grace, denied(Reason::UntrustedServer), Failure::Refused),
            (Way::Grace, Error::denied("a lock"), Failure::GraceOver),
            (Way::Join, denied(Reason::TokenUnknown), Failure::TokenRefused),
            (Way::Join, denied(Reason::TokenSpent), Failure::TokenRefused),
            (Way::Join, denied(Reason::Locked), Failure::Refused),
            (Way::Join, Error::invalid("ca_path: no such file").because(Reason::UntrustedServer), Failure::Refused),
            (Way::Join, Error::denied("the server is not trusted"), Failure::TokenRefused),
        ];
        for (way, error, expect) in cases {
            assert_eq!(classify(way, &error), expect, "{way:?}: {error} {:?}", error.reason);
        }
    }
}
