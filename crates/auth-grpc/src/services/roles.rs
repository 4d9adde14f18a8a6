//! Roles.

use api::{
    convert::role::{from_wire, to_wire},
    r#gen::{proto::ListRolesResponse, types::RoleV6},
    methods::proto::auth_service::{
        CreateRole, DeleteRole, GetCurrentUserRoles, GetRole, ListRoles, UpdateRole, UpsertRole, UpsertRoleV2,
    },
};
use auth::{Operation, roles};
use domain::{Error, resources::Role};
use futures_util::stream;
use store::ListRequest;

use super::wire::{needed, page_size};
use crate::{
    dispatch::{Answers, Context, Row, Who, server_stream, unary},
    downgrade,
};

pub(crate) fn rows() -> Vec<Row> {
    let who = Who::Authenticated;
    vec![
        unary::<GetRole, _, _>(who, Operation::ReadRoles, |context, request| async move {
            roles::get(&context.auth, &context.caller, &request.name).await.map(|role| shown(&context, role))
        }),
        unary::<ListRoles, _, _>(who, Operation::ReadRoles, |context, request| async move {
            let filter = request.filter.unwrap_or_default();
            let filter = roles::Filter { keywords: filter.search_keywords, skip_system: filter.skip_system_roles };
            let list = ListRequest::page(page_size(request.limit)?, &request.start_key);
            let page = roles::list(&context.auth, &context.caller, list, &filter).await?;
            let roles = page.items.into_iter().map(|role| shown(&context, role)).collect();
            Ok(ListRolesResponse { roles, next_key: page.next_page_token })
        }),
        unary::<CreateRole, _, _>(who, Operation::CreateRole, |context, request| async move {
            let role = read(request.role)?;
            roles::create(&context.auth, &context.caller, role).await.map(|role| shown(&context, role))
        }),
        unary::<UpdateRole, _, _>(who, Operation::UpdateRole, |context, request| async move {
            let role = read(request.role)?;
            roles::update(&context.auth, &context.caller, role).await.map(|role| shown(&context, role))
        }),
        unary::<UpsertRoleV2, _, _>(who, Operation::UpsertRole, |context, request| async move {
            let role = read(request.role)?;
            roles::upsert(&context.auth, &context.caller, role).await.map(|role| shown(&context, role))
        }),
        unary::<UpsertRole, _, _>(who, Operation::UpsertRole, |context, request| async move {
            roles::upsert(&context.auth, &context.caller, from_wire(request)?).await.map(|_| ())
        }),
        unary::<DeleteRole, _, _>(who, Operation::DeleteRole, |context, request| async move {
            roles::delete(&context.auth, &context.caller, &request.name).await
        }),
        server_stream::<GetCurrentUserRoles, _, _>(who, Operation::ReadOwnRoles, |context, ()| async move {
            let roles = roles::own(&context.auth, &context.caller).await?;
            let roles: Vec<_> = roles.into_iter().map(|role| Ok(shown(&context, role))).collect();
            Ok(Box::pin(stream::iter(roles)) as Answers<RoleV6>)
        }),
    ]
}

fn read(role: Option<RoleV6>) -> Result<Role, Error> {
    from_wire(needed("role", role)?)
}

/// The role in a form that this client reads.
fn shown(context: &Context, role: Role) -> RoleV6 {
    to_wire(&if context.client.knows_role_v8() { role } else { downgrade::role(role) })
}
