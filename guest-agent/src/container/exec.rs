//! `ExecuteProcess` with an `OciProcess` (spec section 8.5): a further process in a running container.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;

use lcow_protocol::ProcessId;
use lcow_protocol::messages::{ProcessParameters, StdioPorts};
use serde_json::Value;

use super::create::{filter, plan_stdio, set_initial_size};
use super::job_file::JobFile;
use super::state::PlannedStdio;
use super::{Container, Error, confinement, runtime_spec, working_directory};
use crate::gcs::Agent;
use crate::process::{self, ConsoleSocket, Extras, Process, Pty, Relays, StdioPipes, Wanted};
use crate::runtime::{self, Child, FailurePipe, ProcessJob, STATE_ROOT};

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
    let mut process = runtime_spec::exec_process(&container.spec, process, &root).await?;
    let filter = filter(agent, &container.spec).await?;
    let confinement = confinement::confine(&mut process, filter.as_deref(), &[]);
    let streams = process::dial(&parameters, ports).await?;
    let (process_file, confinement_file) = (JobFile::new(&process)?, JobFile::new(&confinement)?);
    let (mut failures, failure_writer) =
        FailurePipe::new().map_err(Error::io("making a pipe for", &process_file.0))?;
    let planned = plan_stdio(&process, streams.each())?;
    let (stdio, fds) = planned.for_job(&failure_writer);
    let job = ProcessJob {
        id: container.id.to_string(),
        process: process_file.0.clone(),
        confinement: confinement_file.0.clone(),
        stdio,
    };
    let launched = launch(agent.runtime.exec(job, &fds), planned, &process, &mut failures).await;
    drop(failure_writer);
    let (child, ends) = match launched {
        Launch::Running(child, ends) => (child, ends),
        Launch::Failed(error) => return Err(explain(container, error, failures, &process).await),
        Launch::Refused(error) => return Err(error),
    };
    let pid = child.pid;
    let (started, relays) = match ends.and_then(|ends| connect(child, ends, streams)) {
        Ok(connected) => connected,
        Err(error) => {
            // Nobody could wait for it.
            let _ = agent.runtime.signal(pid, libc::SIGKILL).await;
            return Err(error);
        }
    };
    let id = started.id();
    container.execs.borrow_mut().insert(id, Rc::clone(&started));
    started.supervise(relays);
    Ok(id)
}

/// Why it does not run: by its own words, if it has said any.
async fn explain(
    container: &Container,
    error: runtime::Error,
    failures: FailurePipe,
    process: &Value,
) -> Error {
    let operation = "running the process";
    if let Some(reason) = failures.reason().await {
        return Error::Runtime { operation, source: reason.into() };
    }
    // With its mounts, which the directory in the VM is without.
    let root = PathBuf::from(format!("/proc/{}/root", container.init.id()));
    working_directory::explain(operation, error, process, root).await
}

/// Our ends of a process's streams.
enum Ends {
    Pipes(StdioPipes),
    Terminal(Pty),
}

/// What has come of a process.
enum Launch {
    /// It runs, which is of no use without our ends of its streams.
    Running(Child, Result<Ends, Error>),
    /// It does not.
    Failed(runtime::Error),
    /// It was not let go, because of its terminal.
    Refused(Error),
}

/// Waits until the process runs. One with a terminal does so only when that is ready.
async fn launch(
    started: impl Future<Output = Result<Child, runtime::Error>>,
    planned: PlannedStdio,
    process: &Value,
    failures: &mut FailurePipe,
) -> Launch {
    let socket = match planned {
        PlannedStdio::Pipes(pipes) => {
            return started
                .await
                .map_or_else(Launch::Failed, |child| Launch::Running(child, Ok(Ends::Pipes(pipes))));
        }
        PlannedStdio::Terminal(socket) => socket,
    };
    let (mut started, mut terminal) = (pin!(started), pin!(take_terminal(socket, process, failures)));
    let ends = tokio::select! {
        started = &mut started => return match started {
            Ok(child) => Launch::Running(child, terminal.await),
            Err(error) => Launch::Failed(error),
        },
        ends = &mut terminal => ends,
    };
    match (started.await, ends) {
        (Ok(child), ends) => Launch::Running(child, ends),
        (Err(_), Err(error)) => Launch::Refused(error),
        (Err(error), Ok(_)) => Launch::Failed(error),
    }
}

async fn take_terminal(
    socket: ConsoleSocket,
    process: &Value,
    failures: &mut FailurePipe,
) -> Result<Ends, Error> {
    let (owner, _) = runtime_spec::owner(process);
    match socket.receive(owner).await {
        Ok(pty) => {
            set_initial_size(&pty, process);
            failures.let_go().await;
            Ok(Ends::Terminal(pty))
        }
        Err(error) => {
            failures.refuse().await;
            Err(Error::io("receiving a terminal in", Path::new(STATE_ROOT))(error))
        }
    }
}

/// Connects a process that runs with the host.
fn connect(child: Child, ends: Ends, streams: Wanted) -> Result<(Rc<Process>, Relays), Error> {
    let state = Path::new(STATE_ROOT);
    match ends {
        Ends::Pipes(pipes) => {
            let started = Process::new(child, None);
            let relays = Relays::of_pipes(pipes.into_agent_ends(), streams, &Extras::none(&started))
                .map_err(Error::io("connecting the streams of a process in", state))?;
            Ok((started, relays))
        }
        Ends::Terminal(pty) => {
            let pty = Rc::new(pty);
            let started = Process::new(child, Some(Rc::clone(&pty)));
            let relays = Relays::of_terminal(&pty, streams, &Extras::none(&started));
            Ok((started, relays))
        }
    }
}
