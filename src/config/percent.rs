//! Percent-encoding, RFC 3986 section 2.1.

use std::fmt::Write;

/// What to say where [`decoded`] gives nothing.
pub(super) const BAD_PERCENT: &str =
    "a `%` is followed by two hexadecimal digits and gives UTF-8; a plain `%` is written `%25`";

/// Percent-decoding; `+` stays a plus. Nothing when a sequence is broken or the result is not UTF-8.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut pieces = text.split('%');
    bytes.extend_from_slice(pieces.next()?.as_bytes());
    for piece in pieces {
        let digits = piece.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(piece.get(2..)?.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// Everything but the unreserved characters encoded.
pub(super) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut url, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
        url
    })
}
