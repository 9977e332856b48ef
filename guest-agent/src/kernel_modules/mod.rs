//! Kernel modules by name: what `modprobe` does when the kernel, a person or `install-drivers` asks for one.
//!
//! The modules of the image have `modules.dep` and `modules.alias` beside them; drivers that a host brings along have
//! neither, and are read themselves.

mod alias;
mod elf;
mod index;

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};

pub(crate) use index::Index;

/// A module that could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nothing has that name.
    #[error("there is no module {0}")]
    NotFound(String),
    /// The description of the modules.
    #[error("reading {path}", path = .path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel refused it.
    #[error("loading {path}", path = .path.display())]
    Load {
        /// The module.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The kernel counts `-` and `_` as one.
pub(crate) fn normalise(name: &str) -> String {
    name.replace('-', "_")
}

/// A module's name, from the name of its file.
fn name_of(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let (name, _) = file.split_once(".ko")?;
    Some(normalise(name))
}

/// Loads the module that `wanted` names, directly or by an alias, after everything that it needs. Modules that are
/// loaded or built in already are fine.
pub(crate) fn load(index: &Index, wanted: &str, parameters: &str) -> Result<(), Error> {
    let modules = index.resolve(wanted);
    if modules.is_empty() {
        let known = Path::new("/sys/module").join(normalise(wanted)).exists();
        return if known { Ok(()) } else { Err(Error::NotFound(wanted.to_owned())) };
    }
    for module in modules {
        for needed in index.needs(&module) {
            load_file(&needed, "")?;
        }
        load_file(&module, parameters)?;
    }
    Ok(())
}

/// Loads one file. `ENODEV` means that the machine lacks the hardware.
pub(crate) fn load_file(path: &Path, parameters: &str) -> Result<(), Error> {
    let failed = |source| Error::Load { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let parameters = CString::new(parameters).map_err(|error| failed(error.into()))?;
    let plain = path.extension().is_some_and(|extension| extension == "ko");
    let flags = if plain {
        ModuleInitFlags::empty()
    } else {
        // MODULE_INIT_COMPRESSED_FILE of linux/module.h; kernels without it refuse, and that is the error.
        ModuleInitFlags::from_bits_retain(4)
    };
    match finit_module(&file, &parameters, flags) {
        Ok(()) | Err(Errno::EEXIST | Errno::ENODEV) => Ok(()),
        Err(error) => Err(failed(error.into())),
    }
}
