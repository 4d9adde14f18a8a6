//! Following changes of resources.

use api::{
    r#gen::{proto, types},
    methods,
};
use domain::Error;

use crate::{Client, Streaming};

/// What to follow.
#[derive(Debug, Clone, Default)]
pub struct WatchKind {
    /// The resource kind, such as `cert_authority`.
    pub kind: String,
    /// Only this one.
    pub name: String,
    /// Narrows by the kind's own keys.
    pub filter: std::collections::BTreeMap<String, String>,
}

impl WatchKind {
    /// Everything of this kind.
    pub fn all(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), ..Self::default() }
    }
}

/// A running watch. It has begun: the server's first event was `init`.
pub struct Watch {
    stream: Streaming<proto::Event>,
}

impl Watch {
    /// The next change.
    ///
    /// # Errors
    /// Unavailable when the connection or the server ends the watch: begin another one and read anew.
    pub async fn next(&mut self) -> Result<proto::Event, Error> {
        let ended = || Error::unavailable("the server ended the watch");
        self.stream.next().await?.ok_or_else(ended)
    }
}

impl Client {
    /// Follows changes; returns when the server has confirmed that none will be missed from now on.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub async fn watch(&self, kinds: Vec<WatchKind>) -> Result<Watch, Error> {
        let kinds = kinds.into_iter().map(|kind| types::WatchKind {
            kind: kind.kind,
            name: kind.name,
            filter: kind.filter,
            ..types::WatchKind::default()
        });
        let request = proto::Watch { kinds: kinds.collect(), allow_partial_success: false };
        let stream = self.server_stream::<methods::proto::auth_service::WatchEvents>(request).await?;
        let mut watch = Watch { stream };
        let first = watch.next().await?;
        if first.r#type() == proto::Operation::Init {
            Ok(watch)
        } else {
            Err(Error::internal("the server began a watch without saying so"))
        }
    }
}
