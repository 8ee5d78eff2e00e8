use rcgen::{CertificateParams, DnType, DnValue, KeyPair};
use time::Duration;

use super::*;
use crate::base::explain::Explain;
use crate::tls::certificate::Signature;
use crate::tls::fixtures::{Authority, NOW, carried_out, complete, names, params, request};

fn plan(material: &Material) -> TlsPlan {
    decide(&request(""), &names(), material, NOW).unwrap()
}

fn with_ca(ca: &Authority) -> Material {
    Material::default()
        .put(Item::CaKey, ca.key.serialize_pem())
        .put(Item::CaCertificate, ca.pem.as_str())
}

fn certificate(material: &Material, item: Item) -> Certificate {
    Certificate::first_from(material.file(item).content.bytes().unwrap()).unwrap()
}

fn ending(mut params: CertificateParams, left: Duration) -> CertificateParams {
    params.not_after = NOW + left;
    params.not_before = params.not_after - Duration::days(825);
    params
}

#[test]
fn a_good_authority_is_kept_whatever_its_name() {
    let ca = Authority::new("Company CA");
    let material = with_ca(&ca);
    let plan = plan(&material);
    assert!(!plan.writes().contains(&Item::CaCertificate), "{plan}");
    let after = carried_out(&plan, &material);
    assert_eq!(after.server.ca.content.bytes(), Some(ca.pem.as_bytes()));
    let server = certificate(&after, Item::ServerCertificate);
    assert_eq!(server.issuer, "CN=Company CA");
    assert_eq!(server.signed_by(&ca.public()), Signature::Good);
}

#[test]
fn an_authority_signed_anew_keeps_its_name_key_and_identifier() {
    // A name that the library itself would not repeat: two attributes of one kind would be one,
    // and the string type would change.
    let mut unusual = ending(params("Company CA"), Duration::days(-1));
    let old = DnValue::PrintableString("Old Company".try_into().unwrap());
    unusual
        .distinguished_name
        .push(DnType::OrganizationName, old);
    let ca = Authority::with(unusual);
    let material = with_ca(&ca);
    let before = certificate(&material, Item::CaCertificate);
    let plan = plan(&material);
    assert!(
        plan.to_string().contains("issue ca: EC P-256 (key kept)"),
        "{plan}"
    );
    let after = certificate(&carried_out(&plan, &material), Item::CaCertificate);
    assert_eq!(after.subject_der, before.subject_der);
    assert_eq!(after.issuer_der, before.subject_der);
    assert_eq!(after.key_id, before.key_id);
    assert_eq!(after.public, before.public);
    assert_eq!(after.signed_by(&ca.public()), Signature::Good);
    assert!(after.authority && after.not_after > before.not_after);
}

#[test]
fn names_with_two_attributes_of_one_kind_survive() {
    let ca = Authority::new("one");
    let name = certificate(&with_ca(&ca), Item::CaCertificate).subject_der;
    let attribute = der_content(&name);
    let double = crate::tls::der::sequence(&[attribute, attribute]);
    let mut plan = plan(&with_ca(&ca).without(Item::CaCertificate));
    let Owner::Us(managed) = &mut plan.owner else {
        panic!("{plan}")
    };
    managed.ca.subject_der.clone_from(&double);
    let after = carried_out(&plan, &with_ca(&ca));
    assert_eq!(certificate(&after, Item::CaCertificate).subject_der, double);
    assert_eq!(
        certificate(&after, Item::ServerCertificate).issuer_der,
        double
    );
}

fn der_content(sequence: &[u8]) -> &[u8] {
    crate::tls::der::content(crate::tls::der::SEQUENCE, sequence).unwrap()
}

#[test]
fn each_fault_of_an_authority_is_named_and_cured_with_the_same_key() {
    let ca = Authority::new("docker:dind CA");
    let other = Authority::new("docker:dind CA");
    let late = Authority::with(ending(params("docker:dind CA"), Duration::days(274)));
    let mut leaf = params("docker:dind CA");
    leaf.is_ca = rcgen::IsCa::NoCa;
    let not_ca = leaf.self_signed(&ca.key).unwrap().pem();
    let mut silent = params("docker:dind CA");
    silent.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let silent = silent.self_signed(&ca.key).unwrap().pem();
    let good = with_ca(&ca);
    let cases = [
        (
            good.clone().without(Item::CaCertificate),
            "there is none yet",
        ),
        (
            good.clone().put(Item::CaCertificate, "rubbish"),
            "cannot be read as a certificate",
        ),
        (
            good.clone().put(Item::CaCertificate, other.pem.as_str()),
            "it belongs to another key",
        ),
        (
            good.clone().put(Item::CaCertificate, not_ca),
            "not the certificate of an authority",
        ),
        (
            good.clone().put(Item::CaCertificate, silent),
            "does not say what its key is for",
        ),
        (with_ca(&late), "only 274 days are left"),
    ];
    for (material, because) in cases {
        let plan = plan(&material);
        assert!(
            plan.lines()[0].starts_with("issue ca: EC P-256 (key kept)"),
            "{plan}"
        );
        assert!(plan.lines()[0].contains(because), "{because}: {plan}");
        let after = carried_out(&plan, &material);
        assert_eq!(after.ca.key, material.ca.key);
        assert!(self::plan(&after).is_settled());
    }
    assert!(!plan(&good).writes().contains(&Item::CaCertificate));
}

#[test]
fn old_clients_stay_valid_when_the_authority_is_signed_anew() {
    let before = complete(NOW);
    let later = NOW + Duration::days(600);
    let plan = decide(&request(""), &names(), &before, later).unwrap();
    let after = carried_out(&plan, &before);
    let anchors = [certificate(&after, Item::CaCertificate)];
    let old = [certificate(&before, Item::ClientCertificate)];
    assert_eq!(chain::verify(&old, &anchors, later), Verdict::Good);
    assert_eq!(
        anchors[0].key_id,
        certificate(&before, Item::CaCertificate).key_id
    );
}

#[test]
fn a_lost_authority_certificate_gets_its_name_from_a_copy() {
    let ca = Authority::new("Company CA");
    let material = with_ca(&ca)
        .put(Item::ClientCa, ca.pem.as_str())
        .without(Item::CaCertificate);
    let after = carried_out(&plan(&material), &material);
    let (old, new) = (
        certificate(&material, Item::ClientCa),
        certificate(&after, Item::ClientCa),
    );
    assert_eq!((new.subject_der, new.key_id), (old.subject_der, old.key_id));
    assert!(new.not_after >= old.not_after);
}

#[test]
fn a_crash_between_authority_and_leaves_is_finished_by_the_next_run() {
    let before = complete(NOW);
    let plan = decide(&request(""), &names(), &before, NOW + Duration::days(900)).unwrap();
    let done = carried_out(&plan, &before);
    let now = NOW + Duration::days(900);
    let mut half = before;
    for item in plan.writes() {
        let next = decide(&request(""), &names(), &half, now).unwrap();
        assert!(
            decide(&request(""), &names(), &carried_out(&next, &half), now)
                .unwrap()
                .is_settled()
        );
        half = half.put(item, done.file(item).content.bytes().unwrap());
    }
    assert!(
        decide(&request(""), &names(), &half, now)
            .unwrap()
            .is_settled()
    );
}

#[test]
fn an_authority_without_key_and_server_files_is_refused() {
    let ca = Authority::new("x");
    let material = with_ca(&ca).without(Item::CaKey).put(Item::ServerKey, "x");
    for key in ["", "absent"] {
        let material = if key.is_empty() {
            material.clone().put(Item::CaKey, "")
        } else {
            material.clone()
        };
        let refused = decide(&request(""), &names(), &material, NOW).unwrap_err();
        assert!(
            matches!(refused, TlsRefusal::CaKeyMissing { .. }),
            "{refused:?}"
        );
        assert!(
            refused.why().ends_with("server/ca.pem, server/cert.pem"),
            "{}",
            refused.why()
        );
    }
}

#[test]
fn an_intermediate_is_used_but_only_its_issuer_can_renew_it() {
    let root = Authority::new("root");
    let key = KeyPair::generate().unwrap();
    let sign = |left: i64| {
        let mut params = ending(params("middle"), Duration::days(left));
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        root.sign(&params, &key)
    };
    let material = |left| {
        Material::default()
            .put(Item::CaKey, key.serialize_pem())
            .put(Item::CaCertificate, sign(left))
    };
    for (left, notes) in [(800, 0), (100, 1)] {
        let material = material(left);
        let plan = plan(&material);
        assert!(!plan.writes().contains(&Item::CaCertificate), "{plan}");
        assert_eq!(plan.notes.len(), notes, "{plan}");
        let after = carried_out(&plan, &material);
        // Issuing again would gain no time, so it is not done again and again.
        assert!(self::plan(&after).is_settled());
    }
    let refused = decide(&request(""), &names(), &material(-1), NOW).unwrap_err();
    assert!(
        matches!(refused, TlsRefusal::ForeignCertificate { .. }),
        "{refused:?}"
    );
}

#[test]
fn a_volume_that_cannot_be_written_is_refused_with_the_missing_files() {
    let refused = decide(
        &request(""),
        &names(),
        &Material::default().read_only(),
        NOW,
    )
    .unwrap_err();
    assert!(
        refused.to_string().contains("/certs/ca/key.pem"),
        "{refused}"
    );
    assert!(
        refused
            .fix()
            .contains("server/ca.pem, server/cert.pem, server/key.pem")
    );
    let mut only_client = complete(NOW).without(Item::ClientCertificate);
    only_client.client.folder = crate::tls::Folder::ReadOnly("EROFS".into());
    let refused = decide(&request(""), &names(), &only_client, NOW).unwrap_err();
    assert!(
        refused.to_string().contains("/certs/client/cert.pem"),
        "{refused}"
    );
}
