//! From the table and a kernel to the modules in the image and the lists that init reads. All lists hold paths relative
//! to `/lib/modules/<release>`, one a line.

use std::fmt::Write;

use super::closure::{BrokenDependency, Closure, prerequisites};
use super::index::Index;
use super::table::{Need, Platform, Root, Stage};
use crate::kernel::KernelPackage;

/// Why a kernel's modules do not do.
#[derive(Debug, thiserror::Error)]
pub enum ModulesError {
    /// A required module is nowhere.
    #[error("the kernel {release} has neither a module {module} nor {option}=y: {reason}")]
    Missing {
        /// The kernel's release.
        release: String,
        /// The module.
        module: String,
        /// The option that would build it in.
        option: &'static str,
        /// What it is for.
        reason: &'static str,
    },
    /// The package is inconsistent.
    #[error(transparent)]
    Broken(#[from] BrokenDependency),
}

/// The modules chosen, and the text files that describe them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Names of the modules in the image, sorted.
    pub modules: Vec<String>,
    /// Files for `/lib/modules/<release>`: name and text.
    pub files: Vec<(&'static str, String)>,
    /// What the kernel lacks although it is wanted.
    pub warnings: Vec<String>,
}

/// Chooses the modules of `package` that `roots` need.
pub fn plan(package: &KernelPackage, roots: &[Root<'_>]) -> Result<Plan, ModulesError> {
    let index = Index::new(package.modules.iter().map(|module| &module.info), &package.builtin);
    let mut all = Closure::new(&index);
    let mut warnings = Vec::new();
    for root in roots {
        if all.add(root.module)? || package.config.has(root.option) {
            continue;
        }
        match root.need {
            Need::Required => {
                let Root { module, option, reason, .. } = *root;
                return Err(ModulesError::Missing {
                    release: package.release.clone(),
                    module: module.to_owned(),
                    option,
                    reason,
                });
            }
            Need::Wanted => warnings.push(format!(
                "the kernel {} has no {} ({}): {}",
                package.release, root.module, root.option, root.reason
            )),
            Need::Optional => {}
        }
    }
    let mut modules: Vec<String> = all.order().iter().map(ToString::to_string).collect();
    modules.sort();
    let lists = Lists { package, index: &index, roots };
    let files = if modules.is_empty() { Vec::new() } else { lists.files(&modules)? };
    Ok(Plan { modules, files, warnings })
}

struct Lists<'a> {
    package: &'a KernelPackage,
    index: &'a Index<'a>,
    roots: &'a [Root<'a>],
}

impl Lists<'_> {
    fn files(&self, modules: &[String]) -> Result<Vec<(&'static str, String)>, ModulesError> {
        let [connect, storage, later] = self.load_lists(Platform::Virtio)?;
        let [connect_hyperv, storage_hyperv, later_hyperv] = self.load_lists(Platform::HyperV)?;
        Ok(vec![
            ("load-connect", connect),
            ("load-connect.hyperv", connect_hyperv),
            ("load-later", later),
            ("load-later.hyperv", later_hyperv),
            ("load-storage", storage),
            ("load-storage.hyperv", storage_hyperv),
            ("modules.alias", self.aliases(modules)),
            ("modules.dep", self.dependencies(modules)?),
        ])
    }

    /// What init loads on `platform`, stage by stage.
    fn load_lists(&self, platform: Platform) -> Result<[String; 3], ModulesError> {
        let mut closure = Closure::new(self.index);
        let mut lists = [Stage::Connect, Stage::Storage, Stage::Later].map(|stage| (stage, String::new()));
        for (stage, text) in &mut lists {
            let before = closure.order().len();
            self.add_stage(&mut closure, *stage, platform)?;
            for name in &closure.order()[before..] {
                let _ = writeln!(text, "{}", self.path(name));
            }
        }
        Ok(lists.map(|(_, text)| text))
    }

    fn add_stage(
        &self,
        closure: &mut Closure<'_>,
        stage: Stage,
        platform: Platform,
    ) -> Result<(), ModulesError> {
        for root in self.roots {
            if root.stage == stage && (root.platform == Platform::Any || root.platform == platform) {
                closure.add(root.module)?;
            }
        }
        Ok(())
    }

    /// In depmod's format, soft dependencies included: what must be loaded comes last to first.
    fn dependencies(&self, modules: &[String]) -> Result<String, ModulesError> {
        let mut text = String::new();
        for name in modules {
            let _ = write!(text, "{}:", self.path(name));
            for needed in prerequisites(self.index, name)?.iter().rev() {
                let _ = write!(text, " {}", self.path(needed));
            }
            text.push('\n');
        }
        Ok(text)
    }

    /// In depmod's format: the names under which the kernel asks for these modules.
    fn aliases(&self, modules: &[String]) -> String {
        let mut text = String::new();
        for info in modules.iter().filter_map(|name| self.index.get(name)) {
            for alias in &info.aliases {
                let _ = writeln!(text, "alias {alias} {}", info.name);
            }
        }
        text
    }

    fn path(&self, name: &str) -> &str {
        self.package.modules.iter().find(|module| module.info.name == name).map_or("", |module| &module.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel;
    use crate::testing;

    fn package(config: &[u8], modules: &[(&str, &[&str])]) -> KernelPackage {
        let dir = tempfile::tempdir().unwrap();
        let mut files = vec![
            ("boot/vmlinuz-1".to_owned(), testing::xz_bzimage("1", &testing::vmlinux(true))),
            ("boot/config-1".to_owned(), config.to_vec()),
        ];
        for (path, info) in modules {
            files.push((format!("lib/modules/1/kernel/{path}.ko"), testing::module(info)));
        }
        let files: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
        let deb = dir.path().join("a.deb");
        std::fs::write(&deb, testing::deb(&files)).unwrap();
        kernel::from_deb(&deb, dir.path()).unwrap()
    }

    fn a_root(module: &'static str, stage: Stage, platform: Platform, need: Need) -> Root<'static> {
        Root { module, option: "CONFIG_THAT", stage, platform, need, reason: "tests" }
    }

    fn file<'a>(plan: &'a Plan, name: &str) -> &'a str {
        &plan.files.iter().find(|(file, _)| *file == name).unwrap().1
    }

    #[test]
    fn writes_lists_for_both_platforms() {
        let package = package(
            b"",
            &[
                ("fs/ext4", &["softdep=pre: crypto-crc32c", "depends=jbd2", "alias=fs-ext4"]),
                ("fs/jbd2", &[]),
                ("crypto/crc32c_generic", &["alias=crypto-crc32c"]),
                ("hv/hv-sock", &["depends=vsock"]),
                ("net/vsock", &[]),
                ("net/virtio_net", &["depends=vsock"]),
                ("fs/9p", &[]),
                ("fs/other", &[]),
            ],
        );
        let roots = [
            a_root("hv_sock", Stage::Connect, Platform::HyperV, Need::Wanted),
            a_root("ext4", Stage::Storage, Platform::Any, Need::Required),
            a_root("virtio_net", Stage::Later, Platform::Virtio, Need::Wanted),
            a_root("9p", Stage::OnDemand, Platform::Any, Need::Wanted),
        ];
        let plan = plan(&package, &roots).unwrap();
        let ext4 = "kernel/fs/jbd2.ko\nkernel/crypto/crc32c_generic.ko\nkernel/fs/ext4.ko\n";
        assert_eq!(file(&plan, "load-connect"), "");
        assert_eq!(file(&plan, "load-connect.hyperv"), "kernel/net/vsock.ko\nkernel/hv/hv-sock.ko\n");
        assert_eq!(file(&plan, "load-storage"), ext4);
        assert_eq!(file(&plan, "load-storage.hyperv"), ext4);
        assert_eq!(file(&plan, "load-later"), "kernel/net/vsock.ko\nkernel/net/virtio_net.ko\n");
        assert_eq!(file(&plan, "load-later.hyperv"), "");
        let dep = file(&plan, "modules.dep");
        assert!(
            dep.contains("kernel/fs/ext4.ko: kernel/crypto/crc32c_generic.ko kernel/fs/jbd2.ko\n"),
            "{dep}"
        );
        assert!(dep.contains("kernel/fs/9p.ko:\n"), "{dep}");
        assert!(file(&plan, "modules.alias").contains("alias fs-ext4 ext4\n"));
        assert_eq!(plan.modules.len(), 7);
        assert!(plan.warnings.is_empty());
    }

    #[test]
    fn missing_modules_are_errors_warnings_or_nothing() {
        let roots = [
            a_root("wanted", Stage::Later, Platform::Any, Need::Wanted),
            a_root("optional", Stage::Later, Platform::Any, Need::Optional),
        ];
        let bare = package(b"", &[]);
        let chosen = plan(&bare, &roots).unwrap();
        assert_eq!(chosen.warnings, ["the kernel 1 has no wanted (CONFIG_THAT): tests"]);
        assert!(chosen.files.is_empty());

        let required = [a_root("ext4", Stage::Storage, Platform::Any, Need::Required)];
        let error = plan(&bare, &required).unwrap_err().to_string();
        assert_eq!(error, "the kernel 1 has neither a module ext4 nor CONFIG_THAT=y: tests");
        let built_in = package(b"CONFIG_THAT=y\n", &[]);
        assert_eq!(plan(&built_in, &required).unwrap(), Plan::default());
    }
}
