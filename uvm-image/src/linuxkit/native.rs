//! LinuxKit's own outputs, under its own names.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use lcow_disk::tar::{Entry, Timestamp, Writer};
use tempfile::TempDir;

use super::kernel::{KernelFiles, is_diverted};
use super::newc::{self, NewcError};
use super::stream::MADE;

/// An output of LinuxKit's own tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Native {
    /// `NAME-kernel`, `NAME-initrd.img`, `NAME-cmdline`.
    KernelInitrd,
    /// `NAME-initrd.tar` with these files.
    TarKernelInitrd,
    /// `NAME.tar`: the whole stream.
    Tar,
    /// `NAME.docker`: the stream with a Dockerfile.
    Docker,
}

/// Why an output cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum NativeError {
    /// The file fails.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The initrd.
    #[error(transparent)]
    Newc(#[from] NewcError),
}

/// Files beside their place, which they all reach in the end or none does.
pub struct Staging {
    directory: PathBuf,
    new: TempDir,
    names: Vec<String>,
}

impl Staging {
    /// For files in `directory`, which is made if need be.
    pub fn new(directory: &Path) -> Result<Self, NativeError> {
        let fault = |source| NativeError::Write { path: directory.to_owned(), source };
        std::fs::create_dir_all(directory).map_err(fault)?;
        let new = TempDir::with_prefix_in(".uvm-build-", directory).map_err(fault)?;
        Ok(Self { directory: directory.to_owned(), new, names: Vec::new() })
    }

    /// Writes the file `name` with `body`.
    pub fn file<E: From<NativeError>>(
        &mut self,
        name: String,
        body: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        let path = self.new.path().join(&name);
        let fault = |source| NativeError::Write { path: self.directory.join(&name), source };
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&path).map_err(fault)?);
        body(&mut out)?;
        out.flush().map_err(fault)?;
        self.names.push(name);
        Ok(())
    }

    /// Puts all files in their places and gives their names and sizes.
    pub fn finish(self) -> Result<Vec<(String, u64)>, NativeError> {
        let mut all = Vec::new();
        for name in self.names {
            let (from, path) = (self.new.path().join(&name), self.directory.join(&name));
            let fault = |source| NativeError::Write { path: path.clone(), source };
            let size = from.metadata().map_err(fault)?.len();
            std::fs::rename(&from, &path).map_err(fault)?;
            all.push((name, size));
        }
        Ok(all)
    }
}

/// Writes the files of `format` for the description `name` from its stream `tar`.
pub fn write(
    format: Native,
    name: &str,
    kernel: Option<&KernelFiles>,
    tar: &mut File,
    staging: &mut Staging,
) -> Result<(), NativeError> {
    match format {
        Native::Tar => copy(tar, format!("{name}.tar"), staging),
        Native::Docker => copy(tar, format!("{name}.docker"), staging),
        Native::KernelInitrd => {
            let ucode = kernel.and_then(|kernel| kernel.ucode.as_deref());
            if let Some(kernel) = kernel {
                bytes(format!("{name}-kernel"), &kernel.kernel, staging)?;
                if !kernel.cmdline.is_empty() {
                    bytes(format!("{name}-cmdline"), kernel.cmdline.as_bytes(), staging)?;
                }
            }
            staging.file(format!("{name}-initrd.img"), |out| initrd(tar, ucode, out))
        }
        Native::TarKernelInitrd => {
            let mut packed = Vec::new();
            initrd(tar, None, &mut packed)?;
            members(format!("{name}-initrd.tar"), kernel, &packed, staging)
        }
    }
}

/// The stream as a cpio archive in gzip, behind the microcode.
fn initrd(tar: &mut File, ucode: Option<&[u8]>, out: &mut dyn Write) -> Result<(), NativeError> {
    let fault = |source| NativeError::Newc(NewcError::Io(source));
    if let Some(ucode) = ucode {
        out.write_all(ucode).map_err(fault)?;
        // The kernel looks for the next archive at a multiple of four.
        out.write_all(&[0; 4][..ucode.len().wrapping_neg() % 4]).map_err(fault)?;
    }
    let mut packed = GzEncoder::new(out, Compression::default());
    newc::write(tar, &mut packed, &|path| !is_diverted(path))?;
    packed.finish().map_err(fault)?;
    Ok(())
}

fn members(
    name: String,
    kernel: Option<&KernelFiles>,
    initrd: &[u8],
    staging: &mut Staging,
) -> Result<(), NativeError> {
    let mut files: Vec<(&str, &[u8])> = Vec::new();
    files.extend(kernel.map(|kernel| ("kernel", &kernel.kernel[..])));
    files.push(("initrd.img", initrd));
    files.extend(kernel.filter(|k| !k.cmdline.is_empty()).map(|k| ("cmdline", k.cmdline.as_bytes())));
    files.extend(kernel.and_then(|k| Some(("ucode.cpio", k.ucode.as_deref()?))));
    staging.file(name, |out| {
        let fault = |source| NativeError::Newc(NewcError::Io(source));
        let mut tar = Writer::new(out);
        for (name, bytes) in files {
            let mtime = Timestamp { seconds: MADE, nanoseconds: 0 };
            let entry = Entry { mtime, ..Entry::file(name, 0o644, bytes.len() as u64) };
            tar.append(&entry, bytes).map_err(fault)?;
        }
        tar.finish().map_err(fault)?;
        Ok(())
    })
}

fn bytes(name: String, bytes: &[u8], staging: &mut Staging) -> Result<(), NativeError> {
    staging.file(name, |out| out.write_all(bytes).map_err(|source| NativeError::Newc(NewcError::Io(source))))
}

fn copy(tar: &mut File, name: String, staging: &mut Staging) -> Result<(), NativeError> {
    staging.file(name, |out| {
        let copied = tar.rewind().and_then(|()| io::copy(tar, out));
        copied.map(drop).map_err(|source| NativeError::Newc(NewcError::Io(source)))
    })
}
