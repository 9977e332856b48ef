//! One job, in a process of its own: an operation with libcontainer, with which it ends, or a program that it becomes.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::syscall::syscall::SyscallType;

use super::complaints::Complaints;
use super::executor::{Confinement, TypedExecutor};
use super::messages::{ContainerJob, Job, JobFailure, ProcessJob, Stdio};
use super::{STATE_ROOT, loopback, spawn, split_cgroup, sysctl};
use crate::causes::with_causes;

/// Does `job` with the descriptors that came with it; returns the pid of the process it made, if any.
pub(super) fn run(job: Job, fds: Vec<OwnedFd>) -> Result<Option<u32>, JobFailure> {
    let complaints = Complaints::collect();
    let result = match job {
        Job::Create(job) => create(&job, fds).map(Some),
        Job::Exec(job) => exec(&job, fds).map(Some),
        Job::Start(id) => start(&id).map(|()| None),
        Job::Delete(id) => delete(&id).map(|()| None),
        Job::Spawn(job) => spawn::become_program(&job, fds).map(|never| match never {}),
    };
    result.map_err(|failure| match complaints {
        Some(complaints) => complaints.explain(failure),
        None => failure,
    })
}

/// Takes the pipe for typed failures, which is the last descriptor that came with the job.
fn failure_pipe(fds: &mut Vec<OwnedFd>) -> Result<Rc<OwnedFd>, JobFailure> {
    fds.pop().map(Rc::new).ok_or_else(|| JobFailure::other("the failure pipe is missing"))
}

fn confinement(path: &Path) -> Result<Confinement, JobFailure> {
    let failed =
        |error: &dyn std::fmt::Display| JobFailure::other(format!("reading {}: {error}", path.display()));
    let text = fs::read(path).map_err(|error| failed(&error))?;
    serde_json::from_slice(&text).map_err(|error| failed(&error))
}

fn create(job: &ContainerJob, mut fds: Vec<OwnedFd>) -> Result<u32, JobFailure> {
    let executor = TypedExecutor::new(failure_pipe(&mut fds)?, confinement(&job.confinement)?);
    let container = builder(&job.id, &job.stdio, fds, executor)
        .and_then(|builder| {
            builder.as_init(&job.bundle).with_systemd(false).with_detach(true).as_sibling(true).build()
        })
        .map_err(|error| sysctl::explain(JobFailure::other(with_causes(&error)), &job.bundle))?;
    let pid = container.pid().and_then(|pid| u32::try_from(pid.as_raw()).ok());
    let pid = pid.ok_or_else(|| JobFailure::other("libcontainer reported no pid"))?;
    if job.new_network {
        loopback::bring_up(pid).map_err(|error| JobFailure::other(format!("bringing up lo: {error}")))?;
    }
    Ok(pid)
}

fn exec(job: &ProcessJob, mut fds: Vec<OwnedFd>) -> Result<u32, JobFailure> {
    let executor = TypedExecutor::new(failure_pipe(&mut fds)?, confinement(&job.confinement)?);
    let cgroup = cgroup_below(&load(&job.id)?)?;
    let pid = builder(&job.id, &job.stdio, fds, executor)
        .and_then(|builder| {
            let builder = builder.as_tenant().with_process(Some(&job.process)).with_sub_cgroup(cgroup);
            builder.with_detach(true).as_sibling(true).build()
        })
        .map_err(|error| JobFailure::other(with_causes(&error)))?;
    u32::try_from(pid.as_raw()).map_err(|_| JobFailure::other("libcontainer reported no pid"))
}

/// Where a further process has to be below the container's cgroup, if it has to.
fn cgroup_below(container: &Container) -> Result<Option<String>, JobFailure> {
    let Some(init) = container.pid() else { return Ok(None) };
    let config = container.spec().map_err(|error| JobFailure::other(with_causes(&error)))?;
    Ok(split_cgroup::below(&config.cgroup_path, init.as_raw()))
}

fn builder(
    id: &str,
    stdio: &Stdio,
    fds: Vec<OwnedFd>,
    executor: TypedExecutor,
) -> Result<ContainerBuilder, LibcontainerError> {
    let builder = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(STATE_ROOT)?
        .validate_id()?
        .with_executor(executor);
    match stdio {
        Stdio::Terminal(socket) => Ok(builder.with_console_socket(Some(&socket.0))),
        Stdio::Streams => {
            let mut fds = fds.into_iter();
            let mut next =
                || fds.next().ok_or_else(|| LibcontainerError::Other("a stream is missing".to_owned()));
            Ok(builder.with_stdin(next()?).with_stdout(next()?).with_stderr(next()?))
        }
    }
}

fn load(id: &str) -> Result<Container, JobFailure> {
    Container::load(Path::new(STATE_ROOT).join(id)).map_err(|error| JobFailure::other(with_causes(&error)))
}

fn start(id: &str) -> Result<(), JobFailure> {
    load(id)?.start().map_err(|error| JobFailure::other(with_causes(&error)))
}

fn delete(id: &str) -> Result<(), JobFailure> {
    if !Path::new(STATE_ROOT).join(id).exists() {
        return Ok(());
    }
    load(id)?.delete(true).map_err(|error| JobFailure::other(with_causes(&error)))
}
