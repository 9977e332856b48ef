//! A kernel, its command line and perhaps an initrd in one EFI program, on systemd's stub.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::pe::{self, PeError, Section};

/// Where Debian's package systemd-boot-efi has the stub.
pub const STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";

/// Why there is no unified program.
#[derive(Debug, thiserror::Error)]
pub enum UnifiedError {
    /// There is no stub.
    #[error(
        "cannot read the EFI stub {}; install the package systemd-boot-efi (`cargo xtask setup` does), or name one with --efi-stub",
        path.display()
    )]
    Stub {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The stub cannot be used.
    #[error("cannot put the kernel into the EFI stub")]
    Pe(#[from] PeError),
}

/// Reads the stub at `path`.
pub fn stub(path: &Path) -> Result<Vec<u8>, UnifiedError> {
    fs::read(path).map_err(|source| UnifiedError::Stub { path: path.to_owned(), source })
}

/// What goes into a unified program.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// The text of `/etc/os-release`, for boot loaders that show it.
    pub os_release: &'a str,
    /// The kernel command line.
    pub command_line: &'a str,
    /// The initrd, unless the root is elsewhere.
    pub initrd: Option<&'a [u8]>,
    /// The kernel with its EFI stub.
    pub kernel: &'a [u8],
}

/// Puts `parts` behind `stub`.
pub fn build(stub: &[u8], parts: &Parts<'_>) -> Result<Vec<u8>, UnifiedError> {
    let mut sections = vec![
        Section { name: ".osrel", data: parts.os_release.as_bytes() },
        Section { name: ".cmdline", data: parts.command_line.as_bytes() },
    ];
    sections.extend(parts.initrd.map(|data| Section { name: ".initrd", data }));
    // Last, because a kernel that is run where it lies needs room behind itself.
    sections.push(Section { name: ".linux", data: parts.kernel });
    Ok(pe::append(stub, &sections)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_what_firmware_does_not_pass() {
        let parts =
            Parts { os_release: "ID=lcow\n", command_line: "quiet", initrd: Some(b"cpio"), kernel: b"MZ" };
        let stub = pe::tests::program(4);
        let out = build(&stub, &parts).unwrap();
        assert_eq!(pe::section(&out, ".initrd"), Some(&b"cpio"[..]));
        assert_eq!(pe::section(&out, ".linux"), Some(&b"MZ"[..]));
        let out = build(&stub, &Parts { initrd: None, ..parts }).unwrap();
        assert_eq!(pe::section(&out, ".initrd"), None);
        assert_eq!(pe::section(&out, ".cmdline"), Some(&b"quiet"[..]));
    }

    #[test]
    fn a_missing_stub_names_its_package() {
        let error = stub(Path::new("/nonexistent/stub")).unwrap_err().to_string();
        assert!(error.contains("systemd-boot-efi"), "{error}");
    }
}
