//! A datagram on the notify socket.

use dind_init::supervise::notify::parse;

use super::shape;

/// The bytes of a datagram.
pub fn check(bytes: &[u8]) {
    let notices = shape::lines(bytes, parse);
    assert!(notices.len() <= bytes.len() / 7, "READY=1 is the shortest");
    let twice = [bytes, b"\n", bytes].concat();
    assert_eq!(parse(&twice).len(), 2 * notices.len());
}
