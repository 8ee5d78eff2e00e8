//! Amounts of memory as docker's own flags take them.

/// Reads `64M`, `64m`, `64MiB`, `1g` or plain bytes; units are powers of 1024.
#[must_use]
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let shift = match unit.strip_suffix("ib").unwrap_or(unit) {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        "t" | "tb" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn units_are_dockers() {
        for (text, expected) in [
            ("64M", Some(64 << 20)),
            ("64mib", Some(64 << 20)),
            ("1g", Some(1 << 30)),
            ("512kb", Some(512 << 10)),
            ("4096", Some(4096)),
            ("0", Some(0)),
            ("", None),
            ("-1", None),
            ("64 M", None),
            ("1.5g", None),
            ("99999999999999g", None),
        ] {
            assert_eq!(bytes(text), expected, "{text:?}");
        }
    }
}
