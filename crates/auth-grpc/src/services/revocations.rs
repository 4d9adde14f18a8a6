//! Revocation lists.

use api::{
    convert::timestamp,
    r#gen::tessera::v1::{ExportCrlResponse, RevocationList},
    methods::tessera::v1::crl_service::Export,
};
use auth::{Operation, revocations::export::export};

use crate::dispatch::{Row, Who, unary};

pub(crate) fn rows() -> Vec<Row> {
    vec![unary::<Export, _, _>(Who::Authenticated, Operation::ReadRevocations, |context, request| async move {
        let lists = export(&context.auth, &context.caller, &request.r#type, &request.format).await?;
        let lists = lists.into_iter().map(|list| RevocationList {
            data: list.data,
            authority: list.authority,
            made_at: Some(timestamp(list.made_at)),
        });
        Ok(ExportCrlResponse { lists: lists.collect() })
    })]
}
