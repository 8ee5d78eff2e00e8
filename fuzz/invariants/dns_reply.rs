//! Messages of a name server, or of anybody who guesses where we listen.

use dind_init::net::resolve::dns::{Family, NotAnAnswer, Reply, query, reply};

/// The bytes of a message; what was asked for is taken from it.
pub fn check(message: &[u8]) {
    let id = match message {
        [high, low, ..] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    };
    let asked = question(message).unwrap_or_else(|| "docker".to_owned());
    for family in [Family::V4, Family::V6] {
        let size = match family {
            Family::V4 => 4,
            Family::V6 => 16,
        };
        let whole = reply(message, id, &asked, family);
        if let Ok(Reply::Addresses(addresses)) = &whole {
            assert!(addresses.len() * (size + 11) <= message.len());
            let right = |ip: &std::net::IpAddr| ip.is_ipv4() == (family == Family::V4);
            assert!(addresses.iter().all(right));
        }
        if let Ok(Reply::Failed(code)) = whole {
            assert!((1..=15).contains(&code) && code != 3);
        }
        // What came to us by half says nothing else than the whole.
        let step = 1 + message.len() / 32;
        for length in (0..message.len()).step_by(step) {
            let part = reply(&message[..length], id, &asked, family);
            assert!(
                part == whole || part == Err(NotAnAnswer::Malformed),
                "{length}"
            );
        }
        let other = reply(message, id.wrapping_add(1), &asked, family);
        assert!(other.is_err(), "an answer to another question");
        if let Some(mut own) = query(id, &asked, family) {
            assert!(
                reply(&own, id, &asked, family).is_err(),
                "a question is no answer"
            );
            own[2] |= 0x80;
            assert_eq!(
                reply(&own, id, &asked, family),
                Ok(Reply::Addresses(Vec::new()))
            );
        }
    }
}

/// The name that a message says it answers for.
fn question(message: &[u8]) -> Option<String> {
    let mut rest = message.get(12..)?;
    let mut labels = Vec::new();
    loop {
        let (length, after) = rest.split_first()?;
        if *length == 0 {
            return Some(labels.join("."));
        }
        let (label, after) = after.split_at_checked(usize::from(*length))?;
        labels.push(String::from_utf8(label.to_vec()).ok()?);
        rest = after;
    }
}
