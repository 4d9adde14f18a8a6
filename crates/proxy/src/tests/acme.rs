//! Certificates of the public port, with an auth service and an authority that do not always answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::{
    r#gen::tessera::v1::{AcmeAccount, ClaimPublicCertificateResponse, PublicCertificate},
    methods::{
        Method as _,
        tessera::v1::public_certificates::{Claim, GetAccount, List, Store},
    },
};
use crypto::{Algorithm, KeyPair};
use prost::Message;
use tokio::{net::TcpListener, time::timeout};

use super::world::{PROXY, client_of, world, world_with};
use crate::{AcmeConfig, acme};

/// Far below what an order may take.
const LONG: Duration = Duration::from_secs(25);

#[tokio::test]
async fn an_order_that_leads_nowhere_keeps_neither_other_names_waiting_nor_what_others_have_got() {
    let authority = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let directory = format!("https://{}/directory", authority.local_addr().unwrap());
    let acme = AcmeConfig {
        directory: directory.clone(),
        email: String::new(),
        authorities: Vec::new(),
        out: client::Proxies::default(),
        has_http: false,
    };
    let world = world_with(|config| config.acme = Some(acme)).await;
    // The authority is asked as this one, and says nothing.
    let key = KeyPair::generate(Algorithm::EcdsaP256).unwrap().to_pkcs8_der().unwrap();
    let account = AcmeAccount { directory, id: "one".into(), private_key: key.expose().clone() };
    let (ordered, listed): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
    let (orders, lists) = (Arc::clone(&ordered), Arc::clone(&listed));
    let socket = tempfile::tempdir().unwrap();
    let path = socket.path().join("auth");
    let client = client_of(&path, move |path, _| match path {
        List::PATH => {
            lists.fetch_add(1, Ordering::Relaxed);
            Some(Vec::new())
        }
        Claim::PATH => Some(ClaimPublicCertificateResponse { granted: true, ..Default::default() }.encode_to_vec()),
        GetAccount::PATH => {
            orders.fetch_add(1, Ordering::Relaxed);
            Some(account.encode_to_vec())
        }
        _ => None,
    });
    world.proxy.client.store(Arc::new(client.await));
    let above = async |count: &AtomicUsize, least| {
        while count.load(Ordering::Relaxed) <= least {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, above(&ordered, 1)).await.expect("only one of the two names is ordered");
    let before = listed.load(Ordering::Relaxed);
    timeout(LONG, above(&listed, before)).await.expect("nobody looks what others have got");
}

#[tokio::test]
async fn a_certificate_that_was_issued_waits_for_an_auth_service_that_is_away() {
    let world = world().await;
    let (socket, asked) = (tempfile::tempdir().unwrap(), AtomicUsize::new(0));
    let path = socket.path().join("auth");
    let client = client_of(&path, move |path, _| {
        (path == Store::PATH && asked.fetch_add(1, Ordering::Relaxed) >= 5).then(Vec::new)
    });
    world.proxy.client.store(Arc::new(client.await));
    let certificate = PublicCertificate { name: PROXY.into(), ..PublicCertificate::default() };
    let until = world.proxy.ports.clock.monotonic() + Duration::from_secs(60);
    acme::store(&world.proxy, certificate, until).await.unwrap();
}
