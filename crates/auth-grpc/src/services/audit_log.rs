//! The audit log, by all the calls that clients of several ages make; and its proof.

use std::future::Future;

use api::{
    convert::{audit_event, time, timestamp},
    r#gen::{
        proto::Events,
        teleport::auditlog::v1::{EventExportChunk, EventUnstructured, EventsUnstructured, ExportEventUnstructured},
        tessera::v1::{ChainLink, Checkpoint, ExportChainResponse, VerifyResponse, export_chain_response::Item},
    },
    methods::{
        proto::auth_service::{EmitAuditEvent, GetEvents, GetSessionEvents},
        teleport::auditlog::v1::audit_log_service::{
            ExportUnstructuredEvents, GetEventExportChunks, GetUnstructuredEvents, StreamUnstructuredSessionEvents,
        },
        tessera::v1::audit_service::{ExportChain, Verify},
    },
};
use audit::{Entry, Order, Query};
use auth::{
    Caller, Operation,
    audit_log::{
        chain::{self, ChainExport, export_chain},
        emit::emit,
        export::{self, Export},
        search::{permit_sessions, search},
        verify,
    },
};
use clock::Timestamp;
use domain::Error;
use futures_util::{StreamExt as _, stream};
use serde_json::{Map, Value};
use tonic::Status;

use crate::dispatch::{Answers, Context, Row, Who, server_stream, unary};

const SEARCH: Operation = Operation::SearchEvents;

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = event_rows();
    rows.extend(proof_rows());
    rows
}

fn event_rows() -> Vec<Row> {
    vec![
        unary::<GetEvents, _, _>(Who::Authenticated, SEARCH, |context, request| async move {
            let text = (!request.search.is_empty()).then_some(request.search);
            let query = query(
                &context,
                (request.start_date, request.end_date),
                request.event_types,
                text,
                (request.order, request.limit, request.start_key),
            )?;
            let found = search(&context.auth, &context.caller, query).await?;
            let mut items = Vec::with_capacity(found.entries.len());
            for entry in &found.entries {
                // Older clients know nothing of the others.
                items.extend(audit_event::to_one_of(&object(entry)?));
            }
            Ok(Events { items, last_key: found.next.unwrap_or_default() })
        }),
        unary::<GetSessionEvents, _, _>(Who::Authenticated, SEARCH, |context, _| async move {
            permit_sessions(&context.auth, &context.caller)?;
            Ok(Events::default())
        }),
        unary::<GetUnstructuredEvents, _, _>(Who::Authenticated, SEARCH, |context, request| async move {
            let query = query(
                &context,
                (request.start_date, request.end_date),
                request.event_types,
                None,
                (request.order, request.limit, request.start_key),
            )?;
            let found = search(&context.auth, &context.caller, query).await?;
            let items = found.entries.iter().map(unstructured).collect::<Result<_, _>>()?;
            Ok(EventsUnstructured { items, last_key: found.next.unwrap_or_default() })
        }),
        server_stream::<ExportUnstructuredEvents, _, _>(Who::Authenticated, SEARCH, |context, request| async move {
            let date = date(request.date)?;
            let export = export::begin(&context.auth, &context.caller, date, &request.chunk, &request.cursor)?;
            Ok(pieces(context, export))
        }),
        server_stream::<GetEventExportChunks, _, _>(Who::Authenticated, SEARCH, |context, request| async move {
            let chunks = export::chunks(&context.auth, &context.caller, date(request.date)?).await?;
            let chunks = chunks.into_iter().map(|chunk| Ok(EventExportChunk { chunk: chunk.to_owned() }));
            let answers: Answers<_> = Box::pin(stream::iter(chunks.collect::<Vec<_>>()));
            Ok(answers)
        }),
        server_stream::<StreamUnstructuredSessionEvents, _, _>(
            Who::Authenticated,
            SEARCH,
            |context, request| async move {
                permit_sessions(&context.auth, &context.caller)?;
                Err(Error::not_found(format!("session {:?} not found", request.session_id)))
            },
        ),
        unary::<EmitAuditEvent, _, _>(Who::Authenticated, Operation::EmitEvent, |context, event| async move {
            emit(&context.auth, &context.caller, audit_event::from_one_of(&event)?).await
        }),
    ]
}

fn proof_rows() -> Vec<Row> {
    vec![
        unary::<Verify, _, _>(Who::Authenticated, Operation::VerifyAudit, |context, request| async move {
            let found = verify::verify(&context.auth, &context.caller, &request.checkpoint).await?;
            Ok(VerifyResponse {
                intact: found.is_intact,
                records: found.records,
                checkpoints: found.checkpoints,
                first: found.first.map(timestamp),
                last: found.last.map(timestamp),
                complaints: found.remarks,
            })
        }),
        server_stream::<ExportChain, _, _>(Who::Authenticated, Operation::VerifyAudit, |context, request| async move {
            let export = export_chain(&context.auth, &context.caller, request.after, request.checkpoints_only).await?;
            Ok(pieces(context, export))
        }),
    ]
}

/// The order's names in the schema are not what clients mean by its numbers: 0 is oldest first.
fn query(
    context: &Context,
    (from, to): (Option<prost_types::Timestamp>, Option<prost_types::Timestamp>),
    types: Vec<String>,
    text: Option<String>,
    (order, limit, cursor): (i32, i32, String),
) -> Result<Query, Error> {
    Ok(Query {
        from: time(from)?.unwrap_or(Timestamp::UNIX_EPOCH),
        to: time(to)?.unwrap_or_else(|| context.auth.clock().now()),
        types,
        text,
        order: if order == 0 { Order::OldestFirst } else { Order::NewestFirst },
        limit: usize::try_from(limit).unwrap_or_default(),
        cursor: (!cursor.is_empty()).then_some(cursor),
    })
}

fn date(date: Option<prost_types::Timestamp>) -> Result<Timestamp, Error> {
    time(date)?.ok_or_else(|| Error::invalid("date: is needed"))
}

fn object(entry: &Entry) -> Result<Map<String, Value>, Error> {
    match entry.value() {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(Error::internal("a record of the audit log cannot be read")),
    }
}

fn unstructured(entry: &Entry) -> Result<EventUnstructured, Error> {
    audit_event::to_unstructured(&object(entry)?)
}

/// Something that is exported in pieces; an empty one is the end.
trait Pieces: Send + 'static {
    type Answer: Send + 'static;

    fn piece(
        &mut self,
        context: &Context,
        caller: &Caller,
    ) -> impl Future<Output = Result<Vec<Self::Answer>, Error>> + Send;
}

/// All pieces as one stream. Who the caller is now is asked before each, and by the export what it may: it may run for hours.
fn pieces<P: Pieces>(context: Context, export: P) -> Answers<P::Answer> {
    let pieces = stream::unfold(Some((context, export)), |state| async move {
        let (context, mut export) = state?;
        let piece = match context.peer.caller(&context.auth) {
            Ok(caller) => export.piece(&context, &caller).await,
            Err(error) => Err(error),
        };
        match piece {
            Ok(answers) if answers.is_empty() => None,
            Ok(answers) => {
                let answers: Vec<Result<P::Answer, Status>> = answers.into_iter().map(Ok).collect();
                Some((stream::iter(answers), Some((context, export))))
            }
            Err(error) => Some((stream::iter(vec![Err(api::status::to_status(&error))]), None)),
        }
    });
    Box::pin(pieces.flatten())
}

impl Pieces for Export {
    type Answer = ExportEventUnstructured;

    async fn piece(&mut self, context: &Context, caller: &Caller) -> Result<Vec<Self::Answer>, Error> {
        let encode = |(entry, cursor): (Entry, String)| {
            Ok(ExportEventUnstructured { event: Some(unstructured(&entry)?), cursor })
        };
        self.next(&context.auth, caller).await?.into_iter().map(encode).collect()
    }
}

impl Pieces for ChainExport {
    type Answer = ExportChainResponse;

    async fn piece(&mut self, context: &Context, caller: &Caller) -> Result<Vec<Self::Answer>, Error> {
        let links = self.next(&context.auth, caller).await?;
        if links.is_empty() {
            let last = self.checkpoint.take().map(checkpoint).transpose()?;
            return Ok(last.into_iter().collect());
        }
        let encode = |link: chain::ChainLink| ExportChainResponse {
            item: Some(Item::Link(ChainLink {
                position: link.position,
                previous_hash: link.previous.0.to_vec(),
                hash: link.hash.0.to_vec(),
                record: link.record.to_vec(),
            })),
        };
        Ok(links.into_iter().map(encode).collect())
    }
}

fn checkpoint(checkpoint: audit::Checkpoint) -> Result<ExportChainResponse, Error> {
    let document = serde_json::to_vec(&checkpoint).map_err(|_| Error::internal("a checkpoint cannot be written"))?;
    let newest = checkpoint.heads.iter().max_by_key(|head| head.position);
    let item = Checkpoint {
        position: newest.map_or(0, |head| head.position),
        hash: newest.map(|head| head.hash.0.to_vec()).unwrap_or_default(),
        time: Some(timestamp(checkpoint.time)),
        document,
        signature: checkpoint.signature.into_bytes(),
        key_id: String::new(),
    };
    Ok(ExportChainResponse { item: Some(Item::Checkpoint(item)) })
}
