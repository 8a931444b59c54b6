//! A PostgreSQL server's messages, whole.

/// Kind, length, body.
#[must_use]
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    with_length(kind, length, body)
}

/// With a length that need not be true.
#[must_use]
pub fn with_length(kind: u8, length: u32, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

/// ErrorResponse of severity FATAL.
#[must_use]
pub fn error(sqlstate: &str, text: &str) -> Vec<u8> {
    message(
        b'E',
        format!("SFATAL\0VFATAL\0C{sqlstate}\0M{text}\0Fpostmaster.c\0L2350\0RProcessStartupPacket\0\0").as_bytes(),
    )
}

/// NoticeResponse.
#[must_use]
pub fn notice(text: &str) -> Vec<u8> {
    message(b'N', format!("SNOTICE\0VNOTICE\0C00000\0M{text}\0\0").as_bytes())
}

/// Asks for SCRAM-SHA-256.
#[must_use]
pub fn sasl() -> Vec<u8> {
    message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0")
}

/// Asks for an md5 hash.
#[must_use]
pub fn md5() -> Vec<u8> {
    message(b'R', b"\0\0\0\x05salt")
}

/// Asks for the password itself.
#[must_use]
pub fn cleartext() -> Vec<u8> {
    message(b'R', b"\0\0\0\x03")
}

/// Speaks 3.0 only.
#[must_use]
pub fn negotiate_protocol_version() -> Vec<u8> {
    message(b'v', b"\0\x03\0\0\0\0\0\0")
}
