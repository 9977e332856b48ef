//! LinuxKit's own outputs, under its own names.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use lcow_disk::tar::{Entry, Timestamp, Writer};

use super::build::Options;
use super::cpio::{self, CpioError};
use super::kernel::{KernelFiles, is_diverted};
use super::stream::MADE;
use crate::newc;
use crate::outputs::{OutputError, Staging};

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
    /// Its file fails.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// Its initrd.
    #[error("cannot make {}", path.display())]
    Cpio {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CpioError,
    },
}

/// Writes the files of `format` from the stream `tar`, named and dated as `options` say.
pub fn write(
    format: Native,
    options: &Options,
    kernel: Option<&KernelFiles>,
    tar: &mut File,
    staging: &mut Staging,
) -> Result<(), NativeError> {
    let name = &options.name;
    match format {
        Native::Tar => copy(tar, &format!("{name}.tar"), staging),
        Native::Docker => copy(tar, &format!("{name}.docker"), staging),
        Native::KernelInitrd => {
            let ucode = kernel.and_then(|kernel| kernel.ucode.as_deref());
            if let Some(kernel) = kernel {
                staging.bytes(&format!("{name}-kernel"), &kernel.kernel)?;
                if !kernel.cmdline.is_empty() {
                    staging.bytes(&format!("{name}-cmdline"), kernel.cmdline.as_bytes())?;
                }
            }
            file(&format!("{name}-initrd.img"), staging, |out| initrd(tar, ucode, out))
        }
        Native::TarKernelInitrd => file(&format!("{name}-initrd.tar"), staging, |out| {
            let mut packed = Vec::new();
            initrd(tar, None, &mut packed)?;
            Ok(members(kernel, &packed, options.write.epoch, out)?)
        }),
    }
}

/// Writes the file `name` with `body`.
fn file(
    name: &str,
    staging: &mut Staging,
    body: impl FnOnce(&mut dyn Write) -> Result<(), CpioError>,
) -> Result<(), NativeError> {
    let path = staging.path(name);
    staging.file(name, |out| {
        body(out).map_err(|error| match error {
            CpioError::Io(source) => NativeError::Output(OutputError { path, source }),
            source => NativeError::Cpio { path, source },
        })
    })
}

/// The stream as a cpio archive in gzip, behind the microcode.
fn initrd(tar: &mut File, ucode: Option<&[u8]>, out: &mut dyn Write) -> Result<(), CpioError> {
    if let Some(ucode) = ucode {
        out.write_all(ucode)?;
        // The kernel looks for the next archive at a multiple of four.
        out.write_all(&[0; 4][..newc::padding(ucode.len() as u64)])?;
    }
    let mut packed = GzEncoder::new(out, Compression::default());
    cpio::write(tar, &mut packed, &|path| !is_diverted(path))?;
    packed.finish()?;
    Ok(())
}

fn members(
    kernel: Option<&KernelFiles>,
    initrd: &[u8],
    epoch: Option<i64>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut files: Vec<(&str, &[u8])> = Vec::new();
    files.extend(kernel.map(|kernel| ("kernel", &kernel.kernel[..])));
    files.push(("initrd.img", initrd));
    files.extend(kernel.filter(|k| !k.cmdline.is_empty()).map(|k| ("cmdline", k.cmdline.as_bytes())));
    files.extend(kernel.and_then(|k| Some(("ucode.cpio", k.ucode.as_deref()?))));
    let mut tar = Writer::new(out);
    for (name, bytes) in files {
        let mtime = Timestamp { seconds: epoch.map_or(MADE, |epoch| epoch.min(MADE)), nanoseconds: 0 };
        let entry = Entry { mtime, ..Entry::file(name, 0o644, bytes.len() as u64) };
        tar.append(&entry, bytes)?;
    }
    tar.finish().map(drop)
}

fn copy(tar: &mut File, name: &str, staging: &mut Staging) -> Result<(), NativeError> {
    file(name, staging, |out| {
        tar.rewind()?;
        io::copy(tar, out)?;
        Ok(())
    })
}
