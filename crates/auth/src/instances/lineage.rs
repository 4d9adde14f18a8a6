//! Decides what a bot instance that asks for a certificate gets: the generation counter, the pending answer, its repeats.
//!
//! Pure: told the record, the question and the time; the answer says what to commit before anything is signed.

use std::time::Duration;

use clock::Timestamp;
use serde::{Deserialize, Serialize};

/// How often the question that a pending answer belongs to may be asked again without a pause.
///
/// A bot that lost our answer (crash, cut line) asks again and gets the same certificate; without this it would be locked
/// out though it behaved. Each repeat is audited. More than a whole back-off of a bot, few enough that somebody who
/// copied the bot's storage cannot keep an answer alive unnoticed.
pub const REPEATS: u32 = 16;

/// The pause between repeats once [`REPEATS`] are used up: slow enough to bound the audit log, never a lock-out.
pub const REPEAT_PAUSE: Duration = Duration::from_secs(600);

/// The hash of the two public keys of a request: it says "the same question", because only the asker has the private keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest(#[serde(with = "hex_bytes")] pub [u8; 32]);

impl Digest {
    /// Over the TLS key (PKIX DER) and the SSH key (wire form), each with its length in front.
    pub fn of(tls_spki: &[u8], ssh_wire: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(tls_spki.len() + ssh_wire.len() + 16);
        for part in [tls_spki, ssh_wire] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        Self(crypto::hash::sha256(&bytes))
    }
}

/// What was decided for a question and may be handed out again for the same question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The keys that were asked with.
    pub keys: Digest,
    /// The generation that the answer carries.
    pub generation: u32,
    /// The end of the certificate that was decided.
    pub not_after: Timestamp,
    /// How often it was repeated.
    pub repeats: u32,
    /// When it was last repeated.
    pub last_repeat: Option<Timestamp>,
    /// Whether a repeat was refused since then: the first refusal of a pause is recorded, and no other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
}

/// The part of an instance that decides; kept beside its public document, in the same commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// The bot's name.
    pub bot: String,
    /// The generation of the newest certificate.
    pub generation: u32,
    /// The end of the newest certificate.
    pub not_after: Timestamp,
    /// The latest end of all certificates of this instance. One that was asked for with a short life follows others that
    /// live on; were the record to go with it, an older copy or a deleted instance would come back as after a restore.
    #[serde(default)]
    pub last_end: Timestamp,
    /// The answer that the bot may not have received yet.
    pub pending: Option<Pending>,
    /// Hash of the token it joined with, so that the pending answer of the join can be cleared by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<String>,
}

/// One renewal as it is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// The generation in the certificate that was presented.
    pub presented: u32,
    /// The keys that the new certificates are to carry.
    pub keys: Digest,
    /// The end that the new certificate would get.
    pub not_after: Timestamp,
}

/// What to do with a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The next generation: commit the new lineage, then sign.
    Renew(Lineage),
    /// The bot is ahead of the store, so the store was rolled back: take its word, commit, warn, then sign.
    RolledBack(Lineage),
    /// The same question as before: commit the count, then sign the same generation.
    Repeat(Lineage),
    /// Asked too often in too short a time; the lineage to record that with, unless it is recorded.
    Limit(Option<Lineage>),
    /// An older generation with other keys: a copy of the bot's storage exists.
    Mismatch {
        /// What the store has.
        stored: u32,
        /// What the certificate says.
        presented: u32,
    },
}

impl Lineage {
    /// A first certificate, answered to `keys`.
    pub fn first(bot: String, keys: Digest, not_after: Timestamp, join: Option<String>) -> Self {
        let pending = Some(Pending::new(keys, 1, not_after));
        Self { bot, generation: 1, not_after, last_end: not_after, pending, join }
    }

    /// A lineage that the store has lost, as its bot's certificate tells it.
    pub fn recreated(bot: String, presented: u32, not_after: Timestamp) -> Self {
        Self { bot, generation: presented, not_after, last_end: not_after, pending: None, join: None }
    }

    /// Decides a renewal.
    pub fn renew(&self, question: Question, grace: Duration, now: Timestamp) -> Verdict {
        if let Some(verdict) = self.repeat(question.keys, question.not_after, grace, now) {
            return verdict;
        }
        let next = |generation| Self {
            generation,
            not_after: question.not_after,
            last_end: self.last_end.max(self.not_after).max(question.not_after),
            pending: Some(Pending::new(question.keys, generation, question.not_after)),
            ..self.clone()
        };
        match question.presented.cmp(&self.generation) {
            std::cmp::Ordering::Equal => Verdict::Renew(next(self.generation.saturating_add(1))),
            std::cmp::Ordering::Greater => Verdict::RolledBack(next(question.presented.saturating_add(1))),
            std::cmp::Ordering::Less => Verdict::Mismatch { stored: self.generation, presented: question.presented },
        }
    }

    /// Answers the pending question again when `keys` are its keys; `None` when this is another question.
    ///
    /// Within its time the answer keeps its end; after it, while the record lasts, it gets `not_after` and keeps its generation.
    pub fn repeat(&self, keys: Digest, not_after: Timestamp, grace: Duration, now: Timestamp) -> Option<Verdict> {
        let pending = self.pending.as_ref().filter(|pending| pending.keys == keys)?;
        // Not only as long as the pending answer: the certificate that the bot still has may live longer than that.
        if now >= self.expires(grace) {
            return None;
        }
        if pending.repeats >= REPEATS && !pending.has_paused(now) {
            let noted = Pending { refused: true, ..pending.clone() };
            return Some(Verdict::Limit((!pending.refused).then(|| Self { pending: Some(noted), ..self.clone() })));
        }
        let end = if now < pending.not_after { pending.not_after } else { not_after };
        let pending = Pending {
            not_after: end,
            repeats: pending.repeats.saturating_add(1),
            last_repeat: Some(now),
            refused: false,
            ..pending.clone()
        };
        let last_end = self.last_end.max(self.not_after).max(end);
        Some(Verdict::Repeat(Self { not_after: end, last_end, pending: Some(pending), ..self.clone() }))
    }

    /// The lineage once the credential of `generation` has been used, which proves that its answer arrived;
    /// `None` when nothing was pending for it.
    pub fn arrived(&self, generation: u32) -> Option<Self> {
        self.pending.as_ref().filter(|pending| pending.generation == generation)?;
        Some(Self { pending: None, join: None, ..self.clone() })
    }

    /// When the record may go: the end of its last certificate to end, and the grace after it.
    pub fn expires(&self, grace: Duration) -> Timestamp {
        self.last_end.max(self.not_after).saturating_add(grace).unwrap_or(Timestamp::MAX)
    }
}

impl Pending {
    fn new(keys: Digest, generation: u32, not_after: Timestamp) -> Self {
        Self { keys, generation, not_after, repeats: 0, last_repeat: None, refused: false }
    }

    fn has_paused(&self, now: Timestamp) -> bool {
        self.last_repeat.is_none_or(|last| {
            // A clock that went back since counts as a pause: a wrong clock must not keep a bot out.
            now < last || now.duration_since(last).unsigned_abs() >= REPEAT_PAUSE
        })
    }
}

mod hex_bytes {
    //! 32 bytes as hex text.
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = hex::decode(text).map_err(D::Error::custom)?;
        bytes.try_into().map_err(|_| D::Error::custom("a digest has 32 bytes"))
    }
}

#[cfg(test)]
mod tests;
