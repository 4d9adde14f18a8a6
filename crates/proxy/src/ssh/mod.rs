//! SSH for API clients: `SSH-` on the public port, or within TLS.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::{Proxy, transport::Ends};

/// Serves an SSH connection to its end. Not built yet: the connection is closed, so that clients try their other ways.
pub(crate) async fn serve(
    _proxy: &Proxy,
    mut stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ends: Ends,
) -> io::Result<()> {
    tracing::debug!(client = %ends.client, "SSH is not served yet");
    stream.shutdown().await
}
