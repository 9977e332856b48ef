//! Starting a created container and asking it to end.

use std::rc::Rc;

use lcow_protocol::messages::{ProcessParameters, StdioPorts};
use lcow_protocol::{ContainerId, ProcessId};

use super::rewrite::TeeLog;
use super::state::{InitStdio, State, Waiting};
use super::{Container, Error};
use crate::gcs::Agent;
use crate::power::{End, Ending};
use crate::process::{self, Asked, Extras, Relays, Tee, Wanted};
use crate::runtime;

/// Lets init run, with its streams connected to the host's ports.
pub(crate) async fn start(
    agent: &Agent,
    container: &Rc<Container>,
    parameters: &ProcessParameters,
    ports: StdioPorts,
) -> Result<ProcessId, Error> {
    if matches!(*container.state.borrow(), State::Started) {
        return Err(Error::AlreadyStarted(container.id.clone()));
    }
    let streams = process::dial(parameters, ports).await?;
    let State::Created(waiting) = container.state.replace(State::Started) else {
        return Err(Error::AlreadyStarted(container.id.clone()));
    };
    if let Err(error) = let_go(agent, container, waiting, streams).await {
        // Init has nothing left to do but to end; after this answer the host may delete the container.
        let _ = agent.runtime.signal(container.init.id().0, libc::SIGKILL).await;
        if let Err(unkillable) = container.init.child().killed().await {
            tracing::warn!(error = &unkillable as &dyn std::error::Error, cid = %container.id, "a start has failed");
        }
        return Err(error);
    }
    Ok(container.init.id())
}

async fn let_go(
    agent: &Agent,
    container: &Container,
    waiting: Waiting,
    streams: Wanted,
) -> Result<(), Error> {
    let Waiting { stdio, failures } = waiting;
    let tee = container.tee.as_ref().map(TeeLog::open).transpose();
    let tee = tee.and_then(|file| file.map(Tee::new).transpose());
    let tee = tee.map_err(Error::io("opening the log of", &container.bundle))?;
    // What it has started ends with its pid namespace, or is killed.
    let extras = Extras { tee, is_last: true, ..Extras::none(&container.init) };
    let relays = match stdio {
        InitStdio::Pipes(pipes) => {
            let extras = Extras { reconnect: Some(agent.outbound.connection()), ..extras };
            Relays::of_pipes(pipes.into_agent_ends(), streams, &extras)
                .map_err(Error::io("connecting the streams of", &container.bundle))?
        }
        InitStdio::Terminal(pty) => Relays::of_terminal(&pty, streams, &extras),
    };
    container.relays.replace(relays);
    let failed = Error::runtime("starting the container");
    agent.runtime.start(container.id.as_str()).await.map_err(failed)?;
    failures.outcome().await.map_err(|failure| Error::runtime("starting the container")(failure.into()))
}

/// Sends `signal` to a container's init. For the null id, powers the VM off and does not return.
pub(crate) async fn shutdown(agent: &Agent, id: &ContainerId, signal: i32) -> Result<(), Error> {
    if id.is_null() {
        power_off();
    }
    let container = agent.containers.get(id)?;
    container.init.ask(Asked::End);
    if signal == libc::SIGKILL {
        container.give_up_output();
    }
    match container.init.signal(&agent.runtime, signal).await {
        // Its end has been, or is about to be, reported: the host has what it wants.
        Err(runtime::Error::Job(failure)) if failure.kind == runtime::FailureKind::NoSuchProcess => Ok(()),
        result => result.map_err(Error::runtime("signalling the container")),
    }
}

fn power_off() -> ! {
    tracing::info!("the host asked for the end of the machine");
    let error = Ending::new(End::Off).end();
    tracing::error!(%error, "powering off");
    // With status 0, PID 1 powers off as well.
    std::process::exit(0)
}
