//! The worker parent: forks workers, which may become VM-level processes, reaps them, and delivers signals.
//!
//! It blocks in `poll` and nowhere else, and runs no other thread. A process's exit is reported only after the job that started it
//! has been, so that `gcs` never hears of a pid it does not know.

use std::collections::HashSet;
use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, recvmsg, send, setsockopt,
    socketpair, sockopt,
};
use nix::unistd::{Pid, pipe2};

use super::early::EarlyExits;
use super::messages::{Event, FailureKind, Job, JobFailure, JobId, MAX_MESSAGE, Request};
use super::overdue::Overdue;
use super::pending::{END, Outcome, Pending};
use super::worker;
use crate::sys;

/// What `gcs` keeps of the worker parent.
pub(crate) struct Handle {
    /// Its process.
    pub(crate) pid: Pid,
    /// Requests go in, events come out.
    pub(crate) socket: OwnedFd,
    /// Whatever the worker parent and its workers print; nothing, unless something is badly wrong.
    pub(crate) output: OwnedFd,
}

/// Forks the worker parent. Must be called before any thread is started.
pub(crate) fn fork() -> nix::Result<Handle> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    for socket in [&ours, &theirs] {
        setsockopt(socket, sockopt::SndBufForce, &(2 * MAX_MESSAGE))
            .or_else(|_| setsockopt(socket, sockopt::SndBuf, &(2 * MAX_MESSAGE)))?;
    }
    let (output, output_writer) = pipe2(OFlag::O_CLOEXEC)?;
    if let Some(pid) = sys::fork_single_threaded()? {
        return Ok(Handle { pid, socket: ours, output });
    }
    drop((ours, output));
    let status = match run(theirs, &output_writer) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("worker parent: {error}");
            1
        }
    };
    std::process::exit(status)
}

fn run(socket: OwnedFd, output: &OwnedFd) -> nix::Result<()> {
    // The log port carries JSON objects and nothing else, so what is printed here must not reach it.
    sys::place_fd(output, 1)?;
    sys::place_fd(output, 2)?;
    prctl::set_child_subreaper(true)?;
    // Without `gcs` nobody could be told anything.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    prctl::set_name(c"gcs-workers")?;
    Parent::new(socket)?.serve()
}

struct Parent {
    socket: OwnedFd,
    children: SignalFd,
    workers: Vec<Pending>,
    /// Processes that were reported as started.
    live: HashSet<Pid>,
    /// Exits of processes that may yet be reported as started by a pending worker.
    early: EarlyExits,
    /// What was given up and is not gone yet.
    overdue: Vec<Overdue>,
}

impl Parent {
    fn new(socket: OwnedFd) -> nix::Result<Self> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.thread_block()?;
        let children = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self {
            socket,
            children,
            workers: Vec::new(),
            live: HashSet::new(),
            early: EarlyExits::default(),
            overdue: Vec::new(),
        })
    }

    /// Serves until `gcs` is gone.
    fn serve(mut self) -> nix::Result<()> {
        loop {
            let ready = self.wait()?;
            for index in ready.workers.into_iter().rev() {
                self.read_result(index)?;
            }
            if ready.children {
                while matches!(self.children.read_signal(), Ok(Some(_))) {}
                self.reap()?;
            }
            self.end_overdue(Instant::now())?;
            if ready.request && !self.handle_request()? {
                return Ok(());
            }
        }
    }

    fn wait(&mut self) -> nix::Result<Ready> {
        let due = self.workers.iter().map(|worker| worker.deadline);
        let due = due.chain(self.overdue.iter().map(Overdue::again)).min();
        let mut fds = vec![
            PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.children.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(self.workers.iter().map(|worker| PollFd::new(worker.result.as_fd(), PollFlags::POLLIN)));
        // These say nothing any more, but they hang up.
        fds.extend(self.overdue.iter().map(|overdue| PollFd::new(overdue.result(), PollFlags::empty())));
        match poll(&mut fds, due.map_or(PollTimeout::NONE, until)) {
            Err(Errno::EINTR) | Ok(_) => {}
            Err(error) => return Err(error),
        }
        let is_ready = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
        let ready: Vec<bool> = fds.iter().map(is_ready).collect();
        let (workers, overdue) = ready[2..].split_at(self.workers.len());
        let at = |ready: &[bool]| (0..ready.len()).filter(|at| ready[*at]).collect::<Vec<_>>();
        let gone = at(overdue);
        let ready = Ready { request: ready[0], children: ready[1], workers: at(workers) };
        for index in gone.into_iter().rev() {
            self.overdue.swap_remove(index);
        }
        Ok(ready)
    }

    /// Kills what has not ended in time, and answers.
    fn end_overdue(&mut self, now: Instant) -> nix::Result<()> {
        self.overdue.retain_mut(|overdue| overdue.kill_again(now));
        while let Some(index) = self.workers.iter().position(|worker| worker.deadline <= now) {
            let Pending { job, pid, result, operation, .. } = self.workers.swap_remove(index);
            self.overdue.push(Overdue::kill(pid, result, now));
            let text = format!("{operation} has not ended in time and was given up");
            self.finish(job, Err(JobFailure::other(text)))?;
        }
        Ok(())
    }

    /// Takes one request; false at the end of the connection.
    fn handle_request(&mut self) -> nix::Result<bool> {
        let mut buffer = vec![0; MAX_MESSAGE];
        let Some((length, fds)) = receive(&self.socket, &mut buffer)? else { return Ok(false) };
        match serde_json::from_slice(&buffer[..length]) {
            Ok(Request::Signal(job, pid, signal)) => {
                let result = self.signal(pid, signal);
                self.report(&Event::Done(job, result))?;
            }
            Ok(Request::Job(id, job)) => {
                // Containers may have used up all processes for now; that must not end the machine.
                if let Err(error) = self.start_worker(id, job, fds) {
                    let failure = JobFailure::other(format!("starting a container worker: {error}"));
                    self.report(&Event::Done(id, Err(failure)))?;
                }
            }
            Err(error) => eprintln!("worker parent: malformed request: {error}"),
        }
        Ok(true)
    }

    /// Only processes that have not been reaped can be signalled, so the pid is certain to be theirs.
    fn signal(&self, pid: u32, signal: i32) -> Result<Option<u32>, JobFailure> {
        let gone = || JobFailure { kind: FailureKind::NoSuchProcess, text: format!("process {pid} is gone") };
        let pid = Pid::from_raw(i32::try_from(pid).map_err(|_| gone())?);
        if !self.live.contains(&pid) {
            return Err(gone());
        }
        // Real-time signals have no name in the enum, so the raw number is what is sent.
        let result = match Signal::try_from(signal) {
            Ok(signal) => kill(pid, signal),
            Err(_) => sys::kill_raw(pid, signal),
        };
        match result {
            Ok(()) => Ok(None),
            Err(Errno::ESRCH) => Err(gone()),
            Err(error) => Err(JobFailure::other(format!("signal {signal} to {pid}: {error}"))),
        }
    }

    fn start_worker(&mut self, id: JobId, job: Job, fds: Vec<OwnedFd>) -> nix::Result<()> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        self.early.begin(id);
        let Some(pid) = sys::fork_single_threaded()? else {
            self.close_in_worker();
            run_worker(job, fds, write);
        };
        self.workers.push(Pending::new(id, &job, pid, File::from(read)));
        Ok(())
    }

    /// What is the worker parent's alone must not stay open in a container that waits for its start: `gcs` would
    /// not notice the end of the worker parent.
    fn close_in_worker(&self) {
        let results = self.workers.iter().map(|worker| worker.result.as_raw_fd());
        let results = results.chain(self.overdue.iter().map(|overdue| overdue.result().as_raw_fd()));
        for fd in results.chain([self.socket.as_raw_fd(), self.children.as_fd().as_raw_fd()]) {
            // The worker ends without running destructors, so nothing is closed twice.
            let _ = nix::unistd::close(fd);
        }
    }

    /// Reads what a worker has to say; when that is complete the job is done.
    fn read_result(&mut self, index: usize) -> nix::Result<()> {
        match self.workers[index].read() {
            Some(outcome) => self.finish_worker(index, outcome),
            None => Ok(()),
        }
    }

    fn finish_worker(&mut self, index: usize, outcome: Outcome) -> nix::Result<()> {
        let worker = self.workers.swap_remove(index);
        self.finish(worker.job, outcome)
    }

    /// Reports a job's result, and the exit of its process if that was faster.
    fn finish(&mut self, id: JobId, result: Outcome) -> nix::Result<()> {
        let started = result.as_ref().ok().copied().flatten().and_then(|pid| i32::try_from(pid).ok());
        self.report(&Event::Done(id, result))?;
        if let Some(pid) = started.map(Pid::from_raw) {
            match self.early.take(id, pid) {
                Some(status) => self.report(&Event::Exited(pid.as_raw().cast_unsigned(), status))?,
                None => drop(self.live.insert(pid)),
            }
        }
        self.early.forget(self.workers.iter().map(|worker| worker.job).min());
        Ok(())
    }

    fn reap(&mut self) -> nix::Result<()> {
        loop {
            let (pid, status) = match sys::reap(false) {
                Ok(Some(reaped)) => (reaped.pid, reaped.status),
                Ok(None) | Err(Errno::ECHILD) => return Ok(()),
                Err(error) => return Err(error),
            };
            let worker = self.workers.iter().position(|worker| worker.pid == pid);
            if let Some(index) = worker {
                let outcome = self.workers[index].read().unwrap_or_else(|| self.workers[index].outcome());
                self.finish_worker(index, outcome)?;
            }
            // A worker that was its program already has just become live.
            if self.live.remove(&pid) {
                self.report(&Event::Exited(pid.as_raw().cast_unsigned(), status))?;
            } else if worker.is_none() && !self.workers.is_empty() {
                self.early.record(pid, status);
            }
        }
    }

    fn report(&self, event: &Event) -> nix::Result<()> {
        let message = serde_json::to_vec(event).map_err(|_| Errno::EINVAL)?;
        send(self.socket.as_raw_fd(), &message, MsgFlags::MSG_NOSIGNAL).map(drop)
    }
}

/// For `poll`, which must not return before `due`.
fn until(due: Instant) -> PollTimeout {
    let left = due.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
}

/// What `poll` found.
struct Ready {
    request: bool,
    children: bool,
    workers: Vec<usize>,
}

/// The worker's whole life.
fn run_worker(job: Job, fds: Vec<OwnedFd>, result: OwnedFd) -> ! {
    // Our parent's mask must not become the container's.
    let outcome = match SigSet::empty().thread_set_mask() {
        Ok(()) => worker::run(job, fds),
        Err(error) => Err(JobFailure::other(format!("unblocking signals: {error}"))),
    };
    let mut message = serde_json::to_vec(&outcome).unwrap_or_default();
    message.push(END);
    let written = File::from(result).write_all(&message);
    std::process::exit(i32::from(written.is_err()))
}

/// Takes one packet and its descriptors; `None` at the end of the connection.
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> nix::Result<Option<(usize, Vec<OwnedFd>)>> {
    let mut space = nix::cmsg_space!([RawFd; 4]);
    let mut slices = [IoSliceMut::new(buffer)];
    let message = loop {
        match recvmsg::<UnixAddr>(
            socket.as_raw_fd(),
            &mut slices,
            Some(&mut space),
            MsgFlags::MSG_CMSG_CLOEXEC,
        ) {
            Err(Errno::EINTR) => {}
            other => break other?,
        }
    };
    let mut fds = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = control {
            fds.extend(received.into_iter().map(sys::own_received_fd));
        }
    }
    let length = message.bytes;
    Ok((length > 0).then_some((length, fds)))
}

/// Sends one packet with descriptors.
pub(super) fn send_with_fds(socket: &OwnedFd, message: &[u8], fds: &[RawFd]) -> nix::Result<()> {
    use nix::sys::socket::{ControlMessage, sendmsg};
    let rights = [ControlMessage::ScmRights(fds)];
    let control: &[ControlMessage<'_>] = if fds.is_empty() { &[] } else { &rights };
    let flags = MsgFlags::MSG_NOSIGNAL;
    sendmsg::<UnixAddr>(socket.as_raw_fd(), &[IoSlice::new(message)], control, flags, None).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use nix::sys::socket::recv;

    use super::*;

    #[test]
    fn a_job_that_does_not_end_is_killed_with_all_that_it_has_made() {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let mut parent = Parent::new(theirs).unwrap();
        let (result, write) = pipe2(OFlag::O_CLOEXEC).unwrap();
        // Stands for a worker and what it has made: both have the pipe.
        let mut shell = Command::new("/bin/sh");
        let mut worker = shell.args(["-c", "sleep 1000 & wait"]).stdout(write).spawn().unwrap();
        drop(shell);
        let pid = Pid::from_raw(worker.id().cast_signed());
        let pending = Pending::new(7, &Job::Start("c".to_owned()), pid, result.into());
        parent.workers.push(pending.within(Duration::from_millis(1)));
        while !parent.workers.is_empty() {
            // Nothing happens, so only the deadline ends this.
            parent.wait().unwrap();
            parent.end_overdue(Instant::now()).unwrap();
        }
        let mut buffer = [0; 512];
        let length = recv(ours.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT).unwrap();
        let Event::Done(7, Err(failure)) = serde_json::from_slice(&buffer[..length]).unwrap() else {
            panic!("{:?}", String::from_utf8_lossy(&buffer[..length]));
        };
        assert_eq!(failure.text, "starting a container has not ended in time and was given up");
        assert_eq!(worker.wait().unwrap().signal(), Some(libc::SIGKILL));
        // The pipe hangs up when the other one is gone as well, which may just have been made.
        while !parent.overdue.is_empty() {
            parent.wait().unwrap();
            parent.end_overdue(Instant::now()).unwrap();
        }
    }
}
