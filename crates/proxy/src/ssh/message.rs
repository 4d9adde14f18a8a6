//! The numbers of messages (RFC 4250 §4.1), and those that we write.

use crypto::ssh::wire::Writer;

pub(super) const DISCONNECT: u8 = 1;
pub(super) const IGNORE: u8 = 2;
pub(super) const UNIMPLEMENTED: u8 = 3;
pub(super) const DEBUG: u8 = 4;
pub(super) const SERVICE_REQUEST: u8 = 5;
pub(super) const SERVICE_ACCEPT: u8 = 6;
pub(super) const EXT_INFO: u8 = 7;
pub(super) const KEXINIT: u8 = 20;
pub(super) const NEWKEYS: u8 = 21;
pub(super) const KEX_ECDH_INIT: u8 = 30;
pub(super) const KEX_ECDH_REPLY: u8 = 31;
pub(super) const USERAUTH_REQUEST: u8 = 50;
pub(super) const USERAUTH_FAILURE: u8 = 51;
pub(super) const USERAUTH_SUCCESS: u8 = 52;
pub(super) const USERAUTH_PK_OK: u8 = 60;
pub(super) const GLOBAL_REQUEST: u8 = 80;
pub(super) const REQUEST_SUCCESS: u8 = 81;
pub(super) const REQUEST_FAILURE: u8 = 82;
pub(super) const CHANNEL_OPEN: u8 = 90;
pub(super) const CHANNEL_OPEN_CONFIRMATION: u8 = 91;
pub(super) const CHANNEL_OPEN_FAILURE: u8 = 92;
pub(super) const CHANNEL_WINDOW_ADJUST: u8 = 93;
pub(super) const CHANNEL_DATA: u8 = 94;
pub(super) const CHANNEL_EXTENDED_DATA: u8 = 95;
pub(super) const CHANNEL_EOF: u8 = 96;
pub(super) const CHANNEL_CLOSE: u8 = 97;
pub(super) const CHANNEL_REQUEST: u8 = 98;
pub(super) const CHANNEL_SUCCESS: u8 = 99;
pub(super) const CHANNEL_FAILURE: u8 = 100;

/// Why a connection is ended (RFC 4253 §11.1).
pub(super) const PROTOCOL_ERROR: u32 = 2;
pub(super) const BY_APPLICATION: u32 = 11;

/// A message, written field by field.
#[derive(Default)]
pub(super) struct Message(Writer);

impl Message {
    pub(super) fn new(number: u8) -> Self {
        let mut message = Self::default();
        message.0.raw(&[number]);
        message
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.u32(value);
        self
    }

    pub(super) fn bool(mut self, value: bool) -> Self {
        self.0.raw(&[u8::from(value)]);
        self
    }

    pub(super) fn string(mut self, value: impl AsRef<[u8]>) -> Self {
        self.0.string(value.as_ref());
        self
    }

    pub(super) fn raw(mut self, value: &[u8]) -> Self {
        self.0.raw(value);
        self
    }

    pub(super) fn done(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

/// The last message of a connection.
pub(super) fn disconnect(reason: u32, words: &str) -> Vec<u8> {
    Message::new(DISCONNECT).u32(reason).string(words).string("").done()
}
