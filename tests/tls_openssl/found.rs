//! Volumes that openssl made, and material that is the user's own.

use std::fs;

use dind_init::base::explain::Explain;
use dind_init::tls::Item;
use time::{Duration, OffsetDateTime};

use super::{KEY_USAGE, Volume};

#[test]
fn a_volume_of_the_shell_entrypoint_is_used_as_it_is() {
    let Some(volume) = Volume::new() else { return };
    volume.made_by_openssl(KEY_USAGE);
    let outcome = volume.apply();
    assert_eq!(outcome.written, [], "{}", outcome.plan);
    assert!(
        outcome.plan.to_string().contains("RSA 2048"),
        "{}",
        outcome.plan
    );
}

#[test]
fn an_old_volume_satisfies_strict_verifiers_after_one_start() {
    let Some(volume) = Volume::new() else { return };
    volume.made_by_openssl("");
    fs::copy(volume.path("client/cert.pem"), volume.path("old.pem")).unwrap();
    assert_eq!(volume.apply().written.len(), 5);
    volume.verify_all("-x509_strict");
    volume.openssl("verify -CAfile ca/cert.pem -purpose sslclient old.pem");
    assert_eq!(volume.apply().written, []);
}

#[test]
fn a_pkcs1_authority_of_4096_bits_signs_for_rsa_and_sec1_keys() {
    let Some(volume) = Volume::new() else { return };
    // openssl 1.1 wrote this form of its own accord, version 3 does with -traditional.
    for (folder, command) in [
        ("ca", "genrsa -traditional -out ca/key.pem 4096"),
        ("server", "genrsa -traditional -out server/key.pem 2048"),
        (
            "client",
            "ecparam -name prime256v1 -genkey -out client/key.pem",
        ),
    ] {
        fs::create_dir(volume.path(folder)).unwrap();
        volume.openssl(command);
    }
    volume.openssl(&format!(
        "req -new -x509 -key ca/key.pem -days 825 -subj '/O=Company/O=Docker/CN=ca' {KEY_USAGE} \
         -out ca/cert.pem"
    ));
    let keys = [Item::CaKey, Item::ServerKey, Item::ClientKey];
    let before = keys.map(|item| volume.read(item));
    assert!(before[0].contains("BEGIN RSA PRIVATE KEY") && before[2].contains("BEGIN EC PRIVATE"));
    let outcome = volume.apply();
    assert_eq!(keys.map(|item| volume.read(item)), before);
    let plan = outcome.plan.to_string();
    assert!(plan.contains("CA kept (RSA 4096)"), "{plan}");
    assert!(
        plan.contains("RSA 2048 (key kept)") && plan.contains("EC P-256 (key kept)"),
        "{plan}"
    );
    volume.verify_all("-x509_strict");
    let server = volume.openssl("x509 -noout -text -in server/cert.pem");
    assert!(
        server.contains("Digital Signature, Key Encipherment"),
        "{server}"
    );
    assert!(server.contains("sha256WithRSAEncryption"), "{server}");
    // Two years later, its name has two attributes of one kind still.
    let later = OffsetDateTime::now_utc() + Duration::days(700);
    volume.apply_at(later).unwrap();
    volume.verify_all(&format!("-attime {}", later.unix_timestamp()));
    let subject = volume.openssl("x509 -noout -subject -in ca/cert.pem");
    assert!(
        subject.contains("O = Company, O = Docker, CN = ca"),
        "{subject}"
    );
}

/// openssl takes SHA-256 for its own signature, whatever the curve; ours are with SHA-512.
#[test]
fn an_authority_on_p521_signs_and_is_signed_anew() {
    for command in [
        "ecparam -name secp521r1 -genkey -out ca/key.pem", // SEC1 behind its parameters
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp521r1 -out ca/key.pem",
    ] {
        let Some(volume) = Volume::new() else { return };
        fs::create_dir(volume.path("ca")).unwrap();
        volume.openssl(command);
        volume.openssl(&format!(
            "req -new -x509 -key ca/key.pem -days 825 -subj /CN=mine {KEY_USAGE} -out ca/cert.pem"
        ));
        let plan = volume.apply().plan.to_string();
        assert!(plan.contains("CA kept (EC P-521)"), "{plan}");
        volume.verify_all("-x509_strict");
        let server = volume.openssl("x509 -noout -text -in server/cert.pem");
        assert!(server.contains("ecdsa-with-SHA512"), "{server}");
        assert_eq!(volume.apply().written, []);
        let later = OffsetDateTime::now_utc() + Duration::days(700);
        let plan = volume.apply_at(later).unwrap().plan.to_string();
        assert!(plan.contains("CA re-signed (EC P-521)"), "{plan}");
        volume.verify_all(&format!("-attime {} -x509_strict", later.unix_timestamp()));
        fs::remove_file(volume.path("ca/cert.pem")).unwrap();
        volume.apply_at(later).unwrap();
        volume.verify_all(&format!("-attime {} -x509_strict", later.unix_timestamp()));
    }
}

#[test]
fn old_and_new_ends_understand_each_other_when_the_authority_was_signed_anew() {
    let Some(volume) = Volume::new() else { return };
    volume.made_by_openssl(KEY_USAGE);
    for file in ["ca/cert.pem", "client/cert.pem"] {
        fs::copy(volume.path(file), volume.path(&file.replace('/', "-"))).unwrap();
    }
    let later = OffsetDateTime::now_utc() + Duration::days(600);
    let outcome = volume.apply_at(later).unwrap();
    assert_eq!(outcome.written.len(), 5, "{}", outcome.plan);
    assert!(
        outcome.plan.to_string().contains("CA re-signed (RSA 2048)"),
        "{}",
        outcome.plan
    );
    let at = format!("-attime {}", later.unix_timestamp());
    volume.verify_all(&format!("{at} -x509_strict"));
    volume.openssl(&format!(
        "verify {at} -CAfile ca/cert.pem -purpose sslclient client-cert.pem"
    ));
    volume.openssl(&format!(
        "verify {at} -CAfile ca-cert.pem -purpose sslserver server/cert.pem"
    ));
    let id =
        |file: &str| volume.openssl(&format!("x509 -noout -ext subjectKeyIdentifier -in {file}"));
    assert_eq!(id("ca/cert.pem"), id("ca-cert.pem"));
}

#[test]
fn a_users_chain_is_verified_and_never_written() {
    let Some(volume) = Volume::new() else { return };
    volume.made_by_openssl(KEY_USAGE);
    fs::remove_file(volume.path("ca/key.pem")).unwrap();
    let server = [Item::ServerCa, Item::ServerKey, Item::ServerCertificate];
    let before = server.map(|item| volume.read(item));
    let outcome = volume.apply();
    assert!(outcome.written.is_empty() && !volume.path("ca/key.pem").exists());
    let line = format!("{}: OK", volume.path("server/cert.pem").display());
    assert_eq!(outcome.verified(), [line]);
    assert_eq!(server.map(|item| volume.read(item)), before);
    // A foreign authority of the same name.
    volume.openssl(
        "req -new -x509 -newkey rsa:2048 -nodes -keyout other.pem -subj '/CN=docker:dind CA' \
         -out server/ca.pem",
    );
    let error = volume.apply_at(OffsetDateTime::now_utc()).unwrap_err();
    assert!(error.to_string().contains("verification failed"), "{error}");
    assert_eq!(error.exit_code(), 78);
}

#[test]
fn leaf_keys_of_any_kind_get_certificates() {
    let Some(volume) = Volume::new() else { return };
    fs::create_dir(volume.path("server")).unwrap();
    fs::create_dir(volume.path("client")).unwrap();
    volume.openssl("ecparam -name secp521r1 -genkey -noout -out server/key.pem");
    // More bits than our library would sign with: an old typo of the official image.
    volume.openssl("genrsa -out client/key.pem 4196");
    let plan = volume.apply().plan.to_string();
    assert!(
        plan.contains("EC P-521 (key kept)") && plan.contains("RSA 4196 (key kept)"),
        "{plan}"
    );
    volume.verify_all("-x509_strict");
    for end in ["server", "client"] {
        let of_key = volume.openssl(&format!("pkey -in {end}/key.pem -pubout"));
        let certified = volume.openssl(&format!("x509 -in {end}/cert.pem -pubkey -noout"));
        assert_eq!(of_key, certified, "{end}");
    }
    assert_eq!(volume.apply().written, []);
}

#[test]
fn an_authority_key_that_cannot_sign_here_still_serves_what_it_signed() {
    let Some(volume) = Volume::new() else { return };
    volume.made_by_openssl(KEY_USAGE);
    volume.openssl("genrsa -out ca/key.pem 4196");
    volume.openssl(&format!(
        "req -new -x509 -key ca/key.pem -days 825 -subj '/CN=docker:dind CA' {KEY_USAGE} \
         -out ca/cert.pem"
    ));
    volume.sign_leaves();
    assert_eq!(volume.apply().written, []);
    // dockerd does without a client's certificate, and not without its own.
    fs::remove_file(volume.path("client/cert.pem")).unwrap();
    let outcome = volume.apply();
    assert!(
        outcome.written.is_empty() && outcome.plan.notes.len() == 1,
        "{}",
        outcome.plan
    );
    fs::remove_file(volume.path("server/cert.pem")).unwrap();
    let error = volume.apply_at(OffsetDateTime::now_utc()).unwrap_err();
    assert!(error.to_string().contains("server/cert.pem"), "{error}");
    assert!(
        error.why().contains("RSA 4196") && error.exit_code() == 78,
        "{}",
        error.why()
    );
}

#[test]
fn encrypted_keys_of_both_kinds_are_refused_and_kept() {
    let Some(volume) = Volume::new() else { return };
    fs::create_dir_all(volume.path("ca")).unwrap();
    for command in [
        "genpkey -algorithm RSA -aes256 -pass pass:secret -out ca/key.pem",
        "genrsa -traditional -aes256 -passout pass:secret -out ca/key.pem 2048",
    ] {
        volume.openssl(command);
        let before = volume.read(Item::CaKey);
        let error = volume.apply_at(OffsetDateTime::now_utc()).unwrap_err();
        assert!(error.why().contains("encrypted"), "{}", error.why());
        assert!(error.to_string().contains("ca/key.pem"), "{error}");
        assert_eq!(volume.read(Item::CaKey), before);
    }
}

#[test]
fn odd_but_legal_keys_of_a_user_do_not_stop_the_start() {
    let Some(volume) = Volume::new() else { return };
    fs::create_dir(volume.path("server")).unwrap();
    for curve in ["secp224r1", "secp384r1", "secp521r1"] {
        volume.openssl(&format!("ecparam -name {curve} -genkey -noout -out ca.key"));
        volume.openssl("req -new -x509 -key ca.key -days 30 -subj '/CN=own' -out server/ca.pem");
        volume.openssl("genpkey -algorithm ED25519 -out server/key.pem");
        volume.openssl("req -new -key server/key.pem -subj '/CN=daemon' -out csr.pem");
        volume.openssl(
            "x509 -req -in csr.pem -CA server/ca.pem -CAkey ca.key -CAcreateserial -days 20 \
             -out server/cert.pem",
        );
        let outcome = volume.apply();
        let unknown = outcome
            .plan
            .notes
            .iter()
            .any(|note| note.contains("not checked here"));
        assert_eq!(unknown, curve == "secp224r1", "{}", outcome.plan);
    }
}

/// "Cannot check" is neither yes nor no.
#[test]
fn a_complete_set_of_a_ca_that_cannot_be_checked_is_used_and_what_is_missing_is_named() {
    for key in [
        "ec -pkeyopt ec_paramgen_curve:secp224r1",
        "ec -pkeyopt ec_paramgen_curve:secp256k1",
        "rsa:1024",
    ] {
        let Some(volume) = Volume::new() else { return };
        for folder in ["ca", "server", "client"] {
            fs::create_dir(volume.path(folder)).unwrap();
        }
        volume.openssl(&format!(
            "req -x509 -newkey {key} -nodes -keyout ca/key.pem -out ca/cert.pem -days 800 \
             -subj /CN=mine {KEY_USAGE}"
        ));
        let refusal = volume.apply_at(OffsetDateTime::now_utc());
        if key.starts_with("ec") {
            let refusal = refusal.unwrap_err();
            assert!(refusal.to_string().contains("refused") || !refusal.fix().is_empty());
            assert!(
                refusal.fix().contains("server/cert.pem"),
                "{}",
                refusal.fix()
            );
        }
        for end in ["server", "client"] {
            let purpose = format!("{end}Auth");
            fs::copy(
                volume.path("ca/cert.pem"),
                volume.path(&format!("{end}/ca.pem")),
            )
            .unwrap();
            volume.openssl(&format!(
                "req -newkey rsa:2048 -nodes -keyout {end}/key.pem -out {end}.csr -subj /CN={end}"
            ));
            let extensions = format!(
                "subjectAltName=DNS:docker,DNS:localhost,DNS:runner,DNS:dind,IP:192.0.2.7,IP:::1\n\
                 extendedKeyUsage={purpose}\nkeyUsage=digitalSignature\n"
            );
            fs::write(volume.path("ext"), extensions).unwrap();
            volume.openssl(&format!(
                "x509 -req -in {end}.csr -CA ca/cert.pem -CAkey ca/key.pem -days 700 \
                 -extfile ext -out {end}/cert.pem"
            ));
            // Only the server's set is there at first.
            if end == "server" && key.starts_with("ec") {
                let outcome = volume.apply();
                let plan = outcome.plan.to_string();
                assert!(plan.contains("client/cert.pem cannot be made"), "{plan}");
                assert_eq!(outcome.verified().len(), 1);
            }
        }
        let outcome = volume.apply();
        assert_eq!(outcome.written, [], "{key}: {}", outcome.plan);
        let plan = outcome.plan.to_string();
        assert!(plan.contains("that is not checked here"), "{key}: {plan}");
    }
}
