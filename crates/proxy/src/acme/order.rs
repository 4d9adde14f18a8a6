//! One order with an authority, from the account to the chain.

use api::{
    r#gen::tessera::v1::{
        AcmeAccount, AcmeChallenge, GetAcmeAccountRequest, PublicCertificate, StoreAcmeAccountRequest,
        StoreAcmeChallengeRequest,
    },
    methods::tessera::v1::public_certificates::{GetAccount, StoreAccount, StoreChallenge},
};
use crypto::{KeyPair, Secret, SecretString};
use domain::{Error, error::Kind};
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, OrderStatus, RetryPolicy,
};
use rustls::pki_types::PrivatePkcs8KeyDer;

use super::{AcmeConfig, KEPT_FOR, transport::Outbound};
use crate::Proxy;

/// By which challenge a name is proved. Who has opened a plain port has a reason; after a failure the other one is tried.
pub(super) fn challenge(has_http: bool, failures: u32) -> ChallengeType {
    match has_http && failures.is_multiple_of(2) {
        true => ChallengeType::Http01,
        false => ChallengeType::TlsAlpn01,
    }
}

/// Gets a certificate for one name.
pub(super) async fn issue(
    proxy: &Proxy,
    config: &AcmeConfig,
    name: &str,
    challenge: ChallengeType,
) -> Result<PublicCertificate, Error> {
    let account = account(proxy, config).await?;
    let mut order = account.new_order(&NewOrder::new(&[Identifier::Dns(name.to_owned())])).await.map_err(failed)?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(failed)?;
        match authorization.status {
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Valid => continue,
            other => return Err(Error::unavailable(format!("the authority's authorization is {other:?}"))),
        }
        let kind = challenge.clone();
        let mut asked = authorization
            .challenge(kind)
            .ok_or_else(|| Error::unsupported(format!("the authority does not offer the challenge {challenge:?}")))?;
        let answer = AcmeChallenge {
            name: name.to_owned(),
            token: asked.token.clone(),
            key_authorization: asked.key_authorization().as_str().to_owned(),
        };
        let request = StoreAcmeChallengeRequest { challenge: Some(answer) };
        proxy.client.load_full().call::<StoreChallenge>(request).await?;
        // Whichever proxy the authority asks, what a stranger has made it keep is forgotten by then.
        proxy.ports.clock.sleep(KEPT_FOR).await;
        asked.set_ready().await.map_err(failed)?;
    }
    let retries = RetryPolicy::default();
    match order.poll_ready(&retries).await.map_err(failed)? {
        OrderStatus::Ready => {}
        status => {
            let why = refusal(&mut order).await.unwrap_or_default();
            return Err(Error::unavailable(format!("the authority's order is {status:?} ({challenge:?}){why}")));
        }
    }
    let key = SecretString::new(order.finalize().await.map_err(failed)?);
    let chain = order.poll_certificate(&retries).await.map_err(failed)?;
    let key = KeyPair::from_pem(key.expose()).and_then(|key| key.to_pkcs8_der());
    let key = key.map_err(|error| Error::internal(format!("the new key cannot be used: {error}")))?;
    Ok(PublicCertificate { name: name.to_owned(), chain, private_key: key.expose().clone() })
}

/// Why the authority was not convinced, in its words.
async fn refusal(order: &mut instant_acme::Order) -> Option<String> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(authorization)) = authorizations.next().await {
        let problem = authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = problem {
            return Some(format!(": {}", problem.detail.clone().unwrap_or_default()));
        }
    }
    None
}

/// The cluster's account with the authority; made when there is none.
async fn account(proxy: &Proxy, config: &AcmeConfig) -> Result<Account, Error> {
    let client = proxy.client.load_full();
    let only_one = proxy.acme.account.lock().await;
    let request = GetAcmeAccountRequest { directory: config.directory.clone() };
    let known = match client.call::<GetAccount>(request).await {
        Ok(known) => known,
        Err(error) if error.kind == Kind::NotFound => {
            let contact = format!("mailto:{}", config.email);
            let contacts = [contact.as_str()];
            let contact = if config.email.is_empty() { &[] } else { &contacts[..] };
            let wanted = NewAccount { contact, terms_of_service_agreed: true, only_return_existing: false };
            let (made, credentials) =
                builder(proxy, config)?.create(&wanted, config.directory.clone(), None).await.map_err(failed)?;
            let account = AcmeAccount {
                directory: config.directory.clone(),
                id: made.id().to_owned(),
                private_key: credentials.private_key().secret_pkcs8_der().to_vec(),
            };
            client.call::<StoreAccount>(StoreAcmeAccountRequest { account: Some(account) }).await?
        }
        Err(error) => return Err(error),
    };
    drop(only_one);
    let key = Secret::new(known.private_key);
    let key = PrivatePkcs8KeyDer::from(key.expose().as_slice());
    builder(proxy, config)?.from_parts(known.id, key, known.directory).await.map_err(failed)
}

fn builder(proxy: &Proxy, config: &AcmeConfig) -> Result<instant_acme::AccountBuilder, Error> {
    let outbound = Outbound::new(config, &proxy.ports.clock)
        .map_err(|error| Error::internal(format!("the ACME authority cannot be asked: {error}")))?;
    Ok(Account::builder_with_http(Box::new(outbound)))
}

fn failed(error: instant_acme::Error) -> Error {
    let mut text = format!("ACME: {error}");
    let mut next = std::error::Error::source(&error);
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    Error::unavailable(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_port_is_used_where_there_is_one_and_the_other_way_after_it_failed() {
        assert_eq!(challenge(false, 0), ChallengeType::TlsAlpn01);
        assert_eq!(challenge(false, 1), ChallengeType::TlsAlpn01);
        assert_eq!(challenge(true, 0), ChallengeType::Http01);
        assert_eq!(challenge(true, 1), ChallengeType::TlsAlpn01);
    }
}
