//! `ExecuteProcess` with an `OciProcess` (spec section 8.5): a further process in a running container.

use std::os::fd::RawFd;
use std::path::PathBuf;
use std::rc::Rc;

use lcow_protocol::ProcessId;
use lcow_protocol::messages::{ProcessParameters, StdioPorts};

use super::create::{filter, plan_stdio, set_initial_size};
use super::job_file::JobFile;
use super::state::PlannedStdio;
use super::{Container, Error, runtime_spec};
use crate::gcs::Agent;
use crate::process::{self, Process, Relays};
use crate::runtime::{FailurePipe, ProcessJob, Stdio, TerminalSocket};

/// Runs the process of `parameters` in `container`.
pub(crate) async fn exec(
    agent: &Agent,
    container: &Rc<Container>,
    mut parameters: ProcessParameters,
    ports: StdioPorts,
) -> Result<ProcessId, Error> {
    if !container.is_running() {
        return Err(Error::NotRunning(container.id.clone()));
    }
    let process = parameters.oci_process.take().unwrap_or_default();
    let root = PathBuf::from(container.spec["root"]["path"].as_str().unwrap_or_default());
    let mut process = runtime_spec::exec_process(&container.spec, process, &root)?;
    let filter = filter(agent, &container.spec).await?;
    let confinement = runtime_spec::confine(&mut process, filter.as_deref());
    let streams = process::dial(&parameters, ports).await?;
    let (process_file, confinement_file) = (JobFile::new(&process)?, JobFile::new(&confinement)?);
    let (failures, failure_writer) =
        FailurePipe::new().map_err(Error::io("making a pipe for", &process_file.0))?;
    let planned = plan_stdio(&process)?;
    let (stdio, mut fds): (Stdio, Vec<RawFd>) = match &planned {
        PlannedStdio::Pipes(pipes) => (Stdio::Streams, pipes.raw().to_vec()),
        PlannedStdio::Terminal(socket) => {
            (Stdio::Terminal(TerminalSocket(socket.path().to_owned())), Vec::new())
        }
    };
    fds.push(failure_writer.raw());
    let job = ProcessJob {
        id: container.id.to_string(),
        process: process_file.0.clone(),
        confinement: confinement_file.0.clone(),
        stdio,
    };
    let started = agent.runtime.exec(job, &fds).await;
    drop(failure_writer);
    let child = match started {
        Ok(child) => child,
        Err(error) => {
            return Err(failures.explain(error).await).map_err(Error::runtime("running the process"));
        }
    };
    let (started, relays) = match planned {
        PlannedStdio::Pipes(pipes) => {
            let relays = Relays::of_pipes(pipes.into_agent_ends(), streams)
                .map_err(Error::io("connecting the streams of", &process_file.0))?;
            (Process::new(child, None), relays)
        }
        PlannedStdio::Terminal(socket) => {
            let pty = Rc::new(
                socket.receive().await.map_err(Error::io("receiving the terminal of", &process_file.0))?,
            );
            set_initial_size(&pty, &process);
            (Process::new(child, Some(Rc::clone(&pty))), Relays::of_terminal(&pty, streams))
        }
    };
    let id = started.id();
    container.execs.borrow_mut().insert(id, Rc::clone(&started));
    tokio::task::spawn_local(async move {
        let status = started.child().exited().await;
        relays.finish().await;
        started.finish(status);
    });
    Ok(id)
}
