//! A kernel's configuration (`.config`).

use std::collections::BTreeMap;

/// The options of a kernel that are set.
#[derive(Debug, Clone, Default)]
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

    /// Whether `option` (`CONFIG_…`) is part of the kernel image (`=y`).
    pub fn has(&self, option: &str) -> bool {
        self.values.get(option).is_some_and(|value| value == "y")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_y_is_built_in() {
        let config =
            KernelConfig::parse("#\n# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_C=m\nCONFIG_D=\"y\"\n");
        let built_in = ["CONFIG_A", "CONFIG_B", "CONFIG_C", "CONFIG_D"].map(|option| config.has(option));
        assert_eq!(built_in, [false, true, false, false]);
    }
}
