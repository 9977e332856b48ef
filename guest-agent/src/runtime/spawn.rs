//! VM-level processes (spec section 8.6): run in the agent's own namespaces and cgroup.

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;

use super::executor::search;
use super::messages::{JobFailure, SpawnJob};
use crate::sys;

/// Makes the calling process, a worker, the program with the three descriptors as its streams; returns only if that fails.
///
/// Not even looking for the program is done in the worker parent: the disk or the share on which it is may not answer, and
/// all other jobs would wait with it.
pub(super) fn become_program(job: &SpawnJob, fds: Vec<OwnedFd>) -> Result<Infallible, JobFailure> {
    let [stdin, stdout, stderr] = <[OwnedFd; 3]>::try_from(fds)
        .map_err(|fds| JobFailure::other(format!("{} streams instead of 3", fds.len())))?;
    let name = job.args.first().ok_or_else(|| JobFailure::other("the process has no arguments"))?;
    let program = if name.contains('/') {
        name.into()
    } else {
        let path = std::env::var("PATH").unwrap_or_default();
        search(name, &path).map_err(|errno| JobFailure::exec(name, errno))?
    };
    if !job.directory.is_empty() {
        nix::unistd::chdir(Path::new(&job.directory))
            .map_err(|errno| JobFailure::directory(&job.directory, errno))?;
    }
    let mut command = Command::new(program);
    command.arg0(name).args(&job.args[1..]).env_clear().envs(&job.environment);
    command.stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
    sys::new_session(&mut command, job.terminal);
    let error = command.exec();
    Err(JobFailure::exec(name, error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)))
}
