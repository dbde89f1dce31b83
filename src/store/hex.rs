//! Digests in hexadecimal.

/// Lowercase hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(2 * bytes.len());
    push_hex(bytes, &mut text);
    // ASCII only.
    String::from_utf8(text).unwrap_or_default()
}

/// Appends lowercase hexadecimal to a text.
pub(super) fn push_hex(bytes: &[u8], text: &mut Vec<u8>) {
    // By a table: formatting each byte took a tenth of unpacking small files.
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| DIGITS[usize::from(half & 15)];
    for byte in bytes {
        text.extend_from_slice(&[digit(byte >> 4), digit(*byte)]);
    }
}
