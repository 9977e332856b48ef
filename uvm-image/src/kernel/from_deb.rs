//! A kernel from a Debian `linux-image-*` package.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use super::config::KernelConfig;
use super::spool::SpoolWriter;
use super::{Body, KernelError, KernelPackage, image_release, modinfos, module_path};
use crate::deb::Deb;
use crate::modules::builtin::Builtin;

/// Files of the package that are neither modules nor documentation.
type SmallFiles = BTreeMap<String, Vec<u8>>;

pub(super) fn read(path: &Path, scratch: &Path) -> Result<KernelPackage, KernelError> {
    let deb = Deb::open(path)?;
    let unpack = |source| KernelError::Unpack { path: path.to_owned(), source };
    let mut archive = tar::Archive::new(deb.data()?);
    let mut spool = SpoolWriter::create(scratch)?;
    let mut modules = Vec::new();
    let mut files = SmallFiles::new();

    for entry in archive.entries().map_err(unpack)? {
        let mut entry = entry.map_err(unpack)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry_name(&entry.path_bytes()).map_err(unpack)?;
        let (is_module, is_wanted) =
            (modules_path(&name).and_then(module_path).is_some(), is_small_file(&name));
        if !is_module && !is_wanted {
            continue;
        }
        let mut bytes = Vec::with_capacity(usize::try_from(entry.size()).unwrap_or(0));
        entry.read_to_end(&mut bytes).map_err(unpack)?;
        match modules_path(&name).and_then(module_path) {
            Some(module) => {
                let body = Body::Spooled { offset: spool.append(&bytes)?, len: bytes.len() };
                modules.push((module.to_owned(), body));
            }
            None => drop(files.insert(name, bytes)),
        }
    }
    assemble(path, files, modules, spool)
}

fn assemble(
    path: &Path,
    mut files: SmallFiles,
    modules: Vec<(String, Body)>,
    spool: SpoolWriter,
) -> Result<KernelPackage, KernelError> {
    let missing = |what: String| KernelError::Missing { path: path.to_owned(), what };
    let name = files.keys().find(|name| name.starts_with("boot/vmlinuz-")).cloned().ok_or_else(|| {
        missing("kernel image boot/vmlinuz-*: not a linux-image package with a kernel".into())
    })?;
    let image = files.remove(&name).unwrap_or_default();
    let release = image_release(&name, &image)?;
    let config_name = format!("boot/config-{release}");
    let config =
        files.get(&config_name).ok_or_else(|| missing(format!("kernel configuration {config_name}")))?;
    let text = |wanted: &str| {
        files.iter().find(|(name, _)| modules_path(name) == Some(wanted)).map_or(&[][..], |(_, bytes)| bytes)
    };
    let spool = spool.finish()?;
    Ok(KernelPackage {
        release,
        image,
        config: KernelConfig::parse(&String::from_utf8_lossy(config)),
        builtin: Builtin::parse(text("modules.builtin"), text("modules.builtin.modinfo")),
        modules: modinfos::read(modules, Some(&spool))?,
        spool: Some(spool),
    })
}

fn entry_name(bytes: &[u8]) -> io::Result<String> {
    let name = std::str::from_utf8(bytes).map_err(io::Error::other)?;
    Ok(name.trim_start_matches("./").to_owned())
}

/// The part of `name` below `lib/modules/<release>/` (Debian 13 has it in `usr`).
fn modules_path(name: &str) -> Option<&str> {
    let name = name.strip_prefix("usr/").unwrap_or(name);
    name.strip_prefix("lib/modules/")?.split_once('/').map(|(_, rest)| rest)
}

fn is_small_file(name: &str) -> bool {
    name.starts_with("boot/vmlinuz-")
        || name.starts_with("boot/config-")
        || matches!(modules_path(name), Some("modules.builtin" | "modules.builtin.modinfo"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn read_deb(files: &[(&str, &[u8])]) -> Result<KernelPackage, KernelError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("linux-image-1.deb");
        std::fs::write(&path, testing::deb(files)).unwrap();
        read(&path, dir.path())
    }

    #[test]
    fn reads_kernel_config_and_modules() {
        let image = testing::xz_bzimage("6.1.0-9-amd64 (debian) #1", &testing::vmlinux(true));
        let ext4 = testing::module(&["depends=crc16"]);
        let crc16 = testing::module(&["depends="]);
        let package = read_deb(&[
            ("boot/vmlinuz-6.1.0-9-amd64", &image),
            ("boot/config-6.1.0-9-amd64", b"CONFIG_RD_LZ4=y\n"),
            ("usr/lib/modules/6.1.0-9-amd64/kernel/fs/ext4.ko.xz", &testing::xz(&ext4)),
            ("lib/modules/6.1.0-9-amd64/kernel/crypto/crc16.ko", &crc16),
            ("lib/modules/6.1.0-9-amd64/modules.builtin", b"kernel/crypto/aes_generic.ko\n"),
        ])
        .unwrap();
        assert_eq!(package.release, "6.1.0-9-amd64");
        assert!(package.config.has("CONFIG_RD_LZ4"));
        assert!(package.builtin.contains("aes_generic"));
        let paths: Vec<_> = package.modules.iter().map(|m| m.path.as_str()).collect();
        assert_eq!(paths, ["kernel/crypto/crc16.ko", "kernel/fs/ext4.ko"]);
        assert_eq!(package.modules[1].info.depends, ["crc16"]);
        assert_eq!(package.module_bytes(&package.modules[0]).unwrap(), crc16);
        assert_eq!(package.module_bytes(&package.modules[1]).unwrap(), ext4);
    }

    #[test]
    fn says_what_a_package_lacks() {
        let error = read_deb(&[("usr/share/doc/readme", b"x")]).err().unwrap().to_string();
        assert!(error.contains("has no kernel image boot/vmlinuz-*"), "{error}");
        let image = testing::xz_bzimage("6.1.0", &testing::vmlinux(true));
        let error = read_deb(&[("boot/vmlinuz-6.1.0", &image)]).err().unwrap().to_string();
        assert!(error.contains("has no kernel configuration boot/config-6.1.0"), "{error}");
    }
}
