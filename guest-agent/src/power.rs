//! Ends the machine. What is tried before may be stuck for ever, because a host or a disk is gone, and the machine ends all
//! the same: each step has a limit, and all of them together have the time of one budget. A step that is stuck is left
//! behind.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::reboot::{RebootMode, reboot};

/// How long file systems may take to be written.
const WRITING: Duration = Duration::from_millis(1500);

/// How the machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As asked for: it is switched off.
    Off,
    /// Something went wrong: a reset, which ends a utility VM and lets its host tell the difference.
    Reset,
}

impl End {
    /// The time of all steps together. A machine that is switched off is off within two seconds of the request.
    fn budget(self) -> Duration {
        match self {
            Self::Off => Duration::from_millis(1700),
            Self::Reset => Duration::from_millis(3500),
        }
    }

    fn mode(self) -> RebootMode {
        match self {
            Self::Off => RebootMode::RB_POWER_OFF,
            Self::Reset => RebootMode::RB_AUTOBOOT,
        }
    }
}

/// Something that is tried before the end.
pub(crate) type Step = Box<dyn FnOnce() + Send>;

/// How steps are run: for real, or by a test's clock.
trait Runner {
    /// Runs `step` and returns when it is done or `limit` has passed; says how long that took.
    fn run(&mut self, step: Step, limit: Duration) -> Duration;
}

/// Each step has a thread of its own, which ends with the machine.
struct Threads;

impl Runner for Threads {
    fn run(&mut self, step: Step, limit: Duration) -> Duration {
        let begin = Instant::now();
        let (done, wait) = mpsc::channel();
        // Without a thread there is nothing to wait for either: the channel is closed.
        let _ = thread::Builder::new().name("last step".to_owned()).spawn(move || {
            step();
            done.send(())
        });
        let _ = wait.recv_timeout(limit);
        begin.elapsed()
    }
}

/// The machine's end, once it is decided on.
pub(crate) struct Ending {
    how: End,
    left: Duration,
    runner: Box<dyn Runner>,
}

impl Ending {
    /// From now on the budget is spent.
    pub(crate) fn new(how: End) -> Self {
        Self { how, left: how.budget(), runner: Box::new(Threads) }
    }

    /// Tries `step` for `limit` at most, and for no longer than is left.
    pub(crate) fn attempt(&mut self, limit: Duration, step: impl FnOnce() + Send + 'static) {
        let spent = self.runner.run(Box::new(step), limit.min(self.left));
        self.left = self.left.saturating_sub(spent);
    }

    /// Writes back what can be written.
    fn write_back(&mut self) {
        self.attempt(WRITING, nix::unistd::sync);
    }

    /// Writes back what can be written and ends the machine. Returns only if the kernel refuses.
    pub(crate) fn end(mut self) -> nix::Error {
        self.write_back();
        let Err(error) = reboot(self.how.mode());
        error
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::rc::Rc;

    use super::*;

    /// Steps that take their time by a clock of the test, and the limits that they were given.
    struct Scripted {
        times: VecDeque<Duration>,
        limits: Rc<RefCell<Vec<Duration>>>,
    }

    impl Runner for Scripted {
        fn run(&mut self, _: Step, limit: Duration) -> Duration {
            self.limits.borrow_mut().push(limit);
            self.times.pop_front().unwrap_or(STUCK).min(limit)
        }
    }

    const STUCK: Duration = Duration::MAX;

    fn ending(how: End, times: &[Duration]) -> (Ending, Rc<RefCell<Vec<Duration>>>) {
        let limits = Rc::<RefCell<Vec<Duration>>>::default();
        let runner =
            Box::new(Scripted { times: times.iter().copied().collect(), limits: Rc::clone(&limits) });
        (Ending { how, left: how.budget(), runner }, limits)
    }

    #[test]
    fn what_is_stuck_is_left_behind_in_time() {
        for how in [End::Off, End::Reset] {
            let (mut ending, limits) = ending(how, &[STUCK; 3]);
            for _ in 0..2 {
                ending.attempt(Duration::from_secs(1), || {});
            }
            ending.write_back();
            let limits = limits.borrow();
            assert_eq!(limits.len(), 3, "each step was tried");
            assert!(limits.iter().sum::<Duration>() <= how.budget(), "{limits:?}");
        }
        assert!(End::Off.budget() < Duration::from_secs(2));
    }

    #[test]
    fn what_one_step_does_not_need_is_left_to_the_next() {
        let (mut ending, limits) = ending(End::Off, &[Duration::from_millis(100)]);
        ending.attempt(Duration::from_secs(1), || {});
        ending.write_back();
        assert_eq!(*limits.borrow(), [Duration::from_secs(1), WRITING]);
    }

    #[test]
    fn a_thread_that_does_not_end_is_not_waited_for() {
        let (_never, forever) = mpsc::channel::<()>();
        let limit = Duration::from_millis(1);
        assert!(Threads.run(Box::new(move || forever.recv().unwrap_or_default()), limit) >= limit);
        let (done, wait) = mpsc::channel();
        Threads.run(Box::new(move || done.send(()).unwrap()), Duration::from_mins(1));
        assert_eq!(wait.try_recv(), Ok(()));
    }
}
