//! Calls that the schema has and this server does not answer yet: refused by name, so that clients fall back or say why.

use api::methods::{
    Method,
    proto::{
        auth_service::GenerateHostCerts,
        join_service::{
            RegisterUsingAzureMethod, RegisterUsingBoundKeypairMethod, RegisterUsingIamMethod,
            RegisterUsingOracleMethod, RegisterUsingTpmMethod,
        },
    },
    teleport::join::v1::join_service::Join,
    tessera::v1::{
        app_sessions::{Assertion, Fetch, Live},
        presence::{ListProxies, UpsertProxy},
    },
};
use auth::Operation;
use domain::Error;

use crate::dispatch::{Answers, Row, Who, both_streams, unary};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        unary::<GenerateHostCerts, _, _>(Who::Authenticated, Operation::IssueHostCertificate, |_, _| async {
            Err(Error::unsupported("certificates for agents are not supported yet"))
        }),
        join::<RegisterUsingIamMethod>(),
        join::<RegisterUsingAzureMethod>(),
        join::<RegisterUsingTpmMethod>(),
        join::<RegisterUsingOracleMethod>(),
        join::<RegisterUsingBoundKeypairMethod>(),
        join::<Join>(),
        soon::<Fetch>(Operation::ReadApps),
        soon::<Live>(Operation::ReadApps),
        soon::<Assertion>(Operation::ReadApps),
        soon::<UpsertProxy>(Operation::ReadApps),
        soon::<ListProxies>(Operation::ReadApps),
    ]
}

fn soon<M: Method>(operation: Operation) -> Row {
    unary::<M, _, _>(Who::Authenticated, operation, |_, _| async {
        Err::<M::Response, _>(Error::unsupported(format!("{}/{} is not supported yet", M::SERVICE, M::NAME)))
    })
}

/// A way of joining with a dialogue. Strangers may ask, as they may for the one that exists.
fn join<M: Method>() -> Row {
    both_streams::<M, _, _>(Who::Anyone, Operation::Join, |_, _| async {
        let refusal =
            format!("{}/{}: this way of joining is not supported yet; use join method \"token\"", M::SERVICE, M::NAME);
        Err::<Answers<M::Response>, Error>(Error::unsupported(refusal))
    })
}
