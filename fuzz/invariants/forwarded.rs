//! What the forwarder of names takes for a question, and for the answer to it: anybody can send to
//! it, and guess.

use dind_init::forwarder::message::{answers, query};

use super::shape;

/// A question and an answer.
pub fn check(bytes: &[u8]) {
    let [asked, message] = shape::files(bytes);
    let question = query(asked);
    assert_eq!(question.is_some(), asked.len() >= 12 && asked[2] < 0x80);
    if answers(asked, message) {
        assert!(question.is_some(), "nothing was asked");
        assert!(
            query(message).is_none(),
            "an answer is never asked of anybody"
        );
        assert_eq!(asked[..2], message[..2]);
        // What is relayed is the message as it is: only its header counts.
        assert!(answers(&asked[..12], &message[..12]));
        let mut other = message.to_vec();
        other[0] ^= 1;
        assert!(!answers(asked, &other), "a guessed id");
    }
}
