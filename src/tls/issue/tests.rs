use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::*;
use crate::tls::certificate::Certificate;
use crate::tls::fixtures::{NOW, complete, names, request};
use crate::tls::{Owner, decide};

fn certificate(material: &Material, item: Item) -> Certificate {
    Certificate::first_from(material.file(item).content.bytes().unwrap()).unwrap()
}

fn serial(certificate: &Certificate) -> Vec<u8> {
    X509Certificate::from_der(&certificate.der)
        .unwrap()
        .1
        .raw_serial()
        .to_vec()
}

#[test]
fn certificates_say_what_their_place_needs() {
    let material = complete(NOW);
    let server = certificate(&material, Item::ServerCertificate);
    assert!(server.server && !server.client && !server.authority);
    assert_eq!(server.sans.len(), 4);
    let client = certificate(&material, Item::ClientCertificate);
    assert!(client.client && !client.server && client.sans.is_empty());
    let ca = certificate(&material, Item::CaCertificate);
    assert!(ca.authority && ca.key_id.is_some());
    for issued in [&ca, &server, &client] {
        assert_eq!(issued.not_before, NOW - crate::tls::SKEW);
        assert_eq!(issued.not_after - issued.not_before, crate::tls::LIFE);
    }
}

#[test]
fn serial_numbers_are_random_positive_and_of_one_length() {
    let material = complete(NOW);
    let plan = decide(&request("other"), &names(), &material, NOW).unwrap();
    let again = crate::tls::fixtures::carried_out(&plan, &material);
    let serials: Vec<Vec<u8>> = [&material, &again]
        .iter()
        .map(|material| serial(&certificate(material, Item::ServerCertificate)))
        .collect();
    assert_ne!(
        serials[0], serials[1],
        "same key, same authority, other number"
    );
    assert!(
        serials
            .iter()
            .all(|serial| serial.len() == 16 && serial[0] & 0x80 == 0)
    );
}

#[test]
fn new_files_do_not_show_their_bytes() {
    let nothing = Material::default();
    let plan = decide(&request(""), &names(), &nothing, NOW).unwrap();
    let Owner::Us(managed) = &plan.owner else {
        panic!("{plan}")
    };
    let files = issue(managed, &nothing).unwrap();
    assert_eq!(format!("{:?}", files[0]), "NewFile(ca/key.pem, [redacted])");
    let json = serde_json::to_string(&plan).unwrap();
    assert!(
        json.contains("\"DNS:docker\"") && json.contains("2029-04-"),
        "{json}"
    );
    assert!(!json.contains("PRIVATE"));
}

/// The budget of the start: three keys and three certificates below 5 ms. Unoptimised code and a
/// busy machine get more; the best of many runs counts.
#[test]
fn a_complete_set_takes_less_than_five_milliseconds() {
    let best = (0..20)
        .map(|_| {
            let begin = std::time::Instant::now();
            let material = complete(NOW);
            assert!(material.client.certificate.content.bytes().is_some());
            begin.elapsed()
        })
        .min()
        .unwrap();
    let budget = if cfg!(debug_assertions) { 50 } else { 5 };
    println!("complete set: {best:?}");
    assert!(best.as_millis() < budget, "{best:?}");
}
