//! The channels of one connection (RFC 4254 §5): of one type, with one request. A machine without I/O: it is told
//! messages, and writes messages.

use std::{collections::BTreeMap, io, sync::Arc};

use crypto::ssh::wire::Reader;
use serde_json::Value;
use tokio::sync::Notify;

use super::{
    invalid,
    message::{
        CHANNEL_CLOSE, CHANNEL_DATA, CHANNEL_EOF, CHANNEL_EXTENDED_DATA, CHANNEL_FAILURE, CHANNEL_OPEN,
        CHANNEL_OPEN_CONFIRMATION, CHANNEL_OPEN_FAILURE, CHANNEL_REQUEST, CHANNEL_SUCCESS, CHANNEL_WINDOW_ADJUST,
        GLOBAL_REQUEST, Message, REQUEST_FAILURE, REQUEST_SUCCESS,
    },
    pipe::{Found, Pipe, Stream},
};

/// The type of channel that there is.
pub(super) const TRANSPORT: &str = "teleport-transport";

/// The request that says where it goes …
pub(super) const DIAL: &str = "teleport-transport-dial";

/// … and where it may go.
pub(super) const AUTH: &str = "@remote-auth-server";

/// Channels at a time. Clients use one for each connection; those that share a connection stay far below.
pub(super) const MOST_CHANNELS: usize = 16;

/// Bytes that a client may send ahead of the auth service.
pub(super) const WINDOW: usize = 512 * 1024;

/// The longest message with data, either way.
const LONGEST_DATA: usize = 32 * 1024;

/// The longest request to dial: JSON, as it stands.
const LONGEST_DIAL: usize = 4 * 1024;

/// The kind of extended data that an error's text is.
const STDERR: u32 = 1;

const PROHIBITED: u32 = 1;
const SHORTAGE: u32 = 4;

/// All channels of a connection.
pub(super) struct Channels {
    open: BTreeMap<u32, Channel>,
    next: u32,
    moved: Arc<Notify>,
}

struct Channel {
    /// What the client calls it.
    peer: u32,
    pipe: Arc<Pipe>,
    /// What the client may still send.
    window: usize,
    /// Bytes that were read and not given back yet.
    owed: usize,
    /// What we may still send, and how much at once.
    peer_window: usize,
    peer_longest: usize,
    stage: Stage,
    has_ended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nobody has said where it goes.
    Idle,
    /// On its way to the auth service; whether the client wants to hear of it.
    Dialling(bool),
    Carrying,
    /// We have closed it; the client has not.
    Closing,
}

/// Messages for the client.
pub(super) type Out = Vec<Vec<u8>>;

impl Channels {
    pub(super) fn new(moved: Arc<Notify>) -> Self {
        Self { open: BTreeMap::new(), next: 0, moved }
    }

    /// Whether any carries something, or is about to: one that was opened and leads nowhere is of no use.
    pub(super) fn is_busy(&self) -> bool {
        self.open.values().any(|channel| matches!(channel.stage, Stage::Dialling(_) | Stage::Carrying))
    }

    /// Takes a message; `closed` says why no channel can be opened now. A stream comes back when it is to be carried to
    /// the auth service.
    pub(super) fn take(&mut self, payload: &[u8], closed: Option<&str>, out: &mut Out) -> io::Result<Option<Stream>> {
        let cut_short = |_| invalid("a message that is cut short");
        let mut reader = Reader::new(payload);
        let number = reader.u8().map_err(cut_short)?;
        match number {
            GLOBAL_REQUEST => {
                reader.text().map_err(cut_short)?;
                if reader.u8().map_err(cut_short)? != 0 {
                    out.push(vec![REQUEST_FAILURE]);
                }
            }
            REQUEST_SUCCESS | REQUEST_FAILURE => {}
            CHANNEL_OPEN => self.open(reader, closed, out).map_err(cut_short)?,
            CHANNEL_WINDOW_ADJUST
            | CHANNEL_DATA
            | CHANNEL_EXTENDED_DATA
            | CHANNEL_EOF
            | CHANNEL_CLOSE
            | CHANNEL_REQUEST => {
                let id = reader.u32().map_err(cut_short)?;
                let channel = self.open.get_mut(&id).ok_or_else(|| invalid("a message for no channel"))?;
                if number == CHANNEL_CLOSE {
                    if channel.stage != Stage::Closing {
                        out.push(channel.message(CHANNEL_CLOSE).done());
                    }
                    self.open.remove(&id);
                    return Ok(None);
                }
                return channel.take(number, reader, out);
            }
            _ => return Err(invalid("a message that has no place here")),
        }
        Ok(None)
    }

    fn open(&mut self, mut reader: Reader<'_>, closed: Option<&str>, out: &mut Out) -> Result<(), crypto::KeyError> {
        let kind = reader.text()?;
        let (peer, window, longest) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let refused = if kind != TRANSPORT {
            Some((PROHIBITED, "this port leads to the auth service only"))
        } else if let Some(why) = closed {
            Some((SHORTAGE, why))
        } else if self.open.len() >= MOST_CHANNELS {
            Some((SHORTAGE, "too many channels"))
        } else {
            None
        };
        if let Some((reason, words)) = refused {
            out.push(Message::new(CHANNEL_OPEN_FAILURE).u32(peer).u32(reason).string(words).string("").done());
            return Ok(());
        }
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        let channel = Channel {
            peer,
            pipe: Pipe::new(Arc::clone(&self.moved)),
            window: WINDOW,
            owed: 0,
            peer_window: window as usize,
            peer_longest: (longest as usize).clamp(1, LONGEST_DATA),
            stage: Stage::Idle,
            has_ended: false,
        };
        let confirmation = channel.message(CHANNEL_OPEN_CONFIRMATION).u32(id);
        out.push(confirmation.u32(number(WINDOW)).u32(number(LONGEST_DATA)).done());
        self.open.insert(id, channel);
        Ok(())
    }

    /// Looks what the streams have for the client, at most `most` bytes; whether there is more.
    pub(super) fn pump(&mut self, most: usize, out: &mut Out) -> bool {
        let mut left = most;
        let mut is_more = false;
        for channel in self.open.values_mut() {
            let (used, more) = channel.pump(left, out);
            left = left.saturating_sub(used);
            is_more |= more;
        }
        is_more
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.pipe.cut();
    }
}

impl Channel {
    fn message(&self, number: u8) -> Message {
        Message::new(number).u32(self.peer)
    }

    fn take(&mut self, number: u8, mut reader: Reader<'_>, out: &mut Out) -> io::Result<Option<Stream>> {
        let cut_short = |_| invalid("a message that is cut short");
        match number {
            CHANNEL_WINDOW_ADJUST => {
                let more = reader.u32().map_err(cut_short)? as usize;
                self.peer_window = self.peer_window.saturating_add(more).min(u32::MAX as usize);
            }
            CHANNEL_DATA => {
                let bytes = reader.string().map_err(cut_short)?;
                self.spend(bytes.len())?;
                self.pipe.push(bytes);
            }
            CHANNEL_EXTENDED_DATA => {
                reader.u32().map_err(cut_short)?;
                let length = reader.string().map_err(cut_short)?.len();
                self.spend(length)?;
                self.give_back(length, out);
            }
            CHANNEL_EOF => self.pipe.end(),
            // After our close nothing more is said about a channel.
            CHANNEL_REQUEST if self.stage == Stage::Closing => {}
            CHANNEL_REQUEST => {
                let kind = reader.text().map_err(cut_short)?;
                let wants_reply = reader.u8().map_err(cut_short)? != 0;
                if kind == DIAL && self.stage == Stage::Idle {
                    return Ok(self.dial(reader.rest(), wants_reply, out));
                }
                if wants_reply {
                    out.push(self.message(CHANNEL_FAILURE).done());
                }
            }
            _ => return Err(invalid("a message that has no place here")),
        }
        Ok(None)
    }

    fn spend(&mut self, length: usize) -> io::Result<()> {
        self.window = self.window.checked_sub(length).ok_or_else(|| invalid("more data than was asked for"))?;
        Ok(())
    }

    /// Lets the client send more, in steps worth a message.
    fn give_back(&mut self, length: usize, out: &mut Out) {
        self.owed += length;
        if self.owed >= WINDOW / 4 && self.stage != Stage::Closing {
            out.push(self.message(CHANNEL_WINDOW_ADJUST).u32(number(self.owed)).done());
            self.window += std::mem::take(&mut self.owed);
        }
    }

    fn dial(&mut self, request: &[u8], wants_reply: bool, out: &mut Out) -> Option<Stream> {
        let is_short = request.len() <= LONGEST_DIAL;
        let request: Option<Value> = serde_json::from_slice(if is_short { request } else { b"" }).ok();
        self.stage = Stage::Dialling(wants_reply);
        if request.is_some_and(|request| request["address"] == AUTH) {
            return Some(self.pipe.stream());
        }
        self.answered(Err(format!("this proxy leads to {AUTH} only")), out);
        None
    }

    /// The client reads the reason of a refusal from the channel, up to its end.
    fn answered(&mut self, answer: Result<(), String>, out: &mut Out) {
        let Stage::Dialling(wants_reply) = self.stage else { return };
        let words = match answer {
            Ok(()) => {
                self.stage = Stage::Carrying;
                if wants_reply {
                    out.push(self.message(CHANNEL_SUCCESS).done());
                }
                return;
            }
            Err(words) => words,
        };
        if wants_reply {
            out.push(self.message(CHANNEL_FAILURE).done());
        }
        if words.len() <= self.peer_window.min(self.peer_longest) {
            out.push(self.message(CHANNEL_EXTENDED_DATA).u32(STDERR).string(&words).done());
        }
        self.close(out);
    }

    fn close(&mut self, out: &mut Out) {
        if !self.has_ended {
            self.has_ended = true;
            out.push(self.message(CHANNEL_EOF).done());
        }
        if self.stage != Stage::Closing {
            self.stage = Stage::Closing;
            out.push(self.message(CHANNEL_CLOSE).done());
        }
    }

    /// How many bytes went out, and whether there are more that may.
    fn pump(&mut self, most: usize, out: &mut Out) -> (usize, bool) {
        let allowed = if self.stage == Stage::Closing { 0 } else { most.min(self.peer_window) };
        let Found { answer, consumed, bytes, more, ended, finished } = self.pipe.look(allowed);
        if let Some(answer) = answer {
            self.answered(answer, out);
        }
        if consumed > 0 {
            self.give_back(consumed, out);
        }
        if self.stage == Stage::Closing {
            return (0, false);
        }
        for piece in bytes.chunks(self.peer_longest) {
            out.push(self.message(CHANNEL_DATA).string(piece).done());
        }
        self.peer_window -= bytes.len();
        if finished {
            self.close(out);
        } else if ended && !self.has_ended {
            self.has_ended = true;
            out.push(self.message(CHANNEL_EOF).done());
        }
        (bytes.len(), more && self.peer_window > 0)
    }
}

/// Our own sizes, all small.
fn number(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
