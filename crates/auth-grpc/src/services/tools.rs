//! What tools ask before they act: whether a second factor is needed, what could be requested, what to show on a login.

use api::{
    r#gen::{
        proto::{GetClusterAlertsResponse, IsMfaRequiredResponse, MfaAuthenticateChallenge, MfaRequired},
        types::AccessCapabilities,
    },
    methods::proto::auth_service::{
        CreateAuthenticateChallenge, GetAccessCapabilities, GetClusterAlerts, IsMfaRequired,
    },
};
use auth::Operation;

use crate::dispatch::{Row, Who, unary};

const READ: Operation = Operation::ReadCapabilities;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        // There are no second factors yet, so nothing needs one; a client that is told so shows the original refusal.
        unary::<CreateAuthenticateChallenge, _, _>(Who::Authenticated, READ, |_, _| async move {
            Ok(MfaAuthenticateChallenge { mfa_required: MfaRequired::No.into(), ..Default::default() })
        }),
        unary::<IsMfaRequired, _, _>(Who::Authenticated, READ, |_, _| async move {
            Ok(IsMfaRequiredResponse { required: false, mfa_required: MfaRequired::No.into() })
        }),
        // There are no access requests yet.
        unary::<GetAccessCapabilities, _, _>(Who::Authenticated, READ, |_, _| async move {
            Ok(AccessCapabilities::default())
        }),
        unary::<GetClusterAlerts, _, _>(Who::Authenticated, READ, |_, _| async move {
            Ok(GetClusterAlertsResponse::default())
        }),
    ]
}
