//! The few lines of DER that no crate here offers: take a sequence apart, put one together.
//!
//! Needed twice: to wrap old key formats for the signing library, and to give a re-signed
//! certificate the very bytes of the old names.

use x509_parser::asn1_rs::{Any, FromDer};

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const SEQUENCE: u8 = 0x30;
/// Constructed, context specific 0 and 1: the optional parts of an EC key.
pub(super) const CONTEXT_0: u8 = 0xa0;
pub(super) const CONTEXT_1: u8 = 0xa1;

/// `NULL`, complete.
pub(super) const NULL: &[u8] = &[0x05, 0x00];

/// One element: tag, length in the shortest form, content.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    let length = content.len().to_be_bytes();
    let significant = length
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(length.len() - 1);
    let length = length.get(significant..).unwrap_or_default();
    match length {
        [short @ 0..=0x7f] => bytes.push(*short),
        long => {
            // At most 8 bytes of length: the count fits in the low bits.
            bytes.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
            bytes.extend_from_slice(long);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

/// A sequence of complete elements.
pub(super) fn sequence(elements: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, &elements.concat())
}

/// A bit string without unused bits.
pub(super) fn bit_string(content: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], content].concat())
}

/// The content of `bytes`, which must be exactly one element with this tag.
pub(super) fn content(tag: u8, bytes: &[u8]) -> Option<&[u8]> {
    let (rest, any) = Any::from_der(bytes).ok()?;
    (bytes.first() == Some(&tag) && rest.is_empty()).then_some(any.data)
}

/// The complete elements inside of `bytes`, which must be exactly one sequence.
pub(super) fn elements(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = content(SEQUENCE, bytes)?;
    let mut elements = Vec::new();
    while !rest.is_empty() {
        let (after, _) = Any::from_der(rest).ok()?;
        let (element, _) = rest.split_at_checked(rest.len() - after.len())?;
        elements.push(element);
        rest = after;
    }
    Some(elements)
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// DER in a PEM block with 64 characters a line.
pub(super) fn to_pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        text.push_str(&base64(line));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// Base 64 with padding, in one line.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = usize::try_from(word >> (18 - 6 * place) & 63).unwrap_or_default();
            let digit = BASE64.get(digit).map_or('=', |byte| char::from(*byte));
            text.push(if place > group.len() { '=' } else { digit });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use x509_parser::pem::Pem;

    use super::*;

    #[test]
    fn lengths_take_the_shortest_form() {
        for (size, head) in [
            (0, vec![0x04, 0x00]),
            (127, vec![0x04, 0x7f]),
            (128, vec![0x04, 0x81, 0x80]),
            (256, vec![0x04, 0x82, 0x01, 0x00]),
        ] {
            let bytes = element(OCTET_STRING, &vec![7; size]);
            assert_eq!(bytes[..head.len()], head, "{size}");
            assert_eq!(content(OCTET_STRING, &bytes).unwrap().len(), size);
        }
    }

    proptest! {
        #[test]
        fn sequences_come_apart_as_they_were_put_together(parts in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..300), 0..5,
        )) {
            let parts: Vec<Vec<u8>> =
                parts.iter().map(|part| element(OCTET_STRING, part)).collect();
            let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let whole = sequence(&slices);
            prop_assert_eq!(elements(&whole), Some(slices));
        }

        #[test]
        fn taking_apart_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = elements(&bytes);
        }

        #[test]
        fn pem_reads_back(bytes in proptest::collection::vec(any::<u8>(), 1..200)) {
            let text = to_pem("THING", &bytes);
            let (block, _) = Pem::read(std::io::Cursor::new(text.as_bytes())).unwrap();
            prop_assert_eq!((block.label.as_str(), block.contents), ("THING", bytes));
            prop_assert!(text.lines().all(|line| line.len() <= 64));
        }
    }
}
