//! Protobuf on the wire. The library's machinery carries bytes, so that it is compiled once and not for each method;
//! only reading and writing a message is.

use std::{marker::PhantomData, sync::Arc};

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use tonic::{
    Status, Streaming,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::receive::{Charge, Paid};

/// Messages as bytes, in and out, charged for what they need.
#[derive(Debug, Clone)]
pub(crate) struct BytesCodec(pub(crate) Arc<Charge>);

/// A message before it is read, with what pays for it.
pub(crate) struct Unread {
    bytes: Bytes,
    charge: Arc<Charge>,
}

impl Codec for BytesCodec {
    type Encode = Vec<u8>;
    type Decode = Unread;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        self.clone()
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Encoder for BytesCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&message);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Unread;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Unread>, Status> {
        // A few kilobytes may have been inflated to the largest message, and wait here for the end of the stream.
        self.0.inflated(source.remaining())?;
        Ok(Some(Unread { bytes: source.copy_to_bytes(source.remaining()), charge: Arc::clone(&self.0) }))
    }
}

/// Reads a message. One that cannot be read is INVALID_ARGUMENT and not INTERNAL: the peer sent it, and no administrator
/// needs to look at us.
pub(crate) fn read<T: Message + Default>(unread: Unread) -> Result<T, Status> {
    let mut paid = Paid::new(unread.bytes, unread.charge);
    let message = T::decode(&mut paid);
    match paid.refused() {
        Some(status) => Err(status),
        None => message.map_err(|error| Status::invalid_argument(error.to_string())),
    }
}

/// The messages of a peer, one after the other.
pub(crate) struct Requests<T> {
    stream: Streaming<Unread>,
    message: PhantomData<fn() -> T>,
}

impl<T: Message + Default> Requests<T> {
    pub(crate) fn new(stream: Streaming<Unread>) -> Self {
        Self { stream, message: PhantomData }
    }

    /// The next one; nothing when the peer has said all.
    ///
    /// # Errors
    /// The peer went away, or sent what cannot be read.
    pub(crate) async fn message(&mut self) -> Result<Option<T>, Status> {
        self.stream.message().await?.map(read).transpose()
    }
}

#[cfg(test)]
mod tests;
