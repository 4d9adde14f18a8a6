//! Protobuf on the wire. The library's machinery carries bytes, so that it is compiled once and not for each method;
//! only reading and writing a message is.

use std::marker::PhantomData;

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use tonic::{
    Status, Streaming,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// Messages as bytes, in and out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
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
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}

/// Reads a message. One that cannot be read is INVALID_ARGUMENT and not INTERNAL: the peer sent it, and no administrator
/// needs to look at us.
pub(crate) fn read<T: Message + Default>(bytes: Bytes) -> Result<T, Status> {
    T::decode(bytes).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// The messages of a peer, one after the other.
pub(crate) struct Requests<T> {
    stream: Streaming<Bytes>,
    message: PhantomData<fn() -> T>,
}

impl<T: Message + Default> Requests<T> {
    pub(crate) fn new(stream: Streaming<Bytes>) -> Self {
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
