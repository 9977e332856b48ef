//! Exits of processes that may yet be reported as started.

use std::collections::HashMap;

use nix::unistd::Pid;

use super::messages::JobId;

/// Exits that came before the job that started the process was done, each with the job that was begun last at that time:
/// a job that began later has not started that process, but another one with the same number.
#[derive(Debug, Default)]
pub(super) struct EarlyExits {
    exits: HashMap<Pid, Exit>,
    /// Jobs have rising numbers.
    begun: JobId,
}

#[derive(Debug)]
struct Exit {
    status: i32,
    begun: JobId,
}

impl EarlyExits {
    /// A job begins.
    pub(super) fn begin(&mut self, job: JobId) {
        // Requests may overtake each other on the way here.
        self.begun = self.begun.max(job);
    }

    /// A process has ended that nobody knows.
    pub(super) fn record(&mut self, pid: Pid, status: i32) {
        self.exits.insert(pid, Exit { status, begun: self.begun });
    }

    /// The status of the process that `job` has started, if it has ended already.
    pub(super) fn take(&mut self, job: JobId, pid: Pid) -> Option<i32> {
        let exit = self.exits.remove(&pid)?;
        (exit.begun >= job).then_some(exit.status)
    }

    /// Forgets what none of the jobs under way can have started; `oldest` is the first of them.
    pub(super) fn forget(&mut self, oldest: Option<JobId>) {
        self.exits.retain(|_, exit| oldest.is_some_and(|oldest| exit.begun >= oldest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PID: Pid = Pid::from_raw(4711);

    #[test]
    fn an_exit_is_that_of_a_job_under_way() {
        let mut early = EarlyExits::default();
        early.begin(3);
        early.record(PID, 7);
        early.forget(Some(3));
        assert_eq!(early.take(3, PID), Some(7));
        assert_eq!(early.take(3, PID), None, "a second process with that number is another one");
    }

    #[test]
    fn an_exit_from_before_a_job_began_is_somebody_elses() {
        let mut early = EarlyExits::default();
        early.begin(3);
        early.record(PID, 7);
        // The first job hangs, and numbers of processes come round meanwhile.
        early.begin(5);
        early.forget(Some(3));
        assert_eq!(early.take(5, PID), None);
    }

    #[test]
    fn what_no_job_can_ask_for_is_forgotten() {
        let mut early = EarlyExits::default();
        early.begin(3);
        early.record(PID, 7);
        early.begin(5);
        early.record(Pid::from_raw(12), 8);
        early.forget(Some(5));
        assert_eq!(early.exits.len(), 1);
        early.forget(None);
        assert!(early.exits.is_empty());
    }
}
