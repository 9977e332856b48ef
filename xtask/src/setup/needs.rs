//! What building and testing need: a table of probes and the Debian packages that satisfy them.

use super::probe::Probe;

/// One thing that is needed.
#[derive(Debug)]
pub(super) struct Need {
    /// What people call it.
    pub(super) what: &'static str,
    /// How to find out whether it is there.
    pub(super) probe: Probe,
    /// The Debian packages that bring it.
    pub(super) packages: &'static [&'static str],
    /// Only for checks (`--dev`).
    pub(super) dev: bool,
    /// What for.
    pub(super) reason: &'static str,
}

const fn need(
    what: &'static str,
    probe: Probe,
    packages: &'static [&'static str],
    reason: &'static str,
) -> Need {
    Need { what, probe, packages, dev: false, reason }
}

const fn dev(
    what: &'static str,
    probe: Probe,
    packages: &'static [&'static str],
    reason: &'static str,
) -> Need {
    Need { what, probe, packages, dev: true, reason }
}

/// Packages that must come from one release of QEMU: Debian 12's emulator removes backported utilities.
pub(super) const QEMU: &[&str] = &["qemu-system-x86", "qemu-utils", "qemu-block-extra"];

const COMPILER: &[&str] = &["gcc", "libc6-dev"];

/// The table.
#[rustfmt::skip]
pub(super) const NEEDS: &[Need] = &[
    need("QEMU for x86", Probe::Runs(&["qemu-system-x86_64", "--version"]), QEMU, "runs utility VMs"),
    need("qemu-img", Probe::Runs(&["qemu-img", "--version"]), QEMU, "checks disk images"),
    need("e2fsck", Probe::Runs(&["e2fsck", "-V"]), &["e2fsprogs"], "checks file systems"),
    need("a C compiler with static libraries", Probe::Links("int main(void) { return 0; }", &[]), COMPILER, "links the guest agent"),
    need("make", Probe::Runs(&["make", "--version"]), &["make"], "builds the guest agent's C libraries"),
    need("pkg-config", Probe::Runs(&["pkg-config", "--version"]), &["pkg-config"], "finds the guest agent's C libraries"),
    need("static libseccomp", Probe::Links("#include <seccomp.h>\nint main(void) { return seccomp_version() == 0; }", &["-lseccomp"]), &["libseccomp-dev"], "system call filters in the guest agent"),
    need("static libelf", Probe::Links("#include <libelf.h>\nint main(void) { return elf_version(EV_CURRENT); }", &["-lelf", "-lz", "-lzstd"]), &["libelf-dev", "zlib1g-dev", "libzstd-dev"], "device control in the guest agent"),
    need("static zlib", Probe::Links("#include <zlib.h>\nint main(void) { return !zlibVersion(); }", &["-lz"]), &["zlib1g-dev"], "device control in the guest agent"),
    need("static zstd", Probe::Links("#include <zstd.h>\nint main(void) { return !ZSTD_versionNumber(); }", &["-lzstd"]), &["libzstd-dev"], "device control in the guest agent"),
    need("flex", Probe::Runs(&["flex", "--version"]), &["flex"], "builds the tailored kernel"),
    need("bison", Probe::Runs(&["bison", "--version"]), &["bison"], "builds the tailored kernel"),
    need("bc", Probe::Runs(&["bc", "--version"]), &["bc"], "builds the tailored kernel"),
    need("xz", Probe::Runs(&["xz", "--version"]), &["xz-utils"], "packs the tailored kernel"),
    need("static busybox", Probe::Static("/bin/busybox"), &["busybox-static"], "a shell in debug images and in tests"),

    dev("mingw-w64", Probe::Runs(&["x86_64-w64-mingw32-gcc", "--version"]), &["gcc-mingw-w64-x86-64", "mingw-w64-x86-64-dev"], "checks the Windows build"),
    need("veritysetup", Probe::Runs(&["veritysetup", "--version"]), &["cryptsetup-bin"], "checks dm-verity hashes"),
    need("mkfs.xfs", Probe::Runs(&["mkfs.xfs", "-V"]), &["xfsprogs"], "makes disks for tests"),
    need("sgdisk", Probe::Runs(&["sgdisk", "--version"]), &["gdisk"], "checks partition tables"),
    dev("sfdisk", Probe::Runs(&["sfdisk", "--version"]), &["fdisk"], "checks partition tables"),
    dev("fsck.fat", Probe::Runs(&["fsck.fat", "--help"]), &["dosfstools"], "checks EFI system partitions"),
    dev("mtools", Probe::Runs(&["mcopy", "--version"]), &["mtools"], "reads EFI system partitions"),
    dev("mmdebstrap", Probe::Runs(&["mmdebstrap", "--version"]), &["mmdebstrap"], "makes root file systems for tests"),
    dev("docker-registry", Probe::Runs(&["docker-registry", "--version"]), &["docker-registry"], "a registry to pull images from"),
    dev("skopeo", Probe::Runs(&["skopeo", "--version"]), &["skopeo"], "fills registries, judges archives"),
    dev("openssl", Probe::Runs(&["openssl", "version"]), &["openssl"], "certificates of a registry"),
    dev("htpasswd", Probe::Exists(&["/usr/bin/htpasswd"]), &["apache2-utils"], "accounts of a registry"),
    dev("UEFI firmware", Probe::Exists(&["/usr/share/ovmf/OVMF.fd"]), &["ovmf"], "boots the EFI files"),
    need("the EFI stub", Probe::Exists(&["/usr/lib/systemd/boot/efi/linuxx64.efi.stub"]), &["systemd-boot-efi"], "EFI programs with everything in them"),
    need("objdump", Probe::Runs(&["objdump", "--version"]), &["binutils"], "checks EFI programs"),
    dev("cpio", Probe::Runs(&["cpio", "--version"]), &["cpio"], "checks initrds"),
    dev("lz4", Probe::Runs(&["lz4", "--version"]), &["lz4"], "checks initrds"),
    need("strace", Probe::Runs(&["strace", "--version"]), &["strace"], "lets system calls fail in tests"),
    dev("the default seccomp profile", Probe::Exists(&["/usr/share/containers/seccomp.json"]), &["golang-github-containers-common"], "compares system call filters"),
];

/// The packages for `missing`, each once, sorted.
pub(super) fn packages(missing: &[&Need]) -> Vec<&'static str> {
    let mut packages: Vec<_> = missing.iter().flat_map(|need| need.packages.iter().copied()).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_once() {
        let both: Vec<_> = NEEDS.iter().take(2).collect();
        assert_eq!(packages(&both), ["qemu-block-extra", "qemu-system-x86", "qemu-utils"]);
        assert!(NEEDS.iter().all(|need| !need.packages.is_empty() && !need.reason.is_empty()));
    }
}
