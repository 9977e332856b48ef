//! What a module says about itself in its section `.modinfo`: NUL-terminated `key=value` texts.

use super::{name_of, normalise};

/// The parts of `.modinfo` that say what a module needs and which names it answers to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModInfo {
    /// The module's name.
    pub name: String,
    /// Modules whose symbols it uses.
    pub depends: Vec<String>,
    /// Modules or aliases it wants loaded before itself.
    pub soft_before: Vec<String>,
    /// Modules or aliases it wants loaded after itself.
    pub soft_after: Vec<String>,
    /// Names by which the kernel or a device asks for it, as written.
    pub aliases: Vec<String>,
}

impl ModInfo {
    /// Reads the section `section` of the module at `path`.
    pub fn parse(path: &str, section: &[u8]) -> Self {
        let mut info = Self { name: name_of(path), ..Self::default() };
        for entry in section.split(|b| *b == 0) {
            let text = String::from_utf8_lossy(entry);
            match text.split_once('=') {
                Some(("depends", names)) => {
                    info.depends.extend(names.split(',').filter(|name| !name.is_empty()).map(normalise));
                }
                Some(("softdep", text)) => info.add_softdep(text),
                Some(("alias", alias)) => info.aliases.push(alias.to_owned()),
                _ => {}
            }
        }
        info
    }

    /// `pre: a b post: c`, as in modprobe.d(5); names before any keyword mean nothing.
    fn add_softdep(&mut self, text: &str) {
        let mut list: Option<&mut Vec<String>> = None;
        for word in text.split_whitespace() {
            match word {
                "pre:" => list = Some(&mut self.soft_before),
                "post:" => list = Some(&mut self.soft_after),
                name => {
                    if let Some(names) = &mut list {
                        names.push(normalise(name));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_real_entries() {
        // As Debian's 6.1 ext4.ko has them.
        let section = b"softdep=pre: crypto-crc32c\0license=GPL\0alias=fs-ext4\0alias=ext3\0depends=jbd2,mbcache,crc16\0name=ext4\0";
        let info = ModInfo::parse("kernel/fs/ext4/ext4.ko", section);
        assert_eq!(info.name, "ext4");
        assert_eq!(info.depends, ["jbd2", "mbcache", "crc16"]);
        assert_eq!(info.soft_before, ["crypto_crc32c"]);
        assert_eq!(info.aliases, ["fs-ext4", "ext3"]);
    }

    #[test]
    fn reads_both_sides_of_softdeps_and_empty_lists() {
        let info =
            ModInfo::parse("kernel/a-b.ko.xz", b"depends=\0softdep=pre: c-d e post: f\0softdep=post: g");
        assert_eq!(info.name, "a_b");
        assert!(info.depends.is_empty());
        assert_eq!(info.soft_before, ["c_d", "e"]);
        assert_eq!(info.soft_after, ["f", "g"]);
    }

    #[test]
    fn odd_sections_are_harmless() {
        assert_eq!(ModInfo::parse("x.ko", b""), ModInfo { name: "x".into(), ..ModInfo::default() });
        assert!(ModInfo::parse("x.ko", b"\0\0softdep=lost\0depends\0\xff=\xfe").soft_before.is_empty());
    }
}
