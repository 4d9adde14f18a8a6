//! Byte streams, whatever they are made of.
//!
//! HTTP and TLS libraries are compiled once for each kind of stream that they run over. Boxed, there is one kind: an indirect
//! call for each read and write, and a megabyte less of every server.

use tokio::io::{AsyncRead, AsyncWrite};

/// An established byte stream.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// Any of them.
pub type BoxIo = Box<dyn Io>;
