//! `lcow run`.

mod args;
mod follow;
mod launch;
mod limits;
mod refused;
mod relay;
mod terminal;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use super::signals::Signals;
use follow::Ended;
use launch::Launched;

pub(super) use args::Args;
pub(super) use launch::NotRunnable;

/// Time for a container's disk to be unmounted before its VM is ended anyway.
const UNMOUNT_LIMIT: Duration = Duration::from_secs(10);

/// Runs a container from an image.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.refused.check()?;
    // Before anything exists that a signal would have to clean up.
    let mut signals = Signals::catch().context("cannot catch signals")?;
    let terminal = args.tty.then(|| terminal::wanted(args.interactive)).transpose()?;
    let keep = !args.rm;
    let launched = tokio::select! {
        launched = launch::launch(args, terminal) => launched,
        signal = signals.next() => return Ok(ExitCode::from(signal.status())),
    };
    let mut launched = launched?;
    let ended = follow::follow(&mut launched, terminal.is_some(), &mut signals).await;
    let status = match &ended {
        Ok(Ended::Exited(status) | Ended::Abandoned(status)) => *status,
        Err(_) => super::OWN_FAILURE,
    };
    let running = !matches!(ended, Ok(Ended::Exited(_)));
    let finished = finish(launched, keep, running, status, &mut signals).await;
    ended?;
    if let Err(error) = finished {
        // The container's status is known and stays what it is.
        eprintln!("lcow: {error:#}");
    }
    Ok(ExitCode::from(status))
}

/// Ends the VM. The disk of a container that is kept is unmounted first, unless that takes too long or a signal comes.
async fn finish(
    launched: Launched,
    keep: bool,
    running: bool,
    status: u8,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    let Launched { uvm, root, process, reservation } = launched;
    if !keep {
        // Its disk goes anyway. Waited for, so that memory and space are free when the command returns.
        uvm.kill().await;
        return Ok(reservation.exited(status)?);
    }
    let unmount = async {
        if running {
            follow::kill(&uvm, &process).await;
        }
        root.release().await
    };
    let unmounted = tokio::select! {
        unmounted = tokio::time::timeout(UNMOUNT_LIMIT, unmount) => unmounted.map_err(anyhow::Error::from),
        _ = uvm.ended() => Err(anyhow::anyhow!("the utility VM has ended")),
        _ = signals.next() => Err(anyhow::anyhow!("interrupted")),
    };
    uvm.stop().await;
    reservation.exited(status)?;
    let unmounted = unmounted.and_then(|released| Ok(released?));
    unmounted.context("what the container wrote may be incomplete")
}
