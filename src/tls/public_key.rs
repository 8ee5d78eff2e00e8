//! Public keys as certificates hold them (SubjectPublicKeyInfo), and what they are called.

use super::der::{self, INTEGER};

pub(super) const RSA: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01,
];
pub(super) const EC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
pub(super) const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
pub(super) const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
pub(super) const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
pub(super) const P521: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];

/// Names the kind of a SubjectPublicKeyInfo for people.
pub(super) fn describe(info: &[u8]) -> String {
    let unknown = || "unknown algorithm".to_owned();
    let Some(parts) = der::elements(info) else {
        return unknown();
    };
    let [algorithm, key] = parts.as_slice() else {
        return unknown();
    };
    match der::elements(algorithm).unwrap_or_default().as_slice() {
        [RSA, ..] => rsa_bits(key).map_or_else(unknown, |bits| format!("RSA {bits}")),
        [EC, curve] => format!("EC {}", curve_name(curve)),
        [ED25519] => "Ed25519".into(),
        _ => unknown(),
    }
}

/// Whether a SubjectPublicKeyInfo is an RSA key, which may also wrap a session key.
pub(super) fn is_rsa(info: &[u8]) -> bool {
    describe(info).starts_with("RSA")
}

/// Whether a SubjectPublicKeyInfo is a key on the curve that our TLS library does not know.
pub(super) fn is_p521(info: &[u8]) -> bool {
    describe(info) == "EC P-521"
}

/// Whether signatures by this key can be checked here: our cryptography takes no RSA key that is
/// shorter or longer than these, and says of its signatures that they are wrong.
pub(super) fn is_checkable(info: &[u8]) -> bool {
    let bits = describe(info);
    let bits = bits.strip_prefix("RSA ").and_then(|bits| bits.parse().ok());
    bits.is_none_or(|bits: usize| (2048..=8192).contains(&bits))
}

pub(super) fn curve_name(curve: &[u8]) -> &'static str {
    match curve {
        P256 => "P-256",
        P384 => "P-384",
        P521 => "P-521",
        _ => "on another curve",
    }
}

fn rsa_bits(key: &[u8]) -> Option<usize> {
    let key = der::content(der::BIT_STRING, key)?.strip_prefix(&[0])?;
    let modulus = der::content(INTEGER, der::elements(key)?.first()?)?;
    let leading = modulus.iter().take_while(|byte| **byte == 0).count();
    let first = modulus.get(leading)?;
    Some((modulus.len() - leading) * 8 - usize::try_from(first.leading_zeros()).ok()?)
}
