//! How far a process has come, and how long its output still waits for a host that does not read it.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::watch;

/// After the process has ended, so long may a connected host take nothing of what is left. Upstream waits for ever, and so
/// a host that has stopped reading could keep an exit status from being reported.
const UNREAD: Duration = Duration::from_secs(30);
/// The same once the host has given the process up: for what is under way to one that reads.
const GIVEN_UP: Duration = Duration::from_secs(1);

/// How far a process has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Phase {
    /// It has ended; what it wrote may still be delivered.
    pub(super) ended: bool,
    /// What the host has asked for.
    pub(super) asked: Asked,
}

/// What the host has asked for, in the order in which that may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asked {
    /// The process may run for ever.
    #[default]
    Nothing,
    /// It is to end: lost connections are not made again.
    End,
    /// It was ended by force or deleted: nobody waits for its output any more.
    Nevermore,
}

impl Phase {
    /// How long a connected host may take nothing; `None` is for ever.
    fn patience(self) -> Option<Duration> {
        match self {
            Self { asked: Asked::Nevermore, .. } => Some(GIVEN_UP),
            Self { ended: true, .. } => Some(UNREAD),
            Self { .. } => None,
        }
    }
}

/// What `work` for the host gives; `None` if the process has come so far that there is no more waiting for it.
pub(super) async fn patiently<T>(
    phase: &mut watch::Receiver<Phase>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    loop {
        let patience = phase.borrow_and_update().patience();
        let enough = async {
            match patience {
                Some(patience) => tokio::time::sleep(patience).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            result = &mut work => return Some(result),
            () = enough => return None,
            // Without the process nobody could be told anything.
            changed = phase.changed() => changed.ok()?,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_process_that_runs_waits_for_ever_and_one_that_has_ended_does_not() {
        let (sender, mut phase) = watch::channel(Phase::default());
        let begin = Instant::now();
        let running = patiently(&mut phase, tokio::time::sleep(100 * UNREAD)).await;
        assert!(running.is_some() && begin.elapsed() >= 100 * UNREAD);
        sender.send_modify(|phase| phase.ended = true);
        let begin = Instant::now();
        assert_eq!(patiently(&mut phase, pending::<()>()).await, None);
        assert!(begin.elapsed() >= UNREAD);
    }

    #[tokio::test(start_paused = true)]
    async fn what_changes_meanwhile_counts() {
        let (sender, mut phase) = watch::channel(Phase { ended: true, asked: Asked::End });
        let begin = Instant::now();
        let given_up = async {
            tokio::time::sleep(UNREAD / 2).await;
            sender.send_modify(|phase| phase.asked = Asked::Nevermore);
        };
        let (result, ()) = tokio::join!(patiently(&mut phase, pending::<()>()), given_up);
        assert!(result.is_none() && begin.elapsed() < UNREAD, "{:?}", begin.elapsed());
        drop(sender);
        assert_eq!(patiently(&mut phase, pending::<()>()).await, None, "the process is forgotten");
    }
}
