//! Calls that the schema has and this server does not answer yet: refused by name, so that clients fall back or say why.

use api::methods::{
    Method,
    proto::join_service::{
        RegisterUsingAzureMethod, RegisterUsingBoundKeypairMethod, RegisterUsingIamMethod, RegisterUsingOracleMethod,
        RegisterUsingTpmMethod,
    },
    teleport::join::v1::join_service::Join,
};
use auth::Operation;
use domain::Error;

use crate::dispatch::{Answers, Row, Who, both_streams};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        join::<RegisterUsingIamMethod>(),
        join::<RegisterUsingAzureMethod>(),
        join::<RegisterUsingTpmMethod>(),
        join::<RegisterUsingOracleMethod>(),
        join::<RegisterUsingBoundKeypairMethod>(),
        join::<Join>(),
    ]
}

/// A way of joining with a dialogue. Strangers may ask, as they may for the one that exists.
fn join<M: Method>() -> Row {
    both_streams::<M, _, _>(Who::Anyone, Operation::Join, |_, _| async {
        let refusal =
            format!("{}/{}: this way of joining is not supported yet; use join method \"token\"", M::SERVICE, M::NAME);
        Err::<Answers<M::Response>, Error>(Error::unsupported(refusal))
    })
}
