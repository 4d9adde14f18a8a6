use std::process::Command;

use proptest::prelude::*;

use super::{Body, Certificate, Error, KeyUsage};

/// A certificate that openssl made, with multi-valued RDNs, foreign attributes and every kind of name.
fn specimen() -> (Certificate, Certificate) {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &str| {
        let arguments = arguments.split_whitespace();
        let output = Command::new("openssl").current_dir(dir.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    std::fs::write(dir.path().join("ext"), "subjectAltName=DNS:a.example,DNS:*.b.example,IP:10.1.2.3,IP:::1,URI:spiffe://td/a\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature,keyEncipherment\nextendedKeyUsage=serverAuth,clientAuth\n1.3.9999.7.7=DER:0c0141\n").unwrap();
    run(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -subj /O=c/CN=c -days 10",
    );
    run(
        "req -newkey rsa:2048 -nodes -keyout k.key -out k.csr -multivalue-rdn -utf8 -subj /O=role-a+O=role-b/CN=ünï/title=cluster",
    );
    run("x509 -req -in k.csr -CA ca.pem -CAkey ca.key -set_serial 0x00ab01 -days 1 -extfile ext -out k.pem");
    let read = |name: &str| Certificate::from_pem(&std::fs::read_to_string(dir.path().join(name)).unwrap()).unwrap();
    (read("k.pem"), read("ca.pem"))
}

#[test]
fn a_certificate_of_openssl_is_read_whole() {
    let (leaf, ca) = specimen();
    let values: Vec<&str> = leaf.subject().iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(values, ["role-a", "role-b", "ünï", "cluster"]);
    assert_eq!(leaf.subject()[3].0, "2.5.4.12");
    assert_eq!((leaf.common_name(), leaf.serial_hex().as_str()), (Some("ünï"), "ab01"));
    assert_eq!(leaf.dns_names(), ["a.example", "*.b.example"]);
    assert_eq!(leaf.ip_addresses().iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.1.2.3", "::1"]);
    assert_eq!(leaf.uris(), ["spiffe://td/a"]);
    assert!(!leaf.is_ca() && ca.is_ca() && leaf.is_critical("2.5.29.19"));
    assert_eq!(leaf.key_usage(), Some(KeyUsage::DIGITAL_SIGNATURE.and(KeyUsage::KEY_ENCIPHERMENT)));
    assert_eq!(leaf.extended_key_usage(), ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
    assert_eq!(leaf.extension("1.3.9999.7.7"), Some(&b"\x0c\x01A"[..]));
    assert_eq!(leaf.issuer(), ca.subject());
    assert_eq!(Certificate::from_pem(&leaf.to_pem()).unwrap(), leaf);
    assert!(leaf.is_valid_at(leaf.not_before()) && leaf.is_valid_at(leaf.not_after()));
    assert!(!leaf.is_valid_at(leaf.not_after() + std::time::Duration::from_secs(1)));

    leaf.verify_signed_by(&ca).unwrap();
    ca.verify_signed_by(&ca).unwrap();
    assert!(ca.verify_signed_by(&leaf).is_err());
    let mut changed = leaf.der().to_vec();
    let at = changed.windows(6).position(|window| window == b"role-a").unwrap();
    changed[at + 5] = b'x';
    assert!(Certificate::from_der(&changed).unwrap().verify_signed_by(&ca).is_err());
}

#[test]
fn what_is_no_certificate_is_refused() {
    let (leaf, _) = specimen();
    assert_eq!(Certificate::from_pem("nothing").unwrap_err(), Error::Missing);
    assert!(Certificate::from_der(&leaf.der()[1..]).is_err());
    assert!(Certificate::from_der(&[leaf.der(), b"\0"].concat()).is_err());
    assert!(Certificate::from_der(&vec![0x30; 100_000]).is_err());
    let two = format!("text\n{}more\n{}", leaf.to_pem(), leaf.to_pem());
    assert_eq!(Certificate::many_from_pem(&two).unwrap().len(), 2);
}

#[test]
fn changed_certificates_never_panic() {
    let (leaf, ca) = specimen();
    for at in 0..leaf.der().len() {
        for to in [0x00, 0x01, 0x30, 0x7f, 0x80, 0x84, 0xff] {
            let mut der = leaf.der().to_vec();
            der[at] = to;
            if let Ok(certificate) = Certificate::from_der(&der) {
                let verified = certificate.verify_signed_by(&ca).is_ok();
                assert!(!verified || certificate.signed_bytes() == leaf.signed_bytes());
            }
        }
    }
}

proptest! {
    #[test]
    fn hostile_bytes_are_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Certificate::from_der(&bytes);
        let _ = Body::from_der(&bytes);
        let _ = Certificate::from_pem(&String::from_utf8_lossy(&bytes));
        let mut reader = crate::asn1::Reader::new(&bytes);
        while reader.any().is_ok() {}
    }

    #[test]
    fn lengths_read_back(length in 0_usize..70_000) {
        let encoded = crate::asn1::value(4, &vec![7; length]);
        let mut reader = crate::asn1::Reader::new(&encoded);
        prop_assert_eq!(reader.expect(4).unwrap().len(), length);
        prop_assert!(reader.finish().is_ok());
    }
}
