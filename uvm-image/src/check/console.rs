//! What a guest has printed, as text that can be shown on a terminal.

use anstream::adapter::strip_str;

/// `bytes` without whatever would move a terminal's cursor, clear it or change how it looks: firmware draws a screen.
pub(super) fn plain(bytes: &[u8]) -> String {
    let text = strip_str(&String::from_utf8_lossy(bytes)).to_string();
    text.chars().filter(|char| !char.is_control() || matches!(char, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_stays_as_it_is() {
        let console = b"\x1b[2J\x1b[01;01HBdsDxe: l\xc3\xb6ading\r\n\x1b[0m\x1b]0;title\x07\x0epanic\x08\x7f \xff\xc2\x9b2J\t!\x1b[3";
        assert_eq!(plain(console), "BdsDxe: l\u{f6}ading\npanic \u{fffd}2J\t!");
    }
}
