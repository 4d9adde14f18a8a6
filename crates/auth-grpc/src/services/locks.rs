//! Locks.

use api::{
    convert::{
        Wire as _,
        lock::{from_wire, to_wire},
    },
    r#gen::{
        proto::{GetLocksResponse, ListLocksResponse},
        types::LockTarget as Target,
    },
    methods::proto::auth_service::{DeleteLock, GetLock, GetLocks, ListLocks, UpsertLock},
};
use auth::{Operation, locks};
use domain::{Error, resources::lock::LockTarget};
use store::{ListRequest, MAX_PAGE_SIZE};

use super::wire::page_size;
use crate::dispatch::{Row, Who, unary};

/// The most locks in the answer of the older call that has no pages: what fits a message.
const UNPAGED: usize = 5 * MAX_PAGE_SIZE;

pub(crate) fn rows() -> Vec<Row> {
    let who = Who::Authenticated;
    vec![
        unary::<GetLock, _, _>(who, Operation::ReadLocks, |context, request| async move {
            locks::get(&context.auth, &context.caller, &request.name).await.map(|lock| to_wire(&lock))
        }),
        unary::<GetLocks, _, _>(who, Operation::ReadLocks, |context, request| async move {
            let filter = filter(request.targets, request.in_force_only)?;
            let (mut found, mut token) = (Vec::new(), String::new());
            loop {
                let page = locks::list(&context.auth, &context.caller, ListRequest::page(0, &token), &filter).await?;
                found.extend(page.items.iter().map(to_wire));
                token = page.next_page_token;
                if token.is_empty() {
                    return Ok(GetLocksResponse { locks: found });
                }
                if found.len() >= UNPAGED {
                    return Err(Error::limit("there are too many locks for one answer: use ListLocks"));
                }
            }
        }),
        unary::<ListLocks, _, _>(who, Operation::ReadLocks, |context, request| async move {
            let asked = request.filter.unwrap_or_default();
            let filter = filter(asked.targets, asked.in_force_only)?;
            let list = ListRequest::page(page_size(request.page_size)?, &request.page_token);
            let page = locks::list(&context.auth, &context.caller, list, &filter).await?;
            let locks = page.items.iter().map(to_wire).collect();
            Ok(ListLocksResponse { locks, next_page_token: page.next_page_token })
        }),
        unary::<UpsertLock, _, _>(who, Operation::UpsertLock, |context, request| async move {
            locks::upsert(&context.auth, &context.caller, from_wire(request)?).await.map(|_| ())
        }),
        unary::<DeleteLock, _, _>(who, Operation::DeleteLock, |context, request| async move {
            locks::delete(&context.auth, &context.caller, &request.name).await
        }),
    ]
}

fn filter(targets: Vec<Target>, in_force_only: bool) -> Result<locks::Filter, Error> {
    let targets = targets.into_iter().map(LockTarget::from_wire).collect::<Result<_, _>>()?;
    Ok(locks::Filter { targets, in_force_only })
}
