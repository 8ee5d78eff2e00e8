//! What answers on an address that was given to us: a daemon, or anything else.

use dind_init::net::http::{Head, MAX_BODY, MAX_HEAD, message};

use super::shape;

/// So many characters are shown, each escaped at the most, and that there are others.
const SHOWN: usize = 200 * r"\u{10ffff}".len() + 40;

/// The bytes of an answer.
pub fn check(bytes: &[u8]) {
    let whole = Head::parse(bytes);
    if let Ok(Some(head)) = &whole {
        assert!(head.length <= bytes.len());
        for text in [&head.server, &head.api_version].into_iter().flatten() {
            shape::said(text, SHOWN);
        }
        shape::said(&head.engine(), 3 * SHOWN);
        let body = &bytes[head.length..];
        shape::said(&message(&body[..body.len().min(MAX_BODY)]), SHOWN);
    }
    assert!(whole != Ok(None) || bytes.len() < MAX_HEAD, "the end comes");
    shape::said(&message(bytes), SHOWN);
    // However the answer is cut, the same comes out of it, and an error stays one.
    let step = 1 + bytes.len() / 64;
    for length in (0..bytes.len()).step_by(step) {
        match Head::parse(&bytes[..length]) {
            Ok(None) => {}
            early => assert_eq!(early, whole, "{length}"),
        }
    }
}
