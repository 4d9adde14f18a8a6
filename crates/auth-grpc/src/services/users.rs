//! Users.

use std::time::Duration;

use api::{
    convert::{
        Wire as _, timestamp,
        user::{from_wire, to_wire},
    },
    r#gen::{
        teleport::users::v1::{
            CreateUserResponse, GetUserResponse, ListUsersResponse, UpdateUserResponse, UpsertUserResponse,
        },
        types::{Metadata, UserTokenSpecV3, UserTokenUsage, UserTokenV3, UserV2},
    },
    methods::proto::auth_service::{CreateResetPasswordToken, GetResetPasswordToken},
    methods::teleport::users::v1::users_service::{CreateUser, DeleteUser, GetUser, ListUsers, UpdateUser, UpsertUser},
};
use auth::{Operation, users};
use domain::{
    Error,
    resources::{User, user::Traits},
};
use store::ListRequest;

use super::wire::{needed, page_size};
use crate::dispatch::{Row, Who, unary};

pub(crate) fn rows() -> Vec<Row> {
    let who = Who::Authenticated;
    vec![
        unary::<GetUser, _, _>(who, Operation::ReadUsers, |context, request| async move {
            let which = match (request.current_user, request.name.as_str()) {
                (true, "") => users::Which::Current,
                (false, name) if !name.is_empty() => users::Which::Named(name),
                _ => return Err(Error::invalid("either name or current_user must be given")),
            };
            let user = users::get(&context.auth, &context.caller, which, request.with_secrets).await?;
            Ok(GetUserResponse { user: Some(to_wire(&user)) })
        }),
        unary::<ListUsers, _, _>(who, Operation::ReadUsers, |context, request| async move {
            let filter = request.filter.unwrap_or_default();
            let filter = users::Filter {
                keywords: filter.search_keywords,
                skip_system: filter.skip_system_users,
                traits: Traits::from_wire(filter.traits)?,
            };
            let list = ListRequest::page(page_size(request.page_size)?, &request.page_token);
            let page = users::list(&context.auth, &context.caller, list, &filter, request.with_secrets).await?;
            let users = page.items.iter().map(to_wire).collect();
            Ok(ListUsersResponse { users, next_page_token: page.next_page_token })
        }),
        unary::<CreateUser, _, _>(who, Operation::CreateUser, |context, request| async move {
            let user = users::create(&context.auth, &context.caller, read(request.user)?).await?;
            Ok(CreateUserResponse { user: Some(to_wire(&user)) })
        }),
        unary::<UpdateUser, _, _>(who, Operation::UpdateUser, |context, request| async move {
            let user = users::update(&context.auth, &context.caller, read(request.user)?).await?;
            Ok(UpdateUserResponse { user: Some(to_wire(&user)) })
        }),
        unary::<UpsertUser, _, _>(who, Operation::UpsertUser, |context, request| async move {
            let user = users::upsert(&context.auth, &context.caller, read(request.user)?).await?;
            Ok(UpsertUserResponse { user: Some(to_wire(&user)) })
        }),
        unary::<DeleteUser, _, _>(who, Operation::DeleteUser, |context, request| async move {
            users::delete(&context.auth, &context.caller, &request.name).await
        }),
        unary::<CreateResetPasswordToken, _, _>(who, Operation::CreateUserToken, |context, request| async move {
            let purpose = users::Purpose::parse(&request.r#type).ok_or_else(|| {
                Error::invalid(format!("type: must be invite or password, found {:?}", request.r#type))
            })?;
            let life = Duration::from_wire(request.ttl).map_err(|_| Error::invalid("ttl: must not be negative"))?;
            users::invite(&context.auth, &context.caller, &request.name, purpose, Some(life)).await.map(link)
        }),
        unary::<GetResetPasswordToken, _, _>(who, Operation::ReadUserToken, |context, request| async move {
            users::invitation(&context.auth, &context.caller, &request.token_id).await.map(link)
        }),
    ]
}

fn read(user: Option<UserV2>) -> Result<User, Error> {
    from_wire(needed("user", user)?)
}

/// An invitation as the message that carries its link.
fn link(made: users::Invitation) -> UserTokenV3 {
    UserTokenV3 {
        kind: "user_token".to_owned(),
        sub_kind: made.purpose.as_str().to_owned(),
        version: "v3".to_owned(),
        metadata: Some(Metadata {
            name: made.token.expose().to_owned(),
            expires: Some(timestamp(made.expires)),
            ..Metadata::default()
        }),
        spec: Some(UserTokenSpecV3 {
            user: made.user,
            url: made.url.expose().to_owned(),
            usage: UserTokenUsage::Unspecified.into(),
            created: Some(timestamp(made.created)),
        }),
    }
}
