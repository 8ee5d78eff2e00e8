//! The value of `DOCKER_TLS_SAN`.

use std::collections::BTreeSet;

use dind_init::base::explain::{Explain, one_line};
use dind_init::tls::{Sans, parse_sans};

use super::shape;

/// A list of names.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match parse_sans(&text) {
        Ok(Sans { good: sans, .. }) => {
            let unique: BTreeSet<_> = sans.iter().collect();
            assert_eq!(unique.len(), sans.len());
            let words = sans.iter().map(|san| {
                shape::said(&san.to_string(), text.len() + 40);
                let word = serde_json::to_value(san).expect("JSON");
                word.as_str().expect("a text").to_owned()
            });
            let words: Vec<_> = words.collect();
            assert_eq!(parse_sans(&words.join(", ")), Ok(sans.into()));
        }
        Err(error) => {
            shape::said(&one_line(&error as &dyn Explain), 90_000);
            let element = &error.element;
            assert!(
                text.contains(element) && parse_sans(element).is_err(),
                "{element}"
            );
        }
    }
}
