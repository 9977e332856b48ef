//! A kernel's configuration: the text of a `.config`, or the copy that a kernel with `CONFIG_IKCONFIG` carries.

use std::collections::BTreeMap;

use crate::compression::Compression;

/// What stands before and after the compressed copy (kernel/configs.c: `IKCFG_ST`, `IKCFG_ED`).
const EMBEDDED_START: &[u8] = b"IKCFG_ST";

/// The options of a kernel that are set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelConfig {
    values: BTreeMap<String, String>,
}

impl KernelConfig {
    /// Reads the text of a `.config`; lines that set nothing are ignored.
    pub fn parse(text: &str) -> Self {
        let values = text
            .lines()
            .filter(|line| line.starts_with("CONFIG_"))
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Self { values }
    }

    /// The configuration inside the uncompressed kernel `vmlinux`, if it carries one.
    pub fn embedded(vmlinux: &[u8]) -> Option<Self> {
        let at = vmlinux.windows(EMBEDDED_START.len()).position(|window| window == EMBEDDED_START)?;
        let packed = &vmlinux[at + EMBEDDED_START.len()..];
        let text = Compression::Gzip.member(packed).ok()?;
        let config = Self::parse(&String::from_utf8_lossy(&text));
        (!config.values.is_empty()).then_some(config)
    }

    /// Whether `option` (`CONFIG_…`) is part of the kernel image (`=y`).
    pub fn has(&self, option: &str) -> bool {
        self.value(option) == Some("y")
    }

    /// The value of `option` as it stands in the file; `None` if it is not set.
    pub fn value(&self, option: &str) -> Option<&str> {
        self.values.get(option).map(String::as_str)
    }

    /// What is set, as text that [`KernelConfig::parse`] reads.
    pub fn text(&self) -> String {
        let lines: Vec<String> = self.values.iter().map(|(name, value)| format!("{name}={value}")).collect();
        lines.join("\n")
    }

    /// Whether nothing is set: this was no configuration.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn only_y_is_built_in() {
        let config =
            KernelConfig::parse("#\n# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_C=m\nCONFIG_D=\"y\"\n");
        let built_in = ["CONFIG_A", "CONFIG_B", "CONFIG_C", "CONFIG_D"].map(|option| config.has(option));
        assert_eq!(built_in, [false, true, false, false]);
        assert_eq!(config.value("CONFIG_C"), Some("m"));
        assert_eq!(config.value("CONFIG_A"), None);
    }

    #[test]
    fn a_kernel_may_carry_its_own() {
        let mut kernel = b"code ".repeat(100);
        assert!(KernelConfig::embedded(&kernel).is_none());
        kernel.extend_from_slice(EMBEDDED_START);
        kernel.extend(testing::gzip(b"CONFIG_EXT4_FS=y\n"));
        kernel.extend_from_slice(b"IKCFG_ED and more code");
        assert!(KernelConfig::embedded(&kernel).unwrap().has("CONFIG_EXT4_FS"));
        let cut = kernel.len() - 40;
        assert!(KernelConfig::embedded(&kernel[..cut]).is_none());
    }
}
