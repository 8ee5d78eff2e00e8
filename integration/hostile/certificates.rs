//! Certificates in a directory that strangers may write.

use crate::lab::Lab;
use crate::scene::{Scene, answers_or_ends, works, works_stops_and_works_again};

/// The neighbour's own authority, with a key that everybody may read, and a client of it.
const AUTHORITY: &str = "
    mkdir -p ca mine
    openssl ecparam -name prime256v1 -genkey -noout -out ca/key.pem
    openssl req -x509 -new -key ca/key.pem -days 3650 -subj '/CN=a neighbour' -out ca/cert.pem \
        -addext 'keyUsage=critical,keyCertSign,cRLSign' 2>/dev/null
    chmod 0644 ca/key.pem
    cp ca/key.pem mine/ca-key.pem
    openssl ecparam -name prime256v1 -genkey -noout -out mine/key.pem
    openssl req -new -key mine/key.pem -subj '/CN=mine' -out mine/request.pem
    printf 'extendedKeyUsage=clientAuth\\n' >mine/extensions
    openssl x509 -req -in mine/request.pem -CA ca/cert.pem -CAkey ca/key.pem -days 365 \
        -CAcreateserial -extfile mine/extensions -out mine/cert.pem 2>/dev/null";

#[test]
fn a_key_of_a_strangers_authority_is_warned_of() {
    let Some(lab) = Lab::find() else { return };
    let scene = Scene::new(lab);
    scene.attack(AUTHORITY);
    let dind = scene
        .dind("/certs")
        .env("DOCKER_TLS_CERTDIR=/certs")
        .start();
    works(&dind);
    let log = dind.log().stderr;
    let warned = log
        .lines()
        .any(|line| line.contains("level=warning") && line.contains("ca/key.pem"));
    assert!(warned, "{log}");
    assert_eq!(dind.stop(), "0");
}

#[test]
fn a_key_of_a_strangers_authority_is_refused_when_that_is_asked_for() {
    let Some(lab) = Lab::find() else { return };
    let scene = Scene::new(lab);
    scene.attack(AUTHORITY);
    let (_dind, output) = scene
        .dind("/certs")
        .env("DOCKER_TLS_CERTDIR=/certs")
        .env("DIND_TLS_UNTRUSTED=refuse")
        .run_to_end();
    output.assert_refused("/certs");
    assert!(output.stderr.contains("ca/key.pem"), "{output}");
    // Ours passes where only we write, after a restart, too.
    let dind = lab
        .dind()
        .env("DOCKER_TLS_CERTDIR=/certs")
        .env("DIND_TLS_UNTRUSTED=refuse")
        .start();
    works_stops_and_works_again(&dind);
}

/// A key is written nowhere but below the directory that was named.
#[test]
fn a_folder_of_certificates_that_leads_elsewhere_is_not_followed() {
    let Some(lab) = Lab::find() else { return };
    for name in ["server", "client", "ca"] {
        for target in ["/outside/tree", "/outside/nothing"] {
            let scene = Scene::new(lab);
            scene.attack(&format!("ln -s {target} {name}"));
            let dind = scene
                .dind("/certs")
                .env("DOCKER_TLS_CERTDIR=/certs")
                .create();
            dind.start();
            if !answers_or_ends(&dind) {
                let log = dind.log();
                let told = log.stderr.contains("error: ") && log.stderr.contains("/certs");
                assert!(told, "{log}");
            }
            scene.assert_nothing_outside_changed();
        }
    }
}
