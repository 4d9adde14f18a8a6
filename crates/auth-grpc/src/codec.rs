//! Protobuf on the wire, with the code that a message deserves which cannot be read.

use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder},
};
use tonic_prost::ProstCodec;

/// Messages of ours (`T`) out, messages of peers (`U`) in.
pub(crate) struct MessageCodec<T, U>(ProstCodec<T, U>);

impl<T, U> Default for MessageCodec<T, U> {
    fn default() -> Self {
        Self(ProstCodec::new())
    }
}

impl<T, U> Codec for MessageCodec<T, U>
where
    ProstCodec<T, U>: Codec<Encode = T, Decode = U>,
    <ProstCodec<T, U> as Codec>::Decoder: Decoder<Item = U, Error = Status>,
    T: Send + 'static,
    U: Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = MessageDecoder<<ProstCodec<T, U> as Codec>::Decoder>;

    fn encoder(&mut self) -> Self::Encoder {
        self.0.encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        MessageDecoder(self.0.decoder())
    }
}

/// Says INVALID_ARGUMENT where the library says INTERNAL: the peer sent it, and no administrator needs to look at us.
pub(crate) struct MessageDecoder<D>(D);

impl<D: Decoder<Error = Status>> Decoder for MessageDecoder<D> {
    type Item = D::Item;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        self.0.decode(source).map_err(|status| Status::invalid_argument(status.message()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}
