//! `tctl status`: the cluster, its CA pins, and one row for each key of each authority.

use cli::{Format, Table};
use crypto::{Algorithm, PublicKey, x509::Certificate};
use domain::{
    form::time,
    resources::{
        CertAuthority,
        cert_authority::{KeySet, PrivateKeyType},
    },
};
use serde::Serialize;

use crate::{args::Shape, cluster, session::Session};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tctl status --format=json")]
pub(crate) struct Args {
    #[command(flatten)]
    shape: Shape,
}

/// What `--format=json` gives.
#[derive(Debug, Serialize)]
struct Status {
    cluster: String,
    version: String,
    ca_pins: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    authorities: Vec<Row>,
}

/// One key of one authority.
#[derive(Debug, Serialize)]
struct Row {
    authority: String,
    rotation: String,
    protocol: &'static str,
    status: &'static str,
    algorithm: &'static str,
    storage: &'static str,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let client = session.client().await?;
    let ping = cluster::ping(&client).await?;
    let authorities = cluster::authorities(&client).await?;
    let mut notes = cluster::notes(&client).await?;
    notes.extend(client.skew().map(|skew| skew.to_string()));
    let status = Status {
        cluster: ping.cluster_name.clone(),
        version: ping.server_version.clone(),
        ca_pins: cluster::ca_pins(&client).await?,
        notes,
        authorities: authorities.iter().flat_map(rows).collect(),
    };
    if args.shape.format != Format::Text {
        return session.out.value(args.shape.format, &status);
    }
    session.out.text(text(&status))
}

fn text(status: &Status) -> String {
    let mut text = format!("Cluster: {}\nVersion: {}\n", status.cluster, status.version);
    text.push_str(&format!("CA pins: {}\n", status.ca_pins.join("\n         ")));
    for note in &status.notes {
        text.push_str(&format!("Note: {note}\n"));
    }
    let mut table = Table::new(["authority", "rotation", "protocol", "status", "algorithm", "storage"]);
    for row in &status.authorities {
        table.row([&row.authority, &row.rotation, row.protocol, row.status, row.algorithm, row.storage]);
    }
    format!("{text}\n{table}")
}

fn rows(authority: &CertAuthority) -> Vec<Row> {
    let rotation = rotation(authority);
    let keys = |set: &KeySet, status: &'static str| {
        let ssh = set.ssh.iter().map(|k| ("SSH", ssh_algorithm(&k.public_key.0), k.private_key_type));
        let tls = set.tls.iter().map(|k| ("TLS", tls_algorithm(&k.cert.0), k.key_type));
        let jwt = set.jwt.iter().map(|k| ("JWT", pem_algorithm(&k.public_key.0), k.private_key_type));
        let rows = ssh.chain(tls).chain(jwt).map(|(protocol, algorithm, storage)| Row {
            authority: authority.ca_type().to_string(),
            rotation: rotation.clone(),
            protocol,
            status,
            algorithm: algorithm.map_or("unknown", name),
            storage: storage_name(storage),
        });
        rows.collect::<Vec<_>>()
    };
    let mut rows = keys(&authority.spec.active_keys, "active");
    rows.extend(keys(&authority.spec.additional_trusted_keys, "trusted"));
    rows
}

fn rotation(authority: &CertAuthority) -> String {
    let rotation = authority.spec.rotation.clone().unwrap_or_default();
    match (rotation.phase.as_str(), rotation.last_rotated) {
        ("" | "standby", None) => "standby (never rotated)".to_owned(),
        ("" | "standby", last) => format!("standby (last rotated: {})", time::format(last)),
        (phase, _) => format!("in progress ({phase})"),
    }
}

fn ssh_algorithm(line: &[u8]) -> Option<Algorithm> {
    let line = std::str::from_utf8(line).ok()?;
    PublicKey::from_authorized_key(line).ok().map(|key| key.algorithm())
}

fn tls_algorithm(pem: &[u8]) -> Option<Algorithm> {
    let certificate = Certificate::from_pem(std::str::from_utf8(pem).ok()?).ok()?;
    certificate.public_key().ok().map(|key| key.algorithm())
}

fn pem_algorithm(pem: &[u8]) -> Option<Algorithm> {
    PublicKey::from_pem(std::str::from_utf8(pem).ok()?).ok().map(|key| key.algorithm())
}

fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Rsa2048 => "RSA 2048",
        Algorithm::EcdsaP256 => "ECDSA P-256",
        Algorithm::Ed25519 => "Ed25519",
    }
}

fn storage_name(kind: PrivateKeyType) -> &'static str {
    match kind {
        PrivateKeyType::Raw => "software",
        PrivateKeyType::Pkcs11 => "PKCS#11 HSM",
        PrivateKeyType::GcpKms => "GCP KMS",
        PrivateKeyType::AwsKms => "AWS KMS",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_that_people_see() {
        let status = Status {
            cluster: "example.com".into(),
            version: "18.0.0".into(),
            ca_pins: vec!["sha256:ab".into()],
            notes: vec![],
            authorities: vec![Row {
                authority: "host".into(),
                rotation: "standby (never rotated)".into(),
                protocol: "SSH",
                status: "active",
                algorithm: "Ed25519",
                storage: "software",
            }],
        };
        insta::assert_snapshot!(text(&status), @r"
        Cluster: example.com
        Version: 18.0.0
        CA pins: sha256:ab

        authority rotation                protocol status algorithm storage
        --------- ----------------------- -------- ------ --------- --------
        host      standby (never rotated) SSH      active Ed25519   software
        ");
    }
}
