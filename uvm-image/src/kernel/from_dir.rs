//! A kernel from a directory: a kernel build's output, an unpacked package, or a system's root.

use std::fs;
use std::path::{Path, PathBuf};

use super::bzimage;
use super::config::KernelConfig;
use super::{Body, KernelError, KernelPackage, image_release, modinfos, module_path};
use crate::debian_version;
use crate::modules::builtin::Builtin;

/// The configuration of the kernel in `dir`, which needs no modules for that.
pub(super) fn configuration(dir: &Path) -> Result<KernelConfig, KernelError> {
    kernel(dir).map(|(_, _, config)| config)
}

/// The kernel's image, release and configuration.
fn kernel(dir: &Path) -> Result<(Vec<u8>, String, KernelConfig), KernelError> {
    let image_path = find_image(dir)?;
    let image = read_file(&image_path)?;
    let release = image_release(&image_path.display().to_string(), &image)?;
    let config = match find_config(dir, &release) {
        Ok(path) => KernelConfig::parse(&String::from_utf8_lossy(&read_file(&path)?)),
        // The image may carry its own; one that cannot be unpacked does not.
        Err(missing) => bzimage::extract(&image)
            .ok()
            .and_then(|vmlinux| KernelConfig::embedded(&vmlinux.bytes))
            .ok_or(missing)?,
    };
    Ok((image, release, config))
}

pub(super) fn read(dir: &Path) -> Result<KernelPackage, KernelError> {
    let (image, release, config) = kernel(dir)?;
    let modules_dir = find_modules(dir, &release);
    if modules_dir.is_none() && config.has("CONFIG_MODULES") {
        return Err(KernelError::Missing {
            path: dir.to_owned(),
            what: format!(
                "modules for the kernel {release}: neither lib/modules/{release} nor modules is there, and this kernel has module support"
            ),
        });
    }
    let mut modules = Vec::new();
    let mut builtin = Builtin::default();
    if let Some(root) = &modules_dir {
        walk(root, root, &mut modules)?;
        let text = |name| fs::read(root.join(name)).unwrap_or_default();
        builtin = Builtin::parse(&text("modules.builtin"), &text("modules.builtin.modinfo"));
    }
    let modules = modinfos::read(modules, None)?;
    Ok(KernelPackage { release, image, config, modules, builtin, spool: None })
}

/// The kernel image in `dir` or `dir/boot`; of several `vmlinuz-*` the newest.
fn find_image(dir: &Path) -> Result<PathBuf, KernelError> {
    for place in [dir.to_owned(), dir.join("boot")] {
        if place != dir && !place.is_dir() {
            continue;
        }
        let mut names: Vec<String> = list(&place)?
            .into_iter()
            .filter(|path| path.is_file())
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .filter(|name| name.starts_with("vmlinuz") || name == "kernel" || name == "bzImage")
            .collect();
        names.sort_by(|a, b| debian_version::compare(a, b));
        if let Some(name) = names.last() {
            return Ok(place.join(name));
        }
    }
    let what = "kernel image: none of vmlinuz*, kernel, bzImage is there or in boot/".into();
    Err(KernelError::Missing { path: dir.to_owned(), what })
}

fn find_config(dir: &Path, release: &str) -> Result<PathBuf, KernelError> {
    let named = format!("config-{release}");
    let places = [
        named.clone(),
        format!("boot/{named}"),
        "config".into(),
        ".config".into(),
        format!("lib/modules/{release}/config"),
    ];
    places.iter().map(|place| dir.join(place)).find(|path| path.is_file()).ok_or_else(|| {
        let what = format!(
            "kernel configuration: looked for {}, and in the kernel itself; without it nobody knows which initrd the kernel can unpack",
            places.join(", ")
        );
        KernelError::Missing { path: dir.to_owned(), what }
    })
}

fn find_modules(dir: &Path, release: &str) -> Option<PathBuf> {
    [format!("lib/modules/{release}"), format!("usr/lib/modules/{release}"), "modules".into()]
        .iter()
        .map(|place| dir.join(place))
        .find(|path| path.is_dir())
}

/// Collects the modules below `dir` with their paths relative to `root`.
fn walk(root: &Path, dir: &Path, modules: &mut Vec<(String, Body)>) -> Result<(), KernelError> {
    for path in list(dir)? {
        let kind = fs::symlink_metadata(&path)
            .map_err(|source| KernelError::Read { path: path.clone(), source })?
            .file_type();
        if kind.is_dir() {
            walk(root, &path, modules)?;
            continue;
        }
        // Links lead out of the tree (`build`, `source`).
        let Some(relative) = path.strip_prefix(root).ok().and_then(Path::to_str).filter(|_| kind.is_file())
        else {
            continue;
        };
        let relative = relative.replace('\\', "/");
        if let Some(module) = module_path(&relative) {
            modules.push((module.to_owned(), Body::File(path.clone())));
        }
    }
    Ok(())
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, KernelError> {
    let read = |source| KernelError::Read { path: dir.to_owned(), source };
    fs::read_dir(dir).map_err(read)?.map(|entry| Ok(entry.map_err(read)?.path())).collect()
}

fn read_file(path: &Path) -> Result<Vec<u8>, KernelError> {
    fs::read(path).map_err(|source| KernelError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn tree(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        dir
    }

    #[test]
    fn takes_the_newest_kernel_and_its_modules() {
        let old = testing::xz_bzimage("6.1.9 (x)", &testing::vmlinux(true));
        let new = testing::xz_bzimage("6.1.10 (x)", &testing::vmlinux(true));
        let dir = tree(&[
            ("boot/vmlinuz-6.1.9", &old),
            ("boot/vmlinuz-6.1.10", &new),
            ("boot/config-6.1.10", b"CONFIG_MODULES=y\nCONFIG_RD_GZIP=y\n"),
            ("lib/modules/6.1.10/kernel/fs/ext4.ko", &testing::module(&["depends=jbd2"])),
        ]);
        let package = read(dir.path()).unwrap();
        assert_eq!(package.release, "6.1.10");
        assert_eq!(package.modules[0].path, "kernel/fs/ext4.ko");
    }

    #[test]
    fn a_kernel_without_module_support_needs_no_modules() {
        let image = testing::xz_bzimage("6.12.1", &testing::vmlinux(true));
        let dir = tree(&[("bzImage", &image), (".config", b"CONFIG_RD_LZ4=y\n")]);
        assert!(read(dir.path()).unwrap().modules.is_empty());
    }

    #[test]
    fn a_kernel_may_carry_its_configuration() {
        let mut vmlinux = testing::vmlinux(true);
        vmlinux.extend_from_slice(b"IKCFG_ST");
        vmlinux.extend(testing::gzip(b"CONFIG_RD_LZ4=y\n"));
        let image = testing::xz_bzimage("6.12.1", &vmlinux);
        let dir = tree(&[("kernel", &image)]);
        assert!(read(dir.path()).unwrap().config.has("CONFIG_RD_LZ4"));
        let beside = tree(&[("kernel", &image), ("config", b"CONFIG_MODULES=y\n")]);
        let config = configuration(beside.path()).unwrap();
        assert!(
            config.has("CONFIG_MODULES") && !config.has("CONFIG_RD_LZ4"),
            "the file counts, without modules"
        );
    }

    #[test]
    fn says_what_is_missing() {
        let image = testing::xz_bzimage("6.12.1", &testing::vmlinux(true));
        for (files, expected) in [
            (vec![], "no kernel image"),
            (vec![("kernel", &image[..])], "no kernel configuration"),
            (
                vec![("kernel", &image[..]), ("config", b"CONFIG_MODULES=y\n")],
                "no modules for the kernel 6.12.1",
            ),
        ] {
            let dir = tree(&files);
            let error = read(dir.path()).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = read(Path::new("/nonexistent/dir")).err().unwrap().to_string();
        assert!(error.contains("cannot read"), "{error}");
    }
}
