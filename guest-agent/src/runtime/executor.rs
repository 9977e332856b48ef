//! The last step inside the container: finds the program, completes what libcontainer leaves undone for an exec,
//! and becomes the program.
//!
//! Errors go to `gcs` through a pipe as typed messages, because libcontainer would turn them into text. The pipe
//! closes by itself when the program runs, which is also how `gcs` learns that it does.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use libcontainer::oci_spec::runtime::{LinuxCapabilities, Spec};
use libcontainer::syscall::syscall::create_syscall;
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use nix::errno::Errno;
use nix::mount::MsFlags;
use serde::{Deserialize, Serialize};

use super::messages::JobFailure;
use super::{failure_pipe, home};
use crate::sys;

/// What a container's process gets only here (see `filter` for why not from libcontainer). Loading a filter without
/// `noNewPrivileges`, and changing how mounts propagate, need capabilities that the process may not keep. So the process
/// comes here with those added, does both, and only then drops to its own set.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Confinement {
    /// `struct sock_filter` after `struct sock_filter`.
    program: Vec<u8>,
    /// For `seccomp(2)`.
    flags: u32,
    /// Its own set; `None` keeps what libcontainer has given it.
    capabilities: Option<LinuxCapabilities>,
    /// Of the mounts of a container's first process.
    propagation: Vec<Propagation>,
    /// The user whose home directory is to be looked up.
    home_of: Option<u32>,
}

/// How a mount is to propagate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Propagation {
    /// Where the mount is in the container; absolute.
    pub(crate) destination: PathBuf,
    /// For `mount(2)`: one kind of propagation, and whether what is mounted below follows.
    pub(crate) flags: libc::c_ulong,
}

/// Runs the program of a specification.
#[derive(Clone)]
pub(super) struct TypedExecutor {
    failures: Rc<OwnedFd>,
    confinement: Rc<Confinement>,
    environment: Rc<std::cell::RefCell<Vec<CString>>>,
}

impl TypedExecutor {
    /// An executor that reports failures to `failures`.
    pub(super) fn new(failures: Rc<OwnedFd>, confinement: Confinement) -> Self {
        Self { failures, confinement: Rc::new(confinement), environment: Rc::default() }
    }

    /// Reports `failure`; the text that goes back to libcontainer is the same.
    fn report(&self, failure: JobFailure) -> String {
        if let Ok(message) = serde_json::to_vec(&failure) {
            // Nobody else to tell: the reader then sees what libcontainer makes of the error.
            let _ = nix::unistd::write(&*self.failures, &message);
        }
        failure.text
    }

    fn confine(&self) -> Result<(), JobFailure> {
        let confinement = &self.confinement;
        if confinement.program.is_empty() {
            return Ok(());
        }
        sys::load_filter(&confinement.program, confinement.flags)
            .map_err(|error| JobFailure::other(format!("loading the seccomp filter: {error}")))?;
        self.drop_capabilities()
    }

    fn drop_capabilities(&self) -> Result<(), JobFailure> {
        let Some(capabilities) = &self.confinement.capabilities else { return Ok(()) };
        libcontainer::capabilities::drop_privileges(capabilities, create_syscall().as_ref())
            .map_err(|error| JobFailure::other(format!("dropping capabilities: {error}")))
    }

    /// Nothing of the container's has run so far, so nothing was mounted that could have propagated.
    fn propagate(&self) -> Result<(), JobFailure> {
        let Confinement { propagation, program, .. } = &*self.confinement;
        for Propagation { destination, flags } in propagation {
            let flags = MsFlags::from_bits_truncate(*flags);
            nix::mount::mount(None::<&str>, destination, None::<&str>, flags, None::<&str>).map_err(
                |errno| {
                    let path = destination.display();
                    JobFailure::other(format!("setting the propagation of {path}: {}", errno.desc()))
                },
            )?;
        }
        // With a filter they are needed once more.
        if !propagation.is_empty() && program.is_empty() { self.drop_capabilities() } else { Ok(()) }
    }

    fn become_program(&self, spec: &Spec) -> Result<std::convert::Infallible, JobFailure> {
        let args = arguments(spec)?;
        let path = find_program(spec)?;
        let program = CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|_| JobFailure::exec(&args[0], Errno::ENOENT))?;
        let words = args
            .iter()
            .map(|arg| CString::new(arg.as_str()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| JobFailure::other("an argument contains a NUL byte"))?;
        sys::reset_signals().map_err(|error| JobFailure::other(format!("resetting signals: {error}")))?;
        self.confine()?;
        nix::unistd::execve(&program, &words, &self.environment.borrow())
            .map_err(|errno| JobFailure::exec(&args[0], errno))
    }
}

impl Executor for TypedExecutor {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let terminal = spec.process().as_ref().is_some_and(|process| process.terminal().unwrap_or(false));
        if terminal && !failure_pipe::may_go_on(&*self.failures) {
            // Why, `gcs` knows best.
            return Err(ExecutorError::Other("the terminal was refused".to_owned()));
        }
        match self.become_program(spec) {
            Ok(never) => match never {},
            Err(failure) => Err(ExecutorError::Other(self.report(failure))),
        }
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        self.propagate()
            .and_then(|()| find_program(spec).map(drop))
            .map_err(|failure| ExecutorValidationError::ArgValidationError(self.report(failure)))
    }

    fn setup_envs(&self, mut envs: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        if let Some(home) = self.confinement.home_of.and_then(|uid| home::of(uid, Path::new("/etc/passwd"))) {
            envs.insert("HOME".to_owned(), home);
        }
        let mut variables: Vec<CString> = envs
            .into_iter()
            .map(|(name, value)| CString::new(format!("{name}={value}")))
            .collect::<Result<_, _>>()
            .map_err(|_| {
                ExecutorSetEnvsError::Other("an environment variable contains a NUL byte".to_owned())
            })?;
        variables.sort();
        *self.environment.borrow_mut() = variables;
        Ok(())
    }
}

fn arguments(spec: &Spec) -> Result<&[String], JobFailure> {
    let args = spec.process().as_ref().and_then(|process| process.args().as_deref()).unwrap_or_default();
    if args.is_empty() { Err(JobFailure::other("the process has no arguments")) } else { Ok(args) }
}

/// Finds the program as `execvp` would with the process's own `PATH`.
fn find_program(spec: &Spec) -> Result<PathBuf, JobFailure> {
    let name = &arguments(spec)?[0];
    if name.contains('/') {
        return executable(Path::new(name)).map_err(|errno| JobFailure::exec(name, errno));
    }
    let environment =
        spec.process().as_ref().and_then(|process| process.env().as_deref()).unwrap_or_default();
    let path =
        environment.iter().rev().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or_default();
    search(name, path).map_err(|errno| JobFailure::exec(name, errno))
}

/// The first executable `name` in the directories of `path`; what is there but not executable is remembered,
/// so that the error tells the two apart.
pub(crate) fn search(name: &str, path: &str) -> Result<PathBuf, Errno> {
    let mut result = Errno::ENOENT;
    if name.is_empty() {
        return Err(result);
    }
    for directory in path.split(':').filter(|directory| !directory.is_empty()) {
        match executable(&Path::new(directory).join(name)) {
            Ok(found) => return Ok(found),
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(errno) => result = errno,
        }
    }
    Err(result)
}

fn executable(path: &Path) -> Result<PathBuf, Errno> {
    let metadata = std::fs::metadata(path)
        .map_err(|error| error.raw_os_error().map_or(Errno::ENOENT, Errno::from_raw))?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        return Err(Errno::EACCES);
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_there_but_not_executable_is_told_apart() {
        assert_eq!(search("passwd", "/nowhere:/etc"), Err(Errno::EACCES));
        assert_eq!(search("no-such-program", "/etc:/bin"), Err(Errno::ENOENT));
        assert_eq!(search("sh", "/etc::/bin"), Ok(PathBuf::from("/bin/sh")));
        assert_eq!(search("", "/bin"), Err(Errno::ENOENT));
    }
}
