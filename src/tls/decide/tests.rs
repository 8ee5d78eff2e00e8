use expect_test::{Expect, expect};
use time::Duration;

use super::*;
use crate::base::explain::Explain;
use crate::tls::CertificatePlan;
use crate::tls::fixtures::{
    Authority as TestCa, NOW, carried_out, complete, names, params, request,
};

fn plan(material: &Material, now: OffsetDateTime) -> TlsPlan {
    decide(&request(""), &names(), material, now).unwrap()
}

fn shows(material: &Material, now: OffsetDateTime, expected: &Expect) {
    expected.assert_eq(&(plan(material, now).to_string() + "\n"));
}

fn refusal(material: &Material) -> TlsRefusal {
    decide(&request(""), &names(), material, NOW).unwrap_err()
}

fn days(days: i64) -> OffsetDateTime {
    NOW + Duration::days(days)
}

/// Everything but the authority: as a user mounts it.
fn users(pem: impl AsRef<str>, key: &rcgen::KeyPair, ca: &str) -> Material {
    Material::default()
        .put(Item::ServerCertificate, pem.as_ref())
        .put(Item::ServerKey, key.serialize_pem())
        .put(Item::ServerCa, ca)
}

#[test]
fn nothing_yet_means_three_new_sets() {
    shows(
        &Material::default(),
        NOW,
        &expect![[r#"
            issue ca: EC P-256, CN=docker:dind CA, 825 days: there is none yet
            copy  server/ca.pem from ca/cert.pem: there is none yet
            issue server: EC P-256, CN=docker:dind server, SAN docker localhost runner 172.17.0.2, 825 days, CA new (EC P-256): there is none yet
            copy  client/ca.pem from ca/cert.pem: there is none yet
            issue client: EC P-256, CN=docker:dind client, 825 days, CA new (EC P-256): there is none yet
        "#]],
    );
}

#[test]
fn what_is_complete_is_kept() {
    let material = complete(NOW);
    shows(
        &material,
        days(1),
        &expect![[r#"
            keep  ca: EC P-256, CN=docker:dind CA, 823 days left
            keep  server: EC P-256, CN=docker:dind server, 823 days left
            keep  client: EC P-256, CN=docker:dind client, 823 days left
        "#]],
    );
    // Read-only and complete is as good.
    assert!(plan(&material.read_only(), days(1)).is_settled());
}

#[test]
fn empty_files_count_as_missing() {
    let material = Item::ALL
        .into_iter()
        .fold(Material::default(), |m, item| m.put(item, ""));
    assert_eq!(plan(&material, NOW).writes(), Item::ALL);
}

#[test]
fn a_new_address_costs_the_server_certificate_only() {
    let mut names = names();
    names.addresses.push("fe80::1".parse().unwrap());
    let material = complete(NOW);
    let plan = decide(&request(""), &names, &material, NOW).unwrap();
    assert_eq!(plan.writes(), [Item::ServerCertificate]);
    assert!(plan.to_string().contains("it lacks fe80::1"), "{plan}");
    let after = carried_out(&plan, &material);
    assert!(
        decide(&request(""), &names, &after, NOW)
            .unwrap()
            .is_settled()
    );
    // A name that went away is no reason: running clients may use it.
    assert!(
        decide(&request(""), &self::names(), &after, NOW)
            .unwrap()
            .is_settled()
    );
}

#[test]
fn a_read_only_volume_lacking_an_address_is_used_but_not_one_lacking_a_wish() {
    let material = complete(NOW).read_only();
    let mut names = names();
    names.addresses.push("10.1.2.3".parse().unwrap());
    let plan = decide(&request(""), &names, &material, NOW).unwrap();
    assert!(plan.is_settled());
    expect![[r#"["server/cert.pem is kept, although it lacks 10.1.2.3: Read-only file system"]"#]]
        .assert_eq(&format!("{:?}", plan.notes));
    let refused = decide(&request("dind"), &names, &material, NOW).unwrap_err();
    assert!(
        refused.why().contains("lacks dind of DOCKER_TLS_SAN"),
        "{}",
        refused.why()
    );
}

#[test]
fn in_the_last_third_everything_is_signed_anew_with_the_same_keys() {
    let material = complete(NOW);
    assert!(plan(&material, days(549)).is_settled());
    let late = plan(&material, days(551));
    let certificates = [Item::CaKey, Item::ServerKey, Item::ClientKey];
    let expected: Vec<Item> = Item::ALL
        .into_iter()
        .filter(|item| !certificates.contains(item))
        .collect();
    assert_eq!(late.writes(), expected);
    let after = carried_out(&late, &material);
    assert!(plan(&after, days(551)).is_settled());
    // On a read-only volume it can wait.
    let waits = plan(&material.clone().read_only(), days(551));
    assert!(waits.is_settled() && waits.notes.len() == 1, "{waits}");
    // Until it cannot.
    let ended = decide(&request(""), &names(), &material.read_only(), days(900)).unwrap_err();
    assert!(matches!(ended, TlsRefusal::NotWritable { .. }), "{ended:?}");
}

#[test]
fn expired_certificates_are_issued_anew() {
    let material = complete(NOW);
    let plan = plan(&material, days(900));
    assert!(plan.to_string().contains("expired on"), "{plan}");
    assert_eq!(plan.writes().len(), 5);
}

#[test]
fn a_leaf_never_outlives_its_authority() {
    let material = complete(NOW).without(Item::ClientCertificate);
    let plan = plan(&material, days(300));
    let Owner::Us(managed) = &plan.owner else {
        panic!("{plan}")
    };
    let CertificatePlan::Issue(issue) = &managed.client.certificate else {
        panic!("{plan}")
    };
    let ca = Certificate::first_from(material.ca.certificate.content.bytes().unwrap()).unwrap();
    assert_eq!(issue.not_after, ca.not_after);
}

#[test]
fn each_fault_of_a_leaf_is_named() {
    let good = complete(NOW);
    let other = complete(NOW);
    let bytes = |item: Item| other.file(item).content.bytes().unwrap();
    let client = good.client.certificate.content.bytes().unwrap();
    let cases = [
        (
            good.clone().without(Item::ServerCertificate),
            "there is none yet",
        ),
        (
            good.clone().put(Item::ServerCertificate, "\0\0\0\0"),
            "cannot be read as a certificate",
        ),
        (
            good.clone().put(Item::ServerKey, bytes(Item::ServerKey)),
            "it belongs to another key",
        ),
        (good.clone().without(Item::ServerKey), "its key is new"),
        (
            good.clone()
                .put(Item::ServerCertificate, bytes(Item::ServerCertificate)),
            "it was not signed by the CA",
        ),
    ];
    for (material, because) in cases {
        let plan = plan(&material, NOW);
        assert!(plan.writes().contains(&Item::ServerCertificate), "{plan}");
        assert!(plan.to_string().contains(because), "{because}: {plan}");
        assert!(
            plan.writes()
                .iter()
                .all(|item| item.folder() == Item::ServerKey.folder())
        );
        assert!(self::plan(&carried_out(&plan, &material), NOW).is_settled());
    }
    // A client certificate in the server's place is none of ours there.
    let swapped = good.clone().put(Item::ServerCertificate, client);
    assert!(matches!(
        refusal(&swapped),
        TlsRefusal::ForeignCertificate { .. }
    ));
}

#[test]
fn copies_of_the_authority_follow_it() {
    let good = complete(NOW);
    let other = complete(NOW);
    let foreign = other.ca.certificate.content.bytes().unwrap();
    for (bytes, because) in [
        (foreign.to_vec(), "it belongs to another key"),
        (b"x".to_vec(), "cannot be read"),
        (
            [good.ca.certificate.content.bytes().unwrap(), b"\n"].concat(),
            "differs",
        ),
    ] {
        let material = good.clone().put(Item::ClientCa, bytes);
        let plan = plan(&material, NOW);
        assert_eq!(plan.writes(), [Item::ClientCa]);
        assert!(plan.to_string().contains(because), "{plan}");
    }
}

#[test]
fn a_key_of_no_use_is_refused_and_names_its_file() {
    for item in [Item::CaKey, Item::ServerKey, Item::ClientKey] {
        let refused = refusal(&complete(NOW).put(item, "rubbish"));
        assert!(matches!(refused, TlsRefusal::BadKey { .. }), "{refused:?}");
        assert!(refused.to_string().contains(item.path()), "{refused}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused() {
    for item in Item::ALL {
        let refused = refusal(&complete(NOW).unreadable(item));
        assert!(
            matches!(refused, TlsRefusal::Unreadable { .. }),
            "{item:?}: {refused:?}"
        );
        assert!(refused.to_string().contains(item.path()));
    }
}

#[test]
fn a_users_certificate_is_kept_while_it_works_and_never_replaced() {
    let ca = TestCa::new("docker:dind CA");
    let key = rcgen::KeyPair::generate().unwrap();
    let mut own = params("my daemon");
    own.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let base = Material::default()
        .put(Item::CaKey, ca.key.serialize_pem())
        .put(Item::CaCertificate, ca.pem.as_str())
        .put(Item::ServerKey, key.serialize_pem());
    let works = base
        .clone()
        .put(Item::ServerCertificate, ca.sign(&own, &key));
    let plan = plan(&works, NOW);
    assert!(!plan.writes().contains(&Item::ServerCertificate), "{plan}");
    assert!(
        plan.notes[0].contains("CN=my daemon) is yours and is kept"),
        "{plan}"
    );
    let fails = base.put(Item::ServerCertificate, TestCa::new("x").sign(&own, &key));
    let refused = refusal(&fails);
    assert!(
        matches!(refused, TlsRefusal::ForeignCertificate { .. }),
        "{refused:?}"
    );
}

#[test]
fn a_complete_set_without_an_authority_is_only_verified() {
    let ca = TestCa::new("my CA");
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = ca.sign(&params("my daemon"), &key);
    let material = users(pem, &key, &ca.pem);
    let expected = expect![[r#"
        keep  server: yours, CN=my daemon, 824 days left, verified; nothing is written
    "#]];
    shows(&material, NOW, &expected);
    shows(
        &material.clone().put(Item::CaKey, "").read_only(),
        NOW,
        &expected,
    );
    let plan = decide(&request("dind"), &names(), &material, NOW).unwrap();
    assert!(
        plan.notes[0].contains("it lacks dind of DOCKER_TLS_SAN"),
        "{plan}"
    );
}

#[test]
fn a_users_set_that_does_not_hold_is_refused() {
    let ca = TestCa::new("my CA");
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = ca.sign(&params("my daemon"), &key);
    let mut old = params("my daemon");
    old.not_after = NOW - Duration::SECOND;
    let mut early = params("my daemon");
    early.not_before = NOW + Duration::SECOND;
    let other_key = rcgen::KeyPair::generate().unwrap();
    let foreign = TestCa::new("foreign CA").pem;
    let cases = [
        (users(&pem, &key, &foreign), "issuer: CN=my CA"),
        (users(ca.sign(&old, &key), &key, &ca.pem), "expired on"),
        (
            users(ca.sign(&early, &key), &key, &ca.pem),
            "not valid before",
        ),
        (
            users(&pem, &other_key, &ca.pem),
            "does not belong to server/key.pem",
        ),
        (users("rubbish", &key, &ca.pem), "no PEM certificate"),
        (users(&pem, &key, "rubbish"), "no PEM certificate"),
    ];
    for (material, reason) in cases {
        let refused = refusal(&material);
        assert!(
            refused.to_string().contains("verification failed"),
            "{refused}"
        );
        assert!(
            refused.why().contains(reason),
            "{reason}: {}",
            refused.why()
        );
    }
    let bad = users(&pem, &key, &ca.pem).put(Item::ServerKey, "rubbish");
    assert!(matches!(refusal(&bad), TlsRefusal::BadKey { .. }));
}

/// docker0 is there when a container is started again in a network namespace that has survived.
#[test]
fn addresses_of_networks_inside_are_carried_and_not_missed() {
    let inside = Names {
        welcome: vec!["172.17.0.1".parse().unwrap(), "fe80::1".parse().unwrap()],
        ..names()
    };
    let kept = decide(&request(""), &inside, &complete(NOW), NOW).unwrap();
    assert!(kept.is_settled(), "{kept}");
    let new = decide(&request(""), &inside, &Material::default(), NOW).unwrap();
    assert!(new.to_string().contains("172.17.0.1"), "{new}");
    // A name of ours in the network around us is missed.
    let mut called = names();
    called.dns.push("dind".into());
    let due = decide(&request(""), &called, &complete(NOW), NOW).unwrap();
    assert_eq!(due.writes(), [Item::ServerCertificate]);
    assert!(due.changes()[0].ends_with(": it lacks dind"), "{due}");
}

#[test]
fn names_that_were_skipped_are_notes() {
    let plan = decide(&request("a,b@d"), &names(), &Material::default(), NOW).unwrap();
    assert!(
        plan.notes.len() == 1 && plan.notes[0].contains("b@d"),
        "{plan}"
    );
}

#[test]
fn a_ca_of_a_stranger_is_said_or_refused() {
    let mut material = complete(NOW);
    material.ca.key.stranger = Some(1000);
    let plan = decide(&request(""), &names(), &material, NOW).unwrap();
    assert!(
        plan.notes[0].starts_with("ca/key.pem belongs to uid 1000"),
        "{:?}",
        plan.notes
    );
    let strict = Request {
        untrusted: crate::tls::Untrusted::Refuse,
        ..request("")
    };
    let refused = decide(&strict, &names(), &material, NOW).unwrap_err();
    assert!(
        refused.why().contains("ca/key.pem belongs to uid 1000"),
        "{}",
        refused.why()
    );
    for (file, mode, word) in [
        (Item::CaKey, 0o644, "read"),
        (Item::CaCertificate, 0o666, "written"),
        (Item::ServerCa, 0o664, "written"),
    ] {
        let mut material = complete(NOW);
        match file {
            Item::CaKey => material.ca.key.mode = Some(mode),
            Item::CaCertificate => material.ca.certificate.mode = Some(mode),
            _ => material.server.ca.mode = Some(mode),
        }
        let doubts = material.doubts(false);
        assert!(doubts[0].contains(word) && doubts.len() == 1, "{doubts:?}");
    }
    // Where nothing is there yet, only a refusal asks for a better place.
    let fresh = Material {
        open: vec![crate::tls::FolderId::Ca],
        ..Material::default()
    };
    assert!(
        decide(&request(""), &names(), &fresh, NOW)
            .unwrap()
            .notes
            .is_empty()
    );
    assert!(decide(&strict, &names(), &fresh, NOW).is_err());
    assert!(decide(&strict, &names(), &complete(NOW), NOW).is_ok());
}
