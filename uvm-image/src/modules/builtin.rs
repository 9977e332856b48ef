//! Modules that are part of the kernel image.

use std::collections::BTreeSet;

use super::{name_of, normalise};

/// Names and aliases of what is built into a kernel.
#[derive(Debug, Clone, Default)]
pub struct Builtin {
    names: BTreeSet<String>,
}

impl Builtin {
    /// Reads `modules.builtin` (a path a line) and `modules.builtin.modinfo` (NUL-terminated `name.key=value`); either
    /// may be empty.
    pub fn parse(list: &[u8], modinfo: &[u8]) -> Self {
        let mut names: BTreeSet<String> =
            String::from_utf8_lossy(list).lines().filter(|line| !line.is_empty()).map(name_of).collect();
        for entry in modinfo.split(|b| *b == 0) {
            let text = String::from_utf8_lossy(entry);
            if let Some((key, alias)) = text.split_once('=')
                && key.strip_suffix(".alias").is_some()
            {
                names.insert(normalise(alias));
            }
        }
        Self { names }
    }

    /// Whether the kernel image holds the module or provides the alias `name`, in normalised form.
    pub fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_names_and_aliases() {
        let builtin = Builtin::parse(
            b"kernel/crypto/aes_generic.ko\nkernel/lib/crypto/lib-x.ko\n",
            b"aes_generic.alias=crypto-aes\0aes_generic.license=GPL\0",
        );
        for name in ["aes_generic", "lib_x", "crypto_aes"] {
            assert!(builtin.contains(name), "{name}");
        }
        assert!(!builtin.contains("GPL"));
        assert!(!Builtin::default().contains(""));
    }
}
