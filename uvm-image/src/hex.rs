//! Bytes as hexadecimal text.

use std::fmt::Write;

/// `bytes` in lower case, two digits each.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
