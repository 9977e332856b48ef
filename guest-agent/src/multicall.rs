//! Which program this binary is: decided by the name it was called by.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::{fs, io};

use crate::tools;

/// A program: takes its arguments without the name.
type Program = fn(Vec<OsString>) -> ExitCode;

/// Every name, and what runs under it.
const PROGRAMS: &[(&str, Program)] = &[
    ("init", crate::init::main),
    ("gcs", crate::gcs::main),
    ("vsockexec", crate::vsockexec::main),
    (crate::container::COMPLETE_ROOT, crate::container::complete_root),
    ("cat", tools::cat::main),
    ("dmesg", tools::dmesg::main),
    ("generichook", tools::generic_hook::main),
    ("install-drivers", tools::install_drivers::main),
    ("ls", tools::ls::main),
    ("mkfs.ext4", tools::mkfs_ext4::main),
    ("modprobe", tools::modprobe::main),
    ("sh", tools::sh::main),
    ("test", tools::test::main),
    ("wait-paths", tools::wait_paths::main),
];

/// Runs the program that the binary was called as. Called by its own name, it takes the program's name as its
/// first argument.
pub(crate) fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let called = args.next().unwrap_or_default();
    let mut args: Vec<OsString> = args.collect();
    if let Some(program) = find(&called) {
        return program(args);
    }
    if let Some(program) = args.first().and_then(find) {
        args.remove(0);
        return program(args);
    }
    let names: Vec<&str> = PROGRAMS.iter().map(|(name, _)| *name).collect();
    eprintln!("usage: guest-agent {{{}}} [ARGUMENT…]", names.join("|"));
    ExitCode::from(2)
}

/// Becomes `program`, as `exec` does; comes back with its status where it is one of ours.
///
/// A file that is this one need not be loaded again: that is a tenth of the time to boot under emulation. Such a program
/// keeps the descriptors that `exec` would close; so only for callers that have none but their standard streams.
///
/// A shell that is called as only ours can be is ours, whichever an image has by that name.
pub(crate) fn exec(program: &OsString, args: &[OsString]) -> io::Result<ExitCode> {
    let is_ours = || is_this_file(Path::new(program)) || tools::sh::is_called_by_host(program, args);
    match find(program).filter(|_| is_ours()) {
        None => Err(Command::new(program).args(args).exec()),
        Some(run) => {
            let name = Path::new(program).file_name().unwrap_or_default();
            // What `ps` shows; at worst the name stays.
            let _ = CString::new(name.as_bytes()).map(|name| nix::sys::prctl::set_name(&name));
            Ok(run(args.to_vec()))
        }
    }
}

fn is_this_file(path: &Path) -> bool {
    let file = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino()));
    matches!((file(path), file(Path::new("/proc/self/exe"))), (Ok(that), Ok(this)) if that == this)
}

fn find(called: impl AsRef<std::ffi::OsStr>) -> Option<Program> {
    let name = Path::new(called.as_ref()).file_name()?;
    PROGRAMS.iter().find(|(program, _)| name == *program).map(|(_, run)| *run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_component_of_the_name_decides() {
        for name in ["/init", "init", "/bin/gcs", "./vsockexec", "/sbin/modprobe", "/sbin/mkfs.ext4"] {
            assert!(find(name).is_some(), "{name}");
        }
        for name in ["", "/", "/bin/gcsx", "guest-agent"] {
            assert!(find(name).is_none(), "{name}");
        }
    }
}
