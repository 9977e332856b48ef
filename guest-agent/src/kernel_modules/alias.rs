//! Names with wildcards, as in `modules.alias`.

/// Whether `text` matches `pattern`, in which `*` stands for anything and `?` for one character.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut pos) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while pos < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, pos));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[pos] => {
                at += 1;
                pos += 1;
            }
            // The last star takes one character more.
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    pos = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_and_question_marks() {
        let cases = [
            ("fs_ext4", "fs_ext4", true),
            ("fs_ext4", "fs_ext3", false),
            ("pci:v00001AF4d*sv*", "pci:v00001AF4d00001000sv1", true),
            ("pci:v00001AF4d*sv*x", "pci:v00001AF4d00001000sv1", false),
            ("a?c*", "abc", true),
            ("*", "", true),
            ("a", "", false),
            ("", "a", false),
            ("*ab", "aab", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }
}
