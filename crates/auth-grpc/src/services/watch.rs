//! Watch streams: first what was accepted, then every change, until the watcher is not welcome any more.

use std::sync::Arc;

use api::{
    convert::watch as wire,
    r#gen::{
        proto::{Event, Watch as WatchRequest},
        types,
    },
    methods::proto::auth_service::WatchEvents,
};
use auth::{
    Caller, Operation,
    watch::{Told, Watch, WatchKind, open},
};
use domain::{
    Error, Kind, Resource,
    resources::{
        App, AppServer, AuditConfig, AuthPreference, BotInstance, CertAuthority, ClusterName, Lock, NetworkingConfig,
        Role, SessionRecordingConfig, Token, User,
    },
};
use futures_util::{StreamExt as _, stream};
use tokio::sync::OwnedSemaphorePermit;

use crate::dispatch::{Answers, Context, Row, Who, server_stream};

pub(crate) fn rows() -> Vec<Row> {
    vec![server_stream::<WatchEvents, _, _>(Who::Authenticated, Operation::Watch, begin)]
}

/// A running watch with the one who holds it.
struct Following {
    context: Context,
    caller: Arc<Caller>,
    watch: Watch,
    _place: OwnedSemaphorePermit,
}

async fn begin(context: Context, request: WatchRequest) -> Result<Answers<Event>, Error> {
    let place = context.peer.watch_place()?;
    let kinds: Vec<WatchKind> = request.kinds.iter().map(kind).collect();
    let watch = open(&context.auth, &context.caller, &kinds, request.allow_partial_success).await?;
    let accepted: Vec<types::WatchKind> = watch.accepted().iter().map(|index| request.kinds[*index].clone()).collect();
    let caller = Arc::clone(&context.caller);
    let following = Following { context, caller, watch, _place: place };
    following.pay()?;
    // After its first error a stream has ended: the state is gone with it.
    let changes = stream::unfold(Some(following), |following| async move {
        let mut following = following?;
        match following.next().await {
            Ok(event) => Some((Ok(event), Some(following))),
            Err(error) => Some((Err(api::status::to_status(&error)), None)),
        }
    });
    Ok(Box::pin(stream::iter([Ok(wire::init(accepted))]).chain(changes)))
}

impl Following {
    async fn next(&mut self) -> Result<Event, Error> {
        loop {
            self.stay_welcome()?;
            self.pay()?;
            let told = tokio::select! {
                told = self.watch.next(&self.caller) => told?,
                end = self.context.peer.end_of_watches() => return Err(end),
            };
            // The change may be the very one that shuts this watcher out, so look again before telling it.
            self.stay_welcome()?;
            match told {
                Some(Told::Put(resource)) => {
                    if let Some(event) = wire::put(&resource) {
                        return Ok(event);
                    }
                }
                Some(Told::Delete { kind, sub_kind, name }) => {
                    return Ok(wire::delete(kind, &sub_kind, version(kind), &name));
                }
                None => {}
            }
        }
    }

    /// What the watch keeps counts as long as it runs.
    fn pay(&self) -> Result<(), Error> {
        self.context.charge.keep(self.watch.kept()).map_err(|status| Error::limit(status.message().to_owned()))
    }

    /// Decides anew who the watcher is; what it may watch is asked again whenever that may have changed.
    fn stay_welcome(&mut self) -> Result<(), Error> {
        let caller = self.context.peer.caller(&self.context.auth)?;
        if !Arc::ptr_eq(&caller, &self.caller) {
            self.watch.recheck(&self.context.auth, &caller)?;
            self.caller = caller;
        }
        Ok(())
    }
}

fn kind(wanted: &types::WatchKind) -> WatchKind {
    WatchKind {
        kind: wanted.kind.clone(),
        with_secrets: wanted.load_secrets,
        name: wanted.name.clone(),
        sub_kind: wanted.sub_kind.clone(),
        filter: wanted.filter.clone(),
    }
}

/// What the header of something deleted says: the version that is made now. The deleted one's is gone with it.
const fn version(kind: Kind) -> &'static str {
    macro_rules! versions {
        ($($name:ident),+ $(,)?) => {
            match kind {
                $(Kind::$name => $name::VERSION,)+
                _ => "",
            }
        };
    }
    versions!(
        Role,
        User,
        Token,
        BotInstance,
        Lock,
        CertAuthority,
        ClusterName,
        AuthPreference,
        NetworkingConfig,
        SessionRecordingConfig,
        AuditConfig,
        App,
        AppServer,
    )
}
