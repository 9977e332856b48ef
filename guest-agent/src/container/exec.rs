//! `ExecuteProcess` with an `OciProcess` (spec section 8.5): a further process in a running container.

use std::fs;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use lcow_protocol::ProcessId;
use lcow_protocol::messages::{ProcessParameters, StdioPorts};
use serde_json::Value;

use super::create::{plan_stdio, set_initial_size};
use super::state::PlannedStdio;
use super::{Container, Error, runtime_spec};
use crate::gcs::Agent;
use crate::process::{self, Process, Relays};
use crate::runtime::{FailurePipe, ProcessJob, STATE_ROOT, Stdio, TerminalSocket};

/// A file for one exec, removed with the value.
struct JobFile(PathBuf);

impl JobFile {
    fn new(content: &Value) -> Result<Self, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(STATE_ROOT).join(format!("exec-{number}.json"));
        fs::write(&path, content.to_string()).map_err(Error::io("writing", &path))?;
        Ok(Self(path))
    }
}

impl Drop for JobFile {
    fn drop(&mut self) {
        // Nothing depends on it: numbers are never used twice.
        let _ = fs::remove_file(&self.0);
    }
}

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
    let plan = runtime_spec::plan_exec(&container.spec, process, &root)?;
    let streams = process::dial(&parameters, ports).await?;
    let (process_file, confinement_file) = (JobFile::new(&plan.process)?, JobFile::new(&plan.confinement)?);
    let (failures, failure_writer) =
        FailurePipe::new().map_err(Error::io("making a pipe for", &process_file.0))?;
    let planned = plan_stdio(&plan.process)?;
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
    let (process, relays) = match planned {
        PlannedStdio::Pipes(pipes) => {
            let relays = Relays::of_pipes(pipes.into_agent_ends(), streams)
                .map_err(Error::io("connecting the streams of", &process_file.0))?;
            (Process::new(child, None), relays)
        }
        PlannedStdio::Terminal(socket) => {
            let pty = Rc::new(
                socket.receive().await.map_err(Error::io("receiving the terminal of", &process_file.0))?,
            );
            set_initial_size(&pty, &plan.process);
            (Process::new(child, Some(Rc::clone(&pty))), Relays::of_terminal(&pty, streams))
        }
    };
    let id = process.id();
    container.execs.borrow_mut().insert(id, Rc::clone(&process));
    tokio::task::spawn_local(async move {
        let status = process.child().exited().await;
        relays.finish().await;
        process.finish(status);
    });
    Ok(id)
}
