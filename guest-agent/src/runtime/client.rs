//! The asynchronous side of the seam, in `gcs`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{oneshot, watch};

use super::messages::{
    ContainerJob, Event, Job, JobFailure, JobId, MAX_MESSAGE, ProcessJob, Request, SpawnJob,
};
use super::parent::send_with_fds;

/// A job that could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The job itself failed.
    #[error(transparent)]
    Job(#[from] JobFailure),
    /// It could not be handed over.
    #[error("reaching the worker parent")]
    Parent(#[source] std::io::Error),
    /// The worker parent is gone, and every container with it.
    #[error("the worker parent is gone")]
    Gone,
    /// A process that waits for a disk does not end even so.
    #[error("process {0} has not ended within {seconds} s of SIGKILL", seconds = KILLED.as_secs())]
    Unkillable(u32),
}

/// How long a process may take to end once it was killed.
const KILLED: Duration = Duration::from_secs(30);

/// A process that a job has started.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    /// In the root pid namespace.
    pub(crate) pid: u32,
    /// Becomes the exit status: 128 plus the number for a signal.
    pub(crate) exit: watch::Receiver<Option<i32>>,
}

impl Child {
    /// Waits for the end of the process; 255 if nobody can say any more how it ended.
    pub(crate) async fn exited(&self) -> i32 {
        let mut exit = self.exit.clone();
        exit.wait_for(Option::is_some).await.ok().and_then(|status| *status).unwrap_or(255)
    }

    /// The same for a process that was sent SIGKILL, but not for ever.
    pub(crate) async fn killed(&self) -> Result<i32, Error> {
        tokio::time::timeout(KILLED, self.exited()).await.map_err(|_| Error::Unkillable(self.pid))
    }

    /// The exit status, if the process has ended.
    pub(crate) fn status(&self) -> Option<i32> {
        *self.exit.borrow()
    }
}

type Answer = Result<Option<Child>, JobFailure>;

/// The connection to the worker parent.
pub(crate) struct Client {
    socket: AsyncFd<OwnedFd>,
    next: Cell<JobId>,
    waiting: RefCell<HashMap<JobId, oneshot::Sender<Answer>>>,
    exits: RefCell<HashMap<u32, watch::Sender<Option<i32>>>>,
}

impl Client {
    /// Takes over the socket to the worker parent. [`Client::pump`] must run for anything to happen.
    pub(crate) fn new(socket: OwnedFd) -> std::io::Result<Rc<Self>> {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Rc::new(Self {
            socket: crate::sys::async_fd(socket)?,
            next: Cell::new(0),
            waiting: RefCell::default(),
            exits: RefCell::default(),
        }))
    }

    /// Delivers the worker parent's events until it is gone.
    pub(crate) async fn pump(self: Rc<Self>) {
        let mut buffer = vec![0; MAX_MESSAGE];
        loop {
            let received = self
                .socket
                .async_io(Interest::READABLE, |socket| {
                    recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).map_err(std::io::Error::from)
                })
                .await;
            match received {
                Ok(0) | Err(_) => break,
                Ok(length) => match serde_json::from_slice(&buffer[..length]) {
                    Ok(event) => self.deliver(event),
                    Err(error) => tracing::error!(%error, "malformed event of the worker parent"),
                },
            }
        }
        self.waiting.borrow_mut().clear();
        self.exits.borrow_mut().clear();
    }

    fn deliver(&self, event: Event) {
        match event {
            Event::Done(id, result) => {
                let answer = result.map(|pid| pid.map(|pid| self.register(pid)));
                if let Some(waiting) = self.waiting.borrow_mut().remove(&id) {
                    // The request's task may have been dropped; the process then ends unheard.
                    let _ = waiting.send(answer);
                }
            }
            Event::Exited(pid, status) => {
                if let Some(exit) = self.exits.borrow_mut().remove(&pid) {
                    exit.send_replace(Some(status));
                }
            }
        }
    }

    fn register(&self, pid: u32) -> Child {
        let (sender, exit) = watch::channel(None);
        self.exits.borrow_mut().insert(pid, sender);
        Child { pid, exit }
    }

    /// Creates a container and its init process.
    pub(crate) async fn create(&self, job: ContainerJob, fds: &[RawFd]) -> Result<Child, Error> {
        self.process(Job::Create(job), fds).await
    }

    /// Runs a further process in a container.
    pub(crate) async fn exec(&self, job: ProcessJob, fds: &[RawFd]) -> Result<Child, Error> {
        self.process(Job::Exec(job), fds).await
    }

    /// Runs a process of the VM itself with the three descriptors as its streams.
    pub(crate) async fn spawn(&self, job: SpawnJob, fds: &[RawFd]) -> Result<Child, Error> {
        self.process(Job::Spawn(job), fds).await
    }

    /// Lets a created container's init process run.
    pub(crate) async fn start(&self, container: &str) -> Result<(), Error> {
        self.submit(|id| Request::Job(id, Job::Start(container.to_owned())), &[]).await.map(drop)
    }

    /// Removes what libcontainer keeps about a container.
    pub(crate) async fn delete(&self, container: &str) -> Result<(), Error> {
        self.submit(|id| Request::Job(id, Job::Delete(container.to_owned())), &[]).await.map(drop)
    }

    /// Sends a signal to a process.
    pub(crate) async fn signal(&self, pid: u32, signal: i32) -> Result<(), Error> {
        self.submit(|id| Request::Signal(id, pid, signal), &[]).await.map(drop)
    }

    async fn process(&self, job: Job, fds: &[RawFd]) -> Result<Child, Error> {
        self.submit(|id| Request::Job(id, job), fds).await?.ok_or(Error::Gone)
    }

    async fn submit(
        &self,
        request: impl FnOnce(JobId) -> Request,
        fds: &[RawFd],
    ) -> Result<Option<Child>, Error> {
        let id = self.next.replace(self.next.get() + 1);
        let message = serde_json::to_vec(&request(id)).map_err(|error| Error::Parent(error.into()))?;
        if message.len() > MAX_MESSAGE {
            return Err(Error::Parent(Errno::E2BIG.into()));
        }
        let (sender, answer) = oneshot::channel();
        self.waiting.borrow_mut().insert(id, sender);
        let sent = self
            .socket
            .async_io(Interest::WRITABLE, |socket| {
                send_with_fds(socket, &message, fds).map_err(std::io::Error::from)
            })
            .await;
        if let Err(error) = sent {
            self.waiting.borrow_mut().remove(&id);
            return Err(Error::Parent(error));
        }
        Ok(answer.await.map_err(|_| Error::Gone)??)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_process_that_cannot_be_killed_is_not_waited_for_for_ever() {
        let (sender, exit) = watch::channel(None);
        let child = Child { pid: 12, exit };
        let error = child.killed().await.unwrap_err();
        assert_eq!(error.to_string(), "process 12 has not ended within 30 s of SIGKILL");
        sender.send_replace(Some(137));
        assert_eq!(child.killed().await.unwrap(), 137);
    }
}
