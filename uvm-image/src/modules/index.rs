//! All modules of a kernel, found by name or alias.

use std::collections::BTreeMap;

use super::builtin::Builtin;
use super::modinfo::ModInfo;
use super::normalise;

/// What a name stands for.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// These modules, each of which provides it.
    Modules(Vec<&'a str>),
    /// The kernel image has it.
    Builtin,
    /// Nothing has it.
    Missing,
}

/// The modules of one kernel.
pub struct Index<'a> {
    by_name: BTreeMap<&'a str, &'a ModInfo>,
    by_alias: BTreeMap<String, Vec<&'a str>>,
    builtin: &'a Builtin,
}

impl<'a> Index<'a> {
    /// An index of `modules` and what the kernel image itself holds.
    pub fn new(modules: impl IntoIterator<Item = &'a ModInfo>, builtin: &'a Builtin) -> Self {
        let mut by_name = BTreeMap::new();
        let mut by_alias: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for info in modules {
            by_name.insert(info.name.as_str(), info);
            // Patterns name devices; nothing depends on those.
            for alias in info.aliases.iter().filter(|alias| !alias.contains('*')) {
                by_alias.entry(normalise(alias)).or_default().push(&info.name);
            }
        }
        Self { by_name, by_alias, builtin }
    }

    /// The module called `name`.
    pub fn get(&self, name: &str) -> Option<&'a ModInfo> {
        self.by_name.get(name).copied()
    }

    /// What `name`, a module's name or an alias, stands for. Of several modules that provide a cryptographic algorithm
    /// the generic one is chosen: the others refuse to load on processors without their instructions.
    pub fn find(&self, name: &str) -> Found<'a> {
        if let Some(info) = self.get(name) {
            return Found::Modules(vec![&info.name]);
        }
        if self.builtin.contains(name) {
            return Found::Builtin;
        }
        let Some(providers) = self.by_alias.get(name) else { return Found::Missing };
        let mut providers = providers.clone();
        providers.sort_unstable();
        providers.dedup();
        if let Some(generic) = providers.iter().find(|name| name.ends_with("_generic")) {
            return Found::Modules(vec![generic]);
        }
        Found::Modules(providers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_by_name_alias_and_in_the_image() {
        let infos = [
            ModInfo::parse("crc32c_generic.ko", b"alias=crypto-crc32c\0"),
            ModInfo::parse("crc32c-intel.ko", b"alias=crypto-crc32c\0alias=cpu:type:x86*\0"),
            ModInfo::parse("ext4.ko", b"alias=fs-ext4\0"),
        ];
        let builtin = Builtin::parse(b"kernel/aes_generic.ko", b"");
        let index = Index::new(&infos, &builtin);
        assert_eq!(index.find("crypto_crc32c"), Found::Modules(vec!["crc32c_generic"]));
        assert_eq!(index.find("crc32c_intel"), Found::Modules(vec!["crc32c_intel"]));
        assert_eq!(index.find("fs_ext4"), Found::Modules(vec!["ext4"]));
        assert_eq!(index.find("aes_generic"), Found::Builtin);
        assert_eq!(index.find("nothing"), Found::Missing);
    }
}
