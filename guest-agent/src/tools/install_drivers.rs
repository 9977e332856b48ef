//! `install-drivers OVERLAY DRIVERS` (spec section 14.7): makes a host's driver directory writable with an overlay and
//! loads every kernel module in it. The host shows its user what is printed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::boot_disks;
use crate::kernel_modules::{self, Index};
use crate::storage;

/// Why drivers were not installed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Overlay(#[from] storage::Error),
    #[error(transparent)]
    Modules(#[from] kernel_modules::Error),
}

/// Installs drivers. An overlay that exists was installed before.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    let args = super::texts(args);
    let [overlay, drivers] = &args[..] else {
        return super::usage("install-drivers", "OVERLAY DRIVERS");
    };
    let (overlay, drivers) = (PathBuf::from(overlay), PathBuf::from(drivers));
    if overlay.exists() {
        return ExitCode::SUCCESS;
    }
    match install(&overlay, &drivers) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::failed("install-drivers", &error),
    }
}

fn install(overlay: &Path, drivers: &Path) -> Result<(), Error> {
    let content = storage::overlay_directory(overlay, drivers)?;
    let system = match boot_disks::directory() {
        Some(directory) => Index::read(&directory)?,
        None => Index::default(),
    };
    let index = Index::scan(&content, &system)?;
    for name in index.names() {
        kernel_modules::load(&index, name, "")?;
    }
    Ok(())
}
