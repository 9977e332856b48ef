//! `mkfs.ext4 [-F] [-q] DEVICE`: makes an ext4 file system on all of a device.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::storage;

/// Formats the device. Never asks.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    let mut devices = Vec::new();
    for arg in args {
        match arg.to_str() {
            // It is always forced, and quiet anyway.
            Some("-F" | "-q") => {}
            Some(text) if text.starts_with('-') => return super::usage("mkfs.ext4", "[-F] [-q] DEVICE"),
            _ => devices.push(PathBuf::from(arg)),
        }
    }
    let [device] = &devices[..] else { return super::usage("mkfs.ext4", "[-F] [-q] DEVICE") };
    match storage::format_ext4(device) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::failed("mkfs.ext4", &error),
    }
}
