//! VM-level processes (spec section 8.6): run in the agent's own namespaces and cgroup.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::errno::Errno;

use super::executor::search;
use super::messages::{JobFailure, SpawnJob};
use crate::sys;

/// Starts the process with the three descriptors as its streams; returns its pid.
pub(super) fn spawn(job: &SpawnJob, fds: Vec<OwnedFd>) -> Result<u32, JobFailure> {
    let [stdin, stdout, stderr] = <[OwnedFd; 3]>::try_from(fds)
        .map_err(|fds| JobFailure::other(format!("{} streams instead of 3", fds.len())))?;
    let name = job.args.first().ok_or_else(|| JobFailure::other("the process has no arguments"))?;
    let program = if name.contains('/') {
        name.into()
    } else {
        let path = std::env::var("PATH").unwrap_or_default();
        search(name, &path).map_err(|errno| JobFailure::exec(name, errno))?
    };
    let mut command = Command::new(program);
    command.arg0(name).args(&job.args[1..]).env_clear().envs(&job.environment);
    command.stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
    if !job.directory.is_empty() {
        if !std::path::Path::new(&job.directory).is_dir() {
            return Err(JobFailure::other(format!("working directory {:?} does not exist", job.directory)));
        }
        command.current_dir(&job.directory);
    }
    sys::new_session(&mut command, job.terminal);
    // The worker parent reaps all its children by itself, so dropping the handle loses nothing.
    let child = command
        .spawn()
        .map_err(|error| JobFailure::exec(name, error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)))?;
    Ok(child.id())
}
