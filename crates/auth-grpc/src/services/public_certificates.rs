//! Certificates of the public port, for proxies.

use std::time::Duration;

use api::{
    convert::timestamp,
    r#gen::tessera::v1::{
        self as wire, AcmeAccount, AcmeChallenge, ClaimPublicCertificateResponse, ListPublicCertificatesResponse,
        StoreAcmeChallengeResponse, StorePublicCertificateResponse,
    },
    methods::tessera::v1::public_certificates::{
        Claim, GetAccount, GetChallenge, List, Store, StoreAccount, StoreChallenge,
    },
};
use auth::{
    Operation,
    public_certificates::{self as own, Account, Challenge, Claimant, PublicCertificate},
};
use crypto::SecretBytes;

use super::wire::needed;
use crate::dispatch::{Row, Who, unary};

pub(crate) fn rows() -> Vec<Row> {
    const READ: Operation = Operation::ReadPublicCertificates;
    vec![
        unary::<List, _, _>(Who::Authenticated, READ, |context, _| async move {
            let found = own::list(&context.auth, &context.caller).await?;
            Ok(ListPublicCertificatesResponse { certificates: found.into_iter().map(to_wire).collect() })
        }),
        unary::<Store, _, _>(Who::Authenticated, Operation::StorePublicCertificate, |context, request| async move {
            let wire::PublicCertificate { name, chain, private_key } = needed("certificate", request.certificate)?;
            let certificate = PublicCertificate { name, chain, private_key: SecretBytes::new(private_key) };
            own::store(&context.auth, &context.caller, &certificate).await?;
            Ok(StorePublicCertificateResponse {})
        }),
        unary::<GetAccount, _, _>(Who::Authenticated, READ, |context, request| async move {
            own::account(&context.auth, &context.caller, &request.directory).await.map(of_account)
        }),
        unary::<StoreAccount, _, _>(Who::Authenticated, Operation::StoreAcmeAccount, |context, request| async move {
            let AcmeAccount { directory, id, private_key } = needed("account", request.account)?;
            let account = Account { directory, id, private_key: SecretBytes::new(private_key) };
            own::store_account(&context.auth, &context.caller, account).await.map(of_account)
        }),
        unary::<Claim, _, _>(Who::Authenticated, Operation::ProvePublicName, |context, request| async move {
            let claimant = Claimant {
                name: request.name,
                holder: request.holder,
                hold: Duration::from_secs(request.seconds.into()),
                failures: request.set_failures.then_some(request.failures),
            };
            let own::Claim { granted, until, failures } = own::claim(&context.auth, &context.caller, claimant).await?;
            Ok(ClaimPublicCertificateResponse { granted, until: Some(timestamp(until)), failures })
        }),
        unary::<StoreChallenge, _, _>(Who::Authenticated, Operation::ProvePublicName, |context, request| async move {
            let AcmeChallenge { name, token, key_authorization } = needed("challenge", request.challenge)?;
            let challenge = Challenge { name, token, key_authorization };
            own::store_challenge(&context.auth, &context.caller, &challenge).await?;
            Ok(StoreAcmeChallengeResponse {})
        }),
        unary::<GetChallenge, _, _>(Who::Authenticated, READ, |context, request| async move {
            let Challenge { name, token, key_authorization } =
                own::challenge(&context.auth, &context.caller, &request.name).await?;
            Ok(AcmeChallenge { name, token, key_authorization })
        }),
    ]
}

fn to_wire(certificate: PublicCertificate) -> wire::PublicCertificate {
    let PublicCertificate { name, chain, private_key } = certificate;
    wire::PublicCertificate { name, chain, private_key: private_key.expose().clone() }
}

fn of_account(account: Account) -> AcmeAccount {
    let Account { directory, id, private_key } = account;
    AcmeAccount { directory, id, private_key: private_key.expose().clone() }
}
