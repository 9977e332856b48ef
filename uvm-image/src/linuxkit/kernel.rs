//! The kernel of a description: what its image has, and the part of the stream that it makes.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::sync::OnceLock;

use lcow_disk::tar::{Entry, Kind, Reader, TarError};

use super::config::Kernel;
use super::flatten::flatten;
use super::images::Found;
use super::paths;
use super::stream::{Origin, Stream};
use super::unpack::UnpackError;
use crate::kernel::bzimage::{self, BzImageError, Vmlinux};
use crate::kernel::config::KernelConfig;
use crate::sbom::Part;

/// Why there is no kernel.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The image lacks something.
    #[error("did not find {what} in kernel image {image}: no file {name}")]
    Missing {
        /// `kernel`, `kernel tar` or `microcode`.
        what: &'static str,
        /// The image.
        image: String,
        /// The file.
        name: String,
    },
    /// The image cannot be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// An archive is damaged.
    #[error("cannot unpack {what}")]
    Tar {
        /// Which.
        what: String,
        /// What is wrong.
        source: TarError,
    },
    /// Temporary files fail.
    #[error("cannot collect the kernel in a temporary file in {}", std::env::temp_dir().display())]
    Write(#[from] io::Error),
}

/// The parts of a kernel image that count.
pub struct KernelFiles {
    /// The image.
    pub image: String,
    /// The kernel's permissions.
    pub mode: u16,
    /// The kernel.
    pub kernel: Vec<u8>,
    /// Its configuration, if the image has it beside it (`config` or `kernel-config`).
    pub config: Option<Vec<u8>>,
    /// The archive of modules, if one is wanted.
    pub tar: Option<File>,
    /// Processor microcode, if wanted.
    pub ucode: Option<Vec<u8>>,
    /// The command line.
    pub cmdline: String,
    /// The image in a list of what is in boot files.
    pub part: Part,
    vmlinux: OnceLock<Vmlinux>,
}

impl KernelFiles {
    /// Takes from `found` what `kernel` names.
    pub fn read(kernel: &Kernel, found: &Found) -> Result<Self, KernelError> {
        let (mut binary, mut config, mut tar, mut ucode, mut mode) = (None, None, None, None, 0o644);
        flatten(found, &|_| false, &mut |entry, layer| {
            let path = String::from_utf8_lossy(&entry.path).into_owned();
            if entry.kind != Kind::File {
                return Ok(());
            }
            let damaged = |source| UnpackError::Tar { image: found.name.clone(), source };
            if path == kernel.binary() {
                (binary, mode) = (Some(bytes(layer).map_err(damaged)?), entry.mode);
            } else if kernel.tar() == Some(&path[..]) {
                tar = Some(spool(layer)?);
            } else if kernel.ucode() == Some(&path[..]) {
                ucode = Some(bytes(layer).map_err(damaged)?);
            } else if matches!(&path[..], "config" | "kernel-config") {
                config = Some(bytes(layer).map_err(damaged)?);
            }
            Ok(())
        })?;
        let missing = |what, name: &str| KernelError::Missing {
            what,
            image: found.name.clone(),
            name: name.to_owned(),
        };
        if let (Some(name), None) = (kernel.tar(), &tar) {
            return Err(missing("kernel tar", name));
        }
        if let (Some(name), None) = (kernel.ucode(), &ucode) {
            return Err(missing("microcode", name));
        }
        let kernel_bytes = binary.ok_or_else(|| missing("kernel", kernel.binary()))?;
        let (image, cmdline) = (found.name.clone(), kernel.cmdline.clone());
        Ok(Self {
            image,
            mode,
            kernel: kernel_bytes,
            config,
            tar,
            ucode,
            cmdline,
            part: found.part(),
            vmlinux: OnceLock::new(),
        })
    }

    /// The kernel inside the image, which is unpacked once.
    pub fn vmlinux(&self) -> Result<&Vmlinux, BzImageError> {
        match self.vmlinux.get() {
            Some(vmlinux) => Ok(vmlinux),
            None => bzimage::extract(&self.kernel).map(|vmlinux| self.vmlinux.get_or_init(|| vmlinux)),
        }
    }

    /// Replaces the image by the kernel inside.
    pub fn decompress(&mut self) -> Result<(), BzImageError> {
        self.vmlinux()?;
        if let Some(vmlinux) = self.vmlinux.get() {
            self.kernel.clone_from(&vmlinux.bytes);
        }
        Ok(())
    }

    /// What the kernel says about itself, if it does.
    pub fn configuration(&self) -> Result<Option<KernelConfig>, BzImageError> {
        match &self.config {
            Some(config) => Ok(Some(KernelConfig::parse(&String::from_utf8_lossy(config)))),
            None => Ok(KernelConfig::embedded(&self.vmlinux()?.bytes)),
        }
    }

    /// Writes the kernel's block: what is in `boot`, and the archive's entries in their places.
    pub fn write(&self, out: &mut Stream) -> Result<(), KernelError> {
        let origin = self.origin();
        out.directory(&origin, "boot")?;
        out.file(&origin, "boot/cmdline", 0o644, self.cmdline.as_bytes())?;
        out.file(&origin, "boot/kernel", self.mode, &self.kernel)?;
        self.write_modules(out, &|_| true)?;
        if let Some(ucode) = &self.ucode {
            out.file(&origin, "boot/ucode.cpio", 0o644, ucode)?;
        }
        Ok(())
    }

    /// Writes the archive's entries alone, where nothing is yet: behind everything else they hide nothing.
    pub fn write_missing_modules(&self, out: &mut Stream) -> Result<(), KernelError> {
        let there = out.paths();
        self.write_modules(out, &|path| !there.contains(path))
    }

    fn write_modules(&self, out: &mut Stream, wanted: &dyn Fn(&[u8]) -> bool) -> Result<(), KernelError> {
        let origin = self.origin();
        if let Some(mut tar) = self.tar.as_ref() {
            let fault =
                |source| KernelError::Tar { what: "the archive of kernel modules".to_owned(), source };
            tar.rewind()?;
            let mut reader = Reader::new(BufReader::with_capacity(1 << 20, tar));
            while let Some(mut entry) = reader.next_entry().map_err(fault)? {
                clean(&mut entry, &self.image)?;
                if !entry.path.is_empty() && wanted(&entry.path) {
                    out.entry(&origin, entry, Data(&mut reader))?;
                }
            }
        }
        Ok(())
    }

    fn origin(&self) -> Origin {
        Origin { source: self.image.clone(), location: "kernel".to_owned() }
    }
}

/// Whether `path` is part of the stream only for the outputs that have it in files of their own.
pub fn is_diverted(path: &[u8]) -> bool {
    matches!(path, b"boot/cmdline" | b"boot/kernel" | b"boot/ucode.cpio")
}

/// Makes paths relative to the root, and refuses those that leave it.
fn clean(entry: &mut Entry, image: &str) -> Result<(), KernelError> {
    let clean = |path: &[u8]| {
        paths::clean(path).map_err(|_| UnpackError::Path { image: image.to_owned(), path: paths::text(path) })
    };
    entry.path = clean(&entry.path)?;
    if entry.kind == Kind::HardLink {
        entry.link = clean(&entry.link)?;
    }
    Ok(())
}

fn bytes(reader: &mut Reader<impl Read>) -> Result<Vec<u8>, TarError> {
    let mut all = Vec::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match reader.read_data(&mut buffer)? {
            0 => return Ok(all),
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
}

fn spool(reader: &mut Reader<impl Read>) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(&mut Data(reader), &mut file)?;
    Ok(file)
}

struct Data<'a, R>(&'a mut Reader<R>);

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_data(buffer).map_err(io::Error::other)
    }
}
