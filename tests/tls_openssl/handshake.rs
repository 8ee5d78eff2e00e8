//! A TLS connection with what we issued at both ends.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use super::Volume;

#[test]
fn both_ends_shake_hands_and_strangers_are_refused() {
    let Some(volume) = Volume::new() else { return };
    let Some(stranger) = Volume::new() else {
        return;
    };
    volume.apply();
    stranger.apply();
    let (client, server) = shake_hands(&volume, volume.0.path());
    assert!(client.contains("Verify return code: 0 (ok)"), "{client}");
    assert!(server.contains("CN = docker:dind client"), "{server}");
    assert!(!server.contains("error"), "{server}");
    let (_, server) = shake_hands(&volume, stranger.0.path());
    assert!(
        server.contains("verify error") && server.contains("ERROR"),
        "{server}"
    );
}

/// One connection to the volume's server with some client's key: the words of both.
fn shake_hands(volume: &Volume, client: &Path) -> (String, String) {
    let mut server = Command::new("openssl")
        .args([
            "s_server",
            "-accept",
            "127.0.0.1:0",
            "-naccept",
            "1",
            "-verify_return_error",
        ])
        .args(["-Verify", "3", "-CAfile", "server/ca.pem"])
        .args(["-cert", "server/cert.pem", "-key", "server/key.pem"])
        .current_dir(volume.0.path())
        // It ends the connection, and itself, when its own input ends.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = server.stdin.take();
    let mut lines = BufReader::new(server.stdout.take().unwrap());
    let port = loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the server ended");
        if let Some(address) = line.trim().strip_prefix("ACCEPT ") {
            break address.rsplit(':').next().unwrap().to_owned();
        }
    };
    let heard = Command::new("openssl")
        .args([
            "s_client",
            "-verify_return_error",
            "-verify_hostname",
            "localhost",
            "-CAfile",
        ])
        .arg(volume.path("client/ca.pem"))
        .args(["-connect", &format!("127.0.0.1:{port}")])
        .args(["-cert", "client/cert.pem", "-key", "client/key.pem"])
        .current_dir(client)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let mut output = String::new();
    lines.read_to_string(&mut output).unwrap();
    server
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut output)
        .unwrap();
    server.wait().unwrap();
    drop(input);
    (String::from_utf8_lossy(&heard.stdout).into_owned(), output)
}
