//! Which modules there are, what they need, and the names they go by.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Error, alias, elf, name_of, normalise};

/// The modules of one directory.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// By name: the file, and the files to be loaded before it, in that order.
    modules: BTreeMap<String, (PathBuf, Vec<PathBuf>)>,
    /// Pattern and module.
    aliases: Vec<(String, String)>,
}

impl Index {
    /// The modules that `modules.dep` and `modules.alias` in `directory` describe.
    pub(crate) fn read(directory: &Path) -> Result<Self, Error> {
        let text = |name: &str| {
            let path = directory.join(name);
            match fs::read_to_string(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
                other => other.map_err(|source| Error::Read { path, source }),
            }
        };
        Ok(Self::parse(directory, &text("modules.dep")?, &text("modules.alias")?))
    }

    fn parse(directory: &Path, dependencies: &str, aliases: &str) -> Self {
        let mut index = Self::default();
        for (module, needs) in dependencies.lines().filter_map(|line| line.split_once(':')) {
            let path = directory.join(module);
            // Written last to first.
            let needs = needs.split_whitespace().rev().map(|name| directory.join(name)).collect();
            if let Some(name) = name_of(&path) {
                index.modules.insert(name, (path, needs));
            }
        }
        for line in aliases.lines() {
            if let [_, pattern, module] = line.split_whitespace().collect::<Vec<_>>()[..] {
                index.aliases.push((normalise(pattern), normalise(module)));
            }
        }
        index
    }

    /// All modules anywhere below `directory`, which say themselves what they need of each other. What else they need
    /// is looked up in `others`.
    pub(crate) fn scan(directory: &Path, others: &Self) -> Result<Self, Error> {
        let mut files = BTreeMap::new();
        collect(directory, &mut files)?;
        let mut depends = BTreeMap::new();
        for (name, path) in &files {
            let bytes = fs::read(path).map_err(|source| Error::Read { path: path.clone(), source })?;
            depends.insert(name.clone(), elf::depends(&bytes));
        }
        let mut index = Self::default();
        for (name, path) in &files {
            let mut order = Vec::new();
            let mut seen = HashSet::from([name.clone()]);
            visit(name, &files, &depends, others, &mut seen, &mut order);
            index.modules.insert(name.clone(), (path.clone(), order));
        }
        Ok(index)
    }

    /// All names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.modules.keys().map(String::as_str)
    }

    /// The files of the module of that name, or of all that have it as an alias.
    pub(super) fn resolve(&self, wanted: &str) -> Vec<PathBuf> {
        let wanted = normalise(wanted);
        if let Some((path, _)) = self.modules.get(&wanted) {
            return vec![path.clone()];
        }
        let named = self
            .aliases
            .iter()
            .filter(|(pattern, _)| alias::matches(pattern.as_bytes(), wanted.as_bytes()))
            .filter_map(|(_, module)| self.modules.get(module));
        named.map(|(path, _)| path.clone()).collect()
    }

    /// What has to be loaded before a module, in order.
    pub(super) fn needs(&self, module: &Path) -> Vec<PathBuf> {
        let entry = name_of(module).and_then(|name| self.modules.get(&name));
        entry.map(|(_, needs)| needs.clone()).unwrap_or_default()
    }
}

/// Appends what `name` needs, deepest first.
fn visit(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    depends: &BTreeMap<String, Vec<String>>,
    others: &Index,
    seen: &mut HashSet<String>,
    order: &mut Vec<PathBuf>,
) {
    for needed in depends.get(name).into_iter().flatten().map(|needed| normalise(needed)) {
        if !seen.insert(needed.clone()) {
            continue;
        }
        if let Some(path) = files.get(&needed) {
            visit(&needed, files, depends, others, seen, order);
            order.push(path.clone());
        } else {
            for module in others.resolve(&needed) {
                order.extend(others.needs(&module));
                order.push(module);
            }
        }
    }
}

fn collect(directory: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<(), Error> {
    let failed = |source| Error::Read { path: directory.to_owned(), source };
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        if entry.file_type().map_err(failed)?.is_dir() {
            collect(&path, files)?;
        } else if let Some(name) = name_of(&path) {
            files.insert(name, path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::elf::tests::module;
    use super::*;

    fn strings(paths: &[PathBuf]) -> Vec<String> {
        paths.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn names_and_aliases_lead_to_files_and_what_they_need() {
        let index = Index::parse(
            Path::new("/m"),
            "a/dm-verity.ko: a/dm-mod.ko a/dax.ko\na/dm-mod.ko: a/dax.ko\na/dax.ko:\n",
            "alias char-major-10-236 dm_mod\nalias pci:v1d* dax\n# comment\n",
        );
        assert_eq!(index.resolve("dm_verity"), [Path::new("/m/a/dm-verity.ko")]);
        assert_eq!(index.resolve("dm-verity"), index.resolve("dm_verity"));
        assert_eq!(strings(&index.needs(Path::new("/m/a/dm-verity.ko"))), ["dax.ko", "dm-mod.ko"]);
        assert_eq!(strings(&index.resolve("char-major-10-236")), ["dm-mod.ko"]);
        assert_eq!(strings(&index.resolve("pci:v1d2")), ["dax.ko"]);
        assert!(index.resolve("nothing").is_empty());
    }

    #[test]
    fn drivers_without_lists_are_read_themselves() {
        let root = std::env::temp_dir().join(format!("modules-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("deep")).unwrap();
        for (name, info) in [
            ("drm.ko", "depends=modeset,i2c-core\0"),
            ("deep/modeset.ko", "depends=gpu\0"),
            ("gpu.ko", "depends=\0"),
            // Drivers that need each other must not hang us.
            ("left.ko", "depends=right\0"),
            ("right.ko", "depends=left\0"),
        ] {
            fs::write(root.join(name), module(info)).unwrap();
        }
        let system = Index::parse(Path::new("/m"), "i2c-core.ko: bus.ko\nbus.ko:\n", "");
        let index = Index::scan(&root, &system).unwrap();
        assert_eq!(index.names().collect::<Vec<_>>(), ["drm", "gpu", "left", "modeset", "right"]);
        let needs = strings(&index.needs(&root.join("drm.ko")));
        assert_eq!(needs, ["gpu.ko", "modeset.ko", "bus.ko", "i2c-core.ko"]);
        assert_eq!(strings(&index.needs(&root.join("left.ko"))), ["right.ko"]);
        fs::remove_dir_all(root).unwrap();
    }
}
