//! A running container, to its end.

use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::io::{stderr, stdout};

use super::launch::Launched;
use super::relay::{self, OutputError};
use super::terminal::{self, Raw, Resizes};
use crate::cli::signals::{Signal, Signals};
use crate::guest::{Control, Process};
use crate::uvm::Uvm;

/// A second signal in this time ends the VM.
const SECOND_SIGNAL: Duration = Duration::from_secs(10);
/// Status of a program whose output nobody reads: 128 + SIGPIPE.
const READER_GONE: u8 = 141;

/// How a container came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself.
    Exited(u8),
    /// With this status, because its VM is to end. The container may still run.
    Abandoned(u8),
}

/// Relays streams, signals and sizes until the end.
pub(super) async fn follow(
    launched: &mut Launched,
    with_terminal: bool,
    signals: &mut Signals,
) -> anyhow::Result<Ended> {
    let Launched { uvm, process, .. } = launched;
    let control = process.control();
    let stdin = process.stdin.take();
    // Raw mode is for a terminal that the container reads; otherwise its keys are ours.
    let _raw = (with_terminal && stdin.is_some()).then(Raw::enter).transpose().context("raw mode")?;
    let feeding = stdin.map(relay::feed);
    let mut resizes = with_terminal.then(Resizes::watch).transpose().context("cannot follow the terminal")?;
    if with_terminal {
        // It may have changed since the container was described.
        pass_size(&control);
    }
    let mut manners = Manners::default();
    let mut end = pin!(end_of(process));
    let ended = loop {
        tokio::select! {
            // A status that is known wins over everything else.
            biased;
            ended = &mut end => break ended,
            exit = uvm.ended() => {
                break Err(anyhow::anyhow!("the utility VM ended ({exit}); {}", uvm.console().tail()));
            }
            signal = signals.next() => match manners.decide(signal, Instant::now()) {
                Decision::PassOn => pass_on(&control, signal),
                Decision::End => break Ok(Ended::Abandoned(signal.status())),
            },
            () = next(resizes.as_mut()) => pass_size(&control),
        }
    };
    if let Some(feeding) = feeding {
        feeding.abort();
    }
    ended
}

/// All output, then the status.
async fn end_of(process: &mut Process) -> anyhow::Result<Ended> {
    let (output, errors) = (process.stdout.take(), process.stderr.take());
    match tokio::try_join!(relay::drain(output, stdout()), relay::drain(errors, stderr())) {
        Ok(_) => {}
        // As a program of this machine would end. Nothing is lost: nobody wants to see more.
        Err(OutputError::ReaderGone) => return Ok(Ended::Abandoned(READER_GONE)),
        Err(error @ OutputError::Write(_)) => return Err(error.into()),
        // The status, or its absence, tells more.
        Err(OutputError::Read(error)) => tracing::warn!(%error, "the container's output broke off"),
    }
    let status = process.wait().await.context("cannot wait for the container")?;
    let status = u8::try_from(status).context("the utility VM lost the container's status")?;
    Ok(Ended::Exited(status))
}

async fn next(resizes: Option<&mut Resizes>) {
    match resizes {
        Some(resizes) => resizes.next().await,
        None => std::future::pending().await,
    }
}

/// In the background: an agent that does not answer must not keep the second signal from being seen.
fn pass_on(control: &Control, signal: Signal) {
    let control = control.clone();
    tokio::spawn(async move {
        if let Err(error) = control.signal(Some(signal.number().into())).await {
            tracing::debug!(%error, "the container did not get a signal");
        }
    });
}

fn pass_size(control: &Control) {
    let Ok(size) = terminal::size() else { return };
    let control = control.clone();
    tokio::spawn(async move {
        if let Err(error) = control.resize(size.height, size.width).await {
            tracing::debug!(%error, "the container's terminal did not get a size");
        }
    });
}

/// What to do with a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    PassOn,
    End,
}

/// The first signal is the container's, a second one soon after it means the VM.
#[derive(Debug, Default)]
struct Manners {
    first: Option<Instant>,
}

impl Manners {
    fn decide(&mut self, signal: Signal, now: Instant) -> Decision {
        let again = self.first.is_some_and(|first| now.duration_since(first) < SECOND_SIGNAL);
        self.first = Some(now);
        // Without a terminal nobody is left who could send a second one.
        if again || signal == Signal::HangUp { Decision::End } else { Decision::PassOn }
    }
}

/// Makes sure that nothing of a container runs any more, so that its disk can be unmounted.
pub(super) async fn kill(uvm: &Uvm, process: &Process) {
    let killed = async {
        process.signal(None).await?;
        process.wait().await
    };
    tokio::select! {
        // Fails when it has ended by itself.
        _ = killed => {}
        _ = uvm.ended() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_signal_soon_after_the_first_ends_the_vm() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut manners = Manners::default();
        assert_eq!(manners.decide(Signal::Interrupt, at(0)), Decision::PassOn);
        assert_eq!(manners.decide(Signal::Interrupt, at(10)), Decision::PassOn);
        assert_eq!(manners.decide(Signal::Terminate, at(19)), Decision::End);
        assert_eq!(Manners::default().decide(Signal::HangUp, at(0)), Decision::End);
    }
}
