//! A worker at work, and what it has said so far.

use std::fs::File;
use std::io::Read;
use std::time::Instant;

use nix::unistd::Pid;

use super::messages::{Job, JobFailure, JobId};

/// Ends a worker's message. Not the end of its pipe does, because the container's init has that pipe too until it
/// runs its program.
pub(super) const END: u8 = b'\n';

/// How a job went: the process that it has started, if any.
pub(super) type Outcome = Result<Option<u32>, JobFailure>;

/// A worker whose result is still to come.
pub(super) struct Pending {
    pub(super) job: JobId,
    pub(super) pid: Pid,
    pub(super) result: File,
    received: Vec<u8>,
    /// It is to become the program itself, and then says nothing, but its pipe closes.
    becomes_program: bool,
    /// What it does, and when it must have.
    pub(super) operation: &'static str,
    pub(super) deadline: Instant,
}

impl Pending {
    /// The worker `pid`, which has just begun with `job`, and whose words come out of `result`, which must not block.
    pub(super) fn new(id: JobId, job: &Job, pid: Pid, result: File) -> Self {
        let (operation, limit) = job.limit();
        let becomes_program = matches!(job, Job::Spawn(_));
        let deadline = Instant::now() + limit;
        Self { job: id, pid, result, received: Vec::new(), becomes_program, operation, deadline }
    }

    /// The same with another limit.
    #[cfg(test)]
    pub(super) fn within(self, limit: std::time::Duration) -> Self {
        Self { deadline: Instant::now() + limit, ..self }
    }

    /// Reads what it has to say; the outcome when that is complete.
    pub(super) fn read(&mut self) -> Option<Outcome> {
        let mut chunk = [0; 4096];
        let closed = loop {
            match self.result.read(&mut chunk) {
                Ok(0) => break true,
                Ok(length) => self.received.extend_from_slice(&chunk[..length]),
                Err(_) => break false,
            }
        };
        match self.received.last() {
            Some(&END) => Some(self.outcome()),
            None if closed && self.becomes_program => Some(Ok(u32::try_from(self.pid.as_raw()).ok())),
            _ => None,
        }
    }

    /// The outcome of a worker that has said everything, or is dead.
    pub(super) fn outcome(&self) -> Outcome {
        serde_json::from_slice(&self.received)
            .unwrap_or_else(|_| Err(JobFailure::other("the container worker died")))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use nix::unistd::pipe2;

    use super::super::messages::SpawnJob;
    use super::*;

    fn pending(job: &Job) -> (Pending, File) {
        let (read, write) = pipe2(OFlag::O_CLOEXEC).unwrap();
        fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        (Pending::new(1, job, Pid::from_raw(12), read.into()), write.into())
    }

    fn spawn() -> Job {
        let (args, directory, environment) = Default::default();
        Job::Spawn(SpawnJob { args, directory, environment, terminal: false })
    }

    #[test]
    fn a_worker_that_becomes_its_program_says_so_by_closing() {
        let (mut worker, pipe) = pending(&spawn());
        assert!(worker.read().is_none(), "it may wait for a disk");
        drop(pipe);
        assert_eq!(worker.read().unwrap().unwrap(), Some(12));
    }

    #[test]
    fn what_it_says_is_why_it_has_failed_to() {
        let (mut worker, mut pipe) = pending(&spawn());
        let outcome: Outcome = Err(JobFailure::other("no"));
        pipe.write_all(&serde_json::to_vec(&outcome).unwrap()).unwrap();
        assert!(worker.read().is_none(), "that is not the end of it");
        pipe.write_all(&[END]).unwrap();
        assert_eq!(worker.read().unwrap().unwrap_err().text, "no");
    }

    #[test]
    fn any_other_worker_that_closes_without_a_word_is_dead() {
        let (mut worker, pipe) = pending(&Job::Start("c".to_owned()));
        drop(pipe);
        assert!(worker.read().is_none());
        assert_eq!(worker.outcome().unwrap_err().text, "the container worker died");
    }
}
