//! Join tokens.

use api::{
    convert::{
        static_tokens::{self, StaticToken},
        token::{from_wire, to_wire},
    },
    r#gen::{
        proto::{
            ListProvisionTokensResponse, create_token_v2_request::Token as Created,
            upsert_token_v2_request::Token as Upserted,
        },
        types::ProvisionTokenV2List,
    },
    methods::proto::auth_service::{
        CreateTokenV2, DeleteToken, GetStaticTokens, GetToken, GetTokens, ListProvisionTokens, UpsertTokenV2,
    },
};
use auth::{Operation, tokens};
use domain::{Error, form::SecretText, resources::Token, role::SystemRole};
use store::{ListRequest, MAX_PAGE_SIZE};

use super::wire::{needed, page_size};
use crate::dispatch::{Context, Row, Who, unary};

/// The most tokens in the answer of the older call that has no pages: what fits a message.
const UNPAGED: usize = 2 * MAX_PAGE_SIZE;

pub(crate) fn rows() -> Vec<Row> {
    let who = Who::Authenticated;
    vec![
        unary::<GetToken, _, _>(who, Operation::ReadTokens, |context, request| async move {
            tokens::get(&context.auth, &context.caller, &request.name).await.map(|token| to_wire(&token))
        }),
        unary::<GetTokens, _, _>(who, Operation::ReadTokens, |context, ()| async move {
            let tokens = all(&context, &tokens::Filter::default()).await?;
            Ok(ProvisionTokenV2List { provision_tokens: tokens.iter().map(to_wire).collect() })
        }),
        unary::<ListProvisionTokens, _, _>(who, Operation::ReadTokens, |context, request| async move {
            let filter = tokens::Filter {
                roles: roles(&request.filter_roles)?,
                bot_name: request.filter_bot_name,
                ..Default::default()
            };
            let list = ListRequest::page(page_size(request.limit)?, &request.start_key);
            let page = tokens::list(&context.auth, &context.caller, list, &filter).await?;
            let tokens = page.items.iter().map(to_wire).collect();
            Ok(ListProvisionTokensResponse { tokens, next_key: page.next_page_token })
        }),
        unary::<GetStaticTokens, _, _>(who, Operation::ReadTokens, |context, ()| async move {
            let filter = tokens::Filter { only_static: true, ..tokens::Filter::default() };
            let tokens = all(&context, &filter).await?;
            let tokens = tokens.into_iter().map(|token| StaticToken {
                roles: token.spec.roles,
                expires: token.metadata.expires,
                token: SecretText::new(token.metadata.name),
            });
            Ok(static_tokens::to_wire(&tokens.collect()))
        }),
        unary::<CreateTokenV2, _, _>(who, Operation::CreateToken, |context, request| async move {
            let Created::V2(token) = needed("token", request.token)?;
            tokens::create(&context.auth, &context.caller, from_wire(token)?).await.map(|_| ())
        }),
        unary::<UpsertTokenV2, _, _>(who, Operation::UpsertToken, |context, request| async move {
            let Upserted::V2(token) = needed("token", request.token)?;
            tokens::upsert(&context.auth, &context.caller, from_wire(token)?).await.map(|_| ())
        }),
        unary::<DeleteToken, _, _>(who, Operation::DeleteToken, |context, request| async move {
            tokens::delete(&context.auth, &context.caller, &request.name).await
        }),
    ]
}

/// Every token that fits and that the caller may read, for calls without pages.
async fn all(context: &Context, filter: &tokens::Filter) -> Result<Vec<Token>, Error> {
    let (mut found, mut key) = (Vec::new(), String::new());
    loop {
        let page = tokens::list(&context.auth, &context.caller, ListRequest::page(0, &key), filter).await?;
        found.extend(page.items);
        key = page.next_page_token;
        if key.is_empty() {
            return Ok(found);
        }
        if found.len() >= UNPAGED {
            return Err(Error::limit("there are too many tokens for one answer: use ListProvisionTokens"));
        }
    }
}

fn roles(words: &[String]) -> Result<Vec<SystemRole>, Error> {
    let read = |word: &String| {
        SystemRole::parse(word).ok_or_else(|| Error::invalid(format!("FilterRoles: {word:?} is not a system role")))
    };
    words.iter().map(read).collect()
}
