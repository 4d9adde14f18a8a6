//! What a bot keeps between two starts: its identity, and the question that it has asked but not seen answered.
//!
//! The order of writes is what makes asking repeatable. New keys are made durable in `pending` *before* they are sent.
//! The answer joins them there, in one atomic write; then the single files follow and `pending` goes. A process that
//! dies anywhere in between finds either the old identity with a question to ask again, or an answer to unpack.

use crypto::{KeyPair, SecretString};
use rustix::fd::OwnedFd;
use serde::{Deserialize, Serialize};

use super::{BotIdentity, Certificates, IdentityError};
use crate::{
    config::Destination,
    destination::{DestinationError, Sink},
};

const KEY: &str = "key";
const PUBLIC_KEY: &str = "key.pub";
const SSH_CERTIFICATE: &str = "key-cert.pub";
const SSH_AUTHORITIES: &str = "sshcacerts";
const TLS_CERTIFICATE: &str = "tlscert";
const TLS_AUTHORITIES: &str = "tlscacerts";
const TOKEN_HASH: &str = "tokenhash";
const WRITE_TEST: &str = ".write-test";
const PENDING: &str = "pending";

/// A bot's state directory, held by this process alone.
pub struct State {
    sink: Sink,
    _lock: Option<OwnedFd>,
}

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The place cannot be read or written.
    #[error("cannot use the bot's storage")]
    Storage(#[from] DestinationError),
    /// A key cannot be written or read back.
    #[error("a private key cannot be used: {0}")]
    Key(String),
    /// What is there is no identity.
    #[error("the stored identity in {place} cannot be used")]
    Damaged {
        /// Where.
        place: String,
        /// Why not.
        source: IdentityError,
    },
}

/// A question that was asked, or is about to be, with the keys that it was asked with.
#[derive(Clone)]
pub(crate) struct Pending {
    /// The new key.
    pub(crate) key: KeyPair,
    /// What was asked.
    pub(crate) question: Question,
}

/// What a pending key was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Question {
    /// A join with the token of this hash.
    Join {
        /// See [`super::token_hash`].
        token_hash: String,
    },
    /// A renewal of this generation.
    Renew {
        /// The generation that was presented.
        generation: u64,
    },
}

/// `pending` as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    key: String,
    question: Question,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<Certificates>,
}

impl State {
    /// Opens the storage and locks it.
    ///
    /// # Errors
    /// When it cannot be used, or another tbot uses it.
    pub fn open(destination: &Destination) -> Result<Self, StateError> {
        let sink = Sink::open(destination)?;
        let lock = match &sink {
            Sink::Directory(directory) => {
                directory.warn_if_open_to_others();
                Some(directory.lock()?)
            }
            Sink::Memory(_) => None,
        };
        Ok(Self { sink, _lock: lock })
    }

    /// Where it lies.
    pub(crate) fn sink(&self) -> &Sink {
        &self.sink
    }

    /// Finds out whether the storage can be written, before anything is asked whose answer it must hold.
    ///
    /// # Errors
    /// When it cannot.
    pub fn write_test(&self) -> Result<(), StateError> {
        self.sink.write(WRITE_TEST, b"")?;
        Ok(self.sink.remove(WRITE_TEST)?)
    }

    /// Whether it survives the process.
    pub fn is_durable(&self) -> bool {
        self.sink.is_durable()
    }

    /// How it is called in messages.
    pub fn describe(&self) -> String {
        self.sink.describe()
    }

    /// The stored identity; first an answer that was received but not unpacked is unpacked.
    ///
    /// # Errors
    /// When the storage cannot be read, or holds no identity but something else.
    pub fn load(&self) -> Result<Option<BotIdentity>, StateError> {
        if let Some((pending, Some(answer))) = self.stored()? {
            return self.taken(&pending, answer).map(Some);
        }
        let (Some(key), Some(tls), Some(ssh)) =
            (self.text(KEY)?, self.text(TLS_CERTIFICATE)?, self.text(SSH_CERTIFICATE)?)
        else {
            return Ok(None);
        };
        let certificates = Certificates {
            tls,
            ssh: ssh.trim().to_owned(),
            tls_authorities: self.text(TLS_AUTHORITIES)?.into_iter().collect(),
            ssh_authorities: self.text(SSH_AUTHORITIES)?.unwrap_or_default().lines().map(str::to_owned).collect(),
        };
        let damaged = |source| StateError::Damaged { place: self.describe(), source };
        BotIdentity::new(read_key(&key)?, certificates).map(Some).map_err(damaged)
    }

    /// The hash of the token that the stored identity was joined with.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub fn joined_with(&self) -> Result<Option<String>, StateError> {
        if let Some((Pending { question: Question::Join { token_hash }, .. }, Some(_))) = self.stored()? {
            return Ok(Some(token_hash));
        }
        Ok(self.text(TOKEN_HASH)?.map(|hash| hash.trim().to_owned()))
    }

    /// The question that waits for its answer. An answer that could not be unpacked when it came is unpacked now: the next
    /// question takes its place, and a bot that asks with the identity before it looks like a copy.
    ///
    /// # Errors
    /// When the storage cannot be read, or such an answer cannot be unpacked still.
    pub(crate) fn pending(&self) -> Result<Option<Pending>, StateError> {
        match self.stored()? {
            Some((pending, Some(answer))) => self.unpack(&pending, &answer).map(|()| None),
            Some((pending, None)) => Ok(Some(pending)),
            None => Ok(None),
        }
    }

    /// Makes a question durable. Only when this has returned may it be asked.
    ///
    /// # Errors
    /// When it could not be made durable.
    pub(crate) fn ask(&self, pending: &Pending) -> Result<(), StateError> {
        self.put(pending, None)
    }

    /// Keeps the answer: from here on it is the identity, whatever happens to this process.
    ///
    /// # Errors
    /// When it could not be made durable, or is not for the key that was asked with.
    pub(crate) fn answered(&self, pending: &Pending, answer: Certificates) -> Result<BotIdentity, StateError> {
        let damaged = |source| StateError::Damaged { place: "the server's answer".into(), source };
        let identity = BotIdentity::new(pending.key.clone(), answer).map_err(damaged)?;
        self.put(pending, Some(identity.certificates().clone()))?;
        self.taken(pending, identity.certificates().clone())
    }

    /// The identity of a durable answer, in force whether the single files can be written now or not.
    fn taken(&self, pending: &Pending, answer: Certificates) -> Result<BotIdentity, StateError> {
        if let Err(error) = self.unpack(pending, &answer) {
            tracing::error!(
                error = crate::renewal::driver::chain(&error),
                "the new identity is kept in the file \"pending\" only; nothing can be asked until this works"
            );
        }
        let damaged = |source| StateError::Damaged { place: self.describe(), source };
        BotIdentity::new(pending.key.clone(), answer).map_err(damaged)
    }

    /// Keeps other authorities for the identity that is there.
    ///
    /// # Errors
    /// When the storage cannot be written.
    pub fn put_authorities(&self, identity: &BotIdentity) -> Result<(), StateError> {
        let authorities = authorities(identity.certificates());
        Ok(self.sink.write_all(&authorities.each_ref().map(|(name, content)| (*name, content.as_bytes())))?)
    }

    /// Forgets the identity and the question, because the token has changed or nothing can come of them.
    ///
    /// # Errors
    /// When the storage cannot be written.
    pub fn reset(&self) -> Result<(), StateError> {
        // The certificate goes first: without it nothing else is an identity.
        for name in [TLS_CERTIFICATE, SSH_CERTIFICATE, KEY, PUBLIC_KEY, TOKEN_HASH, PENDING] {
            self.sink.remove(name)?;
        }
        Ok(())
    }

    /// Forgets a question that will not be asked again.
    ///
    /// # Errors
    /// When the storage cannot be written.
    pub fn drop_question(&self) -> Result<(), StateError> {
        Ok(self.sink.remove(PENDING)?)
    }

    pub(super) fn put(&self, pending: &Pending, answer: Option<Certificates>) -> Result<(), StateError> {
        let key = pending.key.to_pem().map_err(|error| StateError::Key(error.to_string()))?;
        let stored = Stored { key: key.expose().clone(), question: pending.question.clone(), answer };
        let bytes = serde_json::to_vec(&stored).map_err(|error| StateError::Key(error.to_string()))?;
        drop(SecretString::new(stored.key));
        let bytes = crypto::SecretBytes::new(bytes);
        Ok(self.sink.write(PENDING, bytes.expose())?)
    }

    fn unpack(&self, pending: &Pending, answer: &Certificates) -> Result<(), StateError> {
        let key = pending.key.to_pem().map_err(|error| StateError::Key(error.to_string()))?;
        let public = format!("{}\n", pending.key.public().to_authorized_key());
        let ssh = format!("{}\n", answer.ssh);
        let mut files: Vec<(&str, &[u8])> = vec![
            (PUBLIC_KEY, public.as_bytes()),
            (SSH_CERTIFICATE, ssh.as_bytes()),
            (KEY, key.expose().as_bytes()),
            (TLS_CERTIFICATE, answer.tls.as_bytes()),
        ];
        let authorities = authorities(answer);
        files.extend(authorities.iter().map(|(name, content)| (*name, content.as_bytes())));
        if let Question::Join { token_hash } = &pending.question {
            files.push((TOKEN_HASH, token_hash.as_bytes()));
        }
        self.sink.write_all(&files)?;
        self.drop_question()
    }

    /// The question that was asked last, and its answer if it came and is not unpacked.
    fn stored(&self) -> Result<Option<(Pending, Option<Certificates>)>, StateError> {
        let Some(text) = self.text(PENDING)? else { return Ok(None) };
        match serde_json::from_str::<Stored>(&text) {
            Ok(Stored { key, question, answer }) => Ok(Some((Pending { key: read_key(&key)?, question }, answer))),
            Err(error) => {
                // Written whole or not at all, so this is a stranger's file: nothing was asked with it.
                tracing::warn!(%error, place = self.describe(), "ignoring a pending question that cannot be read");
                Ok(None)
            }
        }
    }

    fn text(&self, name: &str) -> Result<Option<String>, StateError> {
        let Some(content) = self.sink.read(name)?.filter(|content| !content.expose().is_empty()) else {
            return Ok(None);
        };
        Ok(Some(String::from_utf8_lossy(content.expose()).into_owned()))
    }
}

/// The authorities that came with an identity, and the files that they are kept in.
fn authorities(answer: &Certificates) -> [(&'static str, String); 2] {
    let ssh = answer.ssh_authorities.iter().map(|line| format!("{}\n", line.trim_end())).collect();
    [(SSH_AUTHORITIES, ssh), (TLS_AUTHORITIES, answer.tls_authorities.concat())]
}

fn read_key(pem: &str) -> Result<KeyPair, StateError> {
    KeyPair::from_pem(pem).map_err(|error| StateError::Key(error.to_string()))
}
