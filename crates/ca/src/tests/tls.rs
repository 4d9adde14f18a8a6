//! Our certificates in TLS, on both ends.

use std::sync::Arc;

use crypto::KeyPair;
use crypto::tls::{
    ALPN_H2, AUTH_SERVER_NAME, CertificateChain, ClientAuth, ClientOptions, ServerCertificate, Trust, TrustedClients,
    client_config, server_config,
};
use domain::ca::CaType;
use domain::suite::Suite;
use keystore::suite::{Purpose, algorithm_for};
use rustls::{ClientConnection, ServerConnection};

use super::{World, identity, later, now};
use crate::authority::{tls_signer, trusted_certificates};
use crate::x509::{self, AlternativeNames};

#[tokio::test]
async fn a_bot_and_the_auth_server_know_each_other() {
    for suite in [Suite::Legacy, Suite::BalancedV1, Suite::FipsV1] {
        let world = World::new();
        let (user_ca, host_ca) =
            (world.authority(CaType::User, suite).await, world.authority(CaType::Host, suite).await);
        let chain = async |ca, purpose, names| {
            let signer = tls_signer(ca).unwrap();
            let key = KeyPair::generate(algorithm_for(suite, purpose)).unwrap();
            let template = x509::host_template(&identity(), key.public().clone(), names, now(), later(60));
            let leaf = x509::issue(&template, &signer, &world.keys, &world.random).await.unwrap();
            CertificateChain::new(&[leaf, signer.certificate], &key).unwrap()
        };
        let server = chain(&host_ca, Purpose::HostIdentity, AlternativeNames::from_hosts([AUTH_SERVER_NAME])).await;
        let bot = chain(&user_ca, Purpose::BotIdentity, AlternativeNames::default()).await;
        let mut trusted = trusted_certificates(&host_ca).unwrap();
        trusted.extend(trusted_certificates(&user_ca).unwrap());
        let clients = TrustedClients::new(&trusted).unwrap();
        let config =
            server_config(ServerCertificate::new(server), ClientAuth::Optional(clients), &[ALPN_H2], &world.clock);
        let server_side = config.unwrap();
        let pin = tls_signer(&host_ca).unwrap().certificate.pin();
        for trust in [Trust::Roots(trusted_certificates(&host_ca).unwrap()), Trust::Pins(vec![pin])] {
            let options = ClientOptions { trust, certificate: Some(bot.clone()), alpn: vec![ALPN_H2.to_vec()] };
            let client_side = client_config(options, &world.clock).unwrap();
            let peer = shake(Arc::clone(&server_side), client_side).unwrap();
            assert_eq!(crypto::x509::Certificate::from_der(&peer).unwrap().common_name(), Some("bot-ünï"));
        }
    }
}

/// The client's certificate as the server saw it.
fn shake(server: Arc<rustls::ServerConfig>, client: Arc<rustls::ClientConfig>) -> Result<Vec<u8>, rustls::Error> {
    let mut server = ServerConnection::new(server)?;
    let mut client = ClientConnection::new(client, AUTH_SERVER_NAME.try_into().unwrap())?;
    for _ in 0..10 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &wire[..]).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut &wire[..]).unwrap();
        client.process_new_packets()?;
    }
    Ok(server.peer_certificates().unwrap()[0].to_vec())
}
