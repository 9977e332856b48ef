//! Everything that a list of modules needs, in an order in which it can be loaded.

use std::collections::BTreeSet;

use super::index::{Found, Index};
use super::modinfo::ModInfo;

/// A module names a dependency that the kernel does not have.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the module {module} depends on {dependency}, which this kernel package does not have")]
pub struct BrokenDependency {
    /// The module.
    pub module: String,
    /// What it names in `depends`.
    pub dependency: String,
}

/// Collects modules, dependencies first.
pub struct Closure<'a> {
    index: &'a Index<'a>,
    seen: BTreeSet<&'a str>,
    order: Vec<&'a str>,
}

impl<'a> Closure<'a> {
    /// An empty collection over `index`.
    pub fn new(index: &'a Index<'a>) -> Self {
        Self { index, seen: BTreeSet::new(), order: Vec::new() }
    }

    /// Adds the module or alias `name` with all it needs; `false` if neither a module nor the kernel image provides it.
    pub fn add(&mut self, name: &str) -> Result<bool, BrokenDependency> {
        match self.index.find(name) {
            Found::Modules(names) => {
                for name in names {
                    self.visit(name)?;
                }
                Ok(true)
            }
            Found::Builtin => Ok(true),
            Found::Missing => Ok(false),
        }
    }

    /// The names collected, dependencies first.
    pub fn order(&self) -> &[&'a str] {
        &self.order
    }

    fn visit(&mut self, name: &'a str) -> Result<(), BrokenDependency> {
        // Soft dependencies may form circles; a module being visited counts as there.
        if !self.seen.insert(name) {
            return Ok(());
        }
        let Some(info) = self.index.get(name) else { return Ok(()) };
        self.visit_depends(info)?;
        for soft in &info.soft_before {
            self.add(soft)?; // soft: nothing is wrong when it is missing
        }
        self.order.push(name);
        for soft in &info.soft_after {
            self.add(soft)?;
        }
        Ok(())
    }

    fn visit_depends(&mut self, info: &ModInfo) -> Result<(), BrokenDependency> {
        for dependency in &info.depends {
            if !self.add(dependency)? {
                return Err(BrokenDependency { module: info.name.clone(), dependency: dependency.clone() });
            }
        }
        Ok(())
    }
}

/// What must be loaded before `name`, soft dependencies included, in an order in which it can be loaded.
pub fn prerequisites<'a>(index: &'a Index<'a>, name: &str) -> Result<Vec<&'a str>, BrokenDependency> {
    let mut closure = Closure::new(index);
    closure.add(name)?;
    Ok(closure.order.into_iter().take_while(|other| *other != name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::builtin::Builtin;

    fn order_of(infos: &[ModInfo], builtin: &Builtin, roots: &[&str]) -> Vec<String> {
        let index = Index::new(infos, builtin);
        let mut closure = Closure::new(&index);
        for root in roots {
            assert!(closure.add(root).unwrap(), "{root}");
        }
        closure.order().iter().map(ToString::to_string).collect()
    }

    /// The case that a closure over `depends` alone gets wrong: without `crc32c_generic` ext4 cannot mount.
    #[test]
    fn ext4_brings_its_checksum() {
        let infos = [
            ModInfo::parse("ext4.ko", b"softdep=pre: crypto-crc32c\0depends=jbd2,mbcache,crc16\0"),
            ModInfo::parse("jbd2.ko", b"depends=\0"),
            ModInfo::parse("mbcache.ko", b""),
            ModInfo::parse("crc32c_generic.ko", b"alias=crypto-crc32c\0"),
            ModInfo::parse("unrelated.ko", b""),
        ];
        let builtin = Builtin::parse(b"kernel/lib/crc16.ko", b"");
        assert_eq!(order_of(&infos, &builtin, &["ext4"]), ["jbd2", "mbcache", "crc32c_generic", "ext4"]);
    }

    #[test]
    fn soft_dependencies_may_be_missing_circular_or_after() {
        let infos = [
            ModInfo::parse("a.ko", b"softdep=pre: gone b post: c\0"),
            ModInfo::parse("b.ko", b"softdep=pre: a\0"),
            ModInfo::parse("c.ko", b"depends=a\0"),
        ];
        assert_eq!(order_of(&infos, &Builtin::default(), &["a"]), ["b", "a", "c"]);
    }

    #[test]
    fn a_missing_hard_dependency_is_an_error() {
        let infos = [ModInfo::parse("a.ko", b"depends=gone\0")];
        let builtin = Builtin::default();
        let index = Index::new(&infos, &builtin);
        let mut closure = Closure::new(&index);
        assert!(!closure.add("elsewhere").unwrap());
        let error = closure.add("a").unwrap_err();
        assert_eq!(error, BrokenDependency { module: "a".into(), dependency: "gone".into() });
    }

    #[test]
    fn prerequisites_are_transitive_ordered_and_before() {
        let infos = [
            ModInfo::parse("a.ko", b"depends=b,c\0softdep=pre: d post: e\0"),
            ModInfo::parse("b.ko", b"depends=c\0"),
            ModInfo::parse("c.ko", b""),
            ModInfo::parse("d.ko", b""),
            ModInfo::parse("e.ko", b""),
        ];
        let builtin = Builtin::default();
        let index = Index::new(&infos, &builtin);
        assert_eq!(prerequisites(&index, "a").unwrap(), ["c", "b", "d"]);
    }
}
