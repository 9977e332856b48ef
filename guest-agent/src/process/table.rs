//! A process that the host started: waited for, signalled and resized by its pid.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use lcow_protocol::ProcessId;
use lcow_protocol::messages::ExitType;
use tokio::sync::watch;

use super::{Asked, Phase, Pty, Relays};
use crate::runtime::{Child, Client, Error};

/// A process and what is known about its end.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    terminal: RefCell<Terminal>,
    phase: watch::Sender<Phase>,
    /// The exit status, once all output has reached the host as well.
    finished: watch::Sender<Option<i32>>,
    /// Waits that have not been answered.
    waits: watch::Sender<usize>,
    /// How the host asked it to end, for the notification.
    exit_type: Cell<ExitType>,
}

/// What a process has for a terminal.
#[derive(Debug)]
pub(crate) enum Terminal {
    /// Pipes or sockets.
    None,
    /// One that can be resized.
    Open(Rc<Pty>),
    /// It had one, and its output is done.
    Closed,
}

/// Counts an unanswered wait for as long as it lives.
#[derive(Debug)]
pub(crate) struct WaitGuard(Rc<Process>);

impl Drop for WaitGuard {
    fn drop(&mut self) {
        self.0.waits.send_modify(|waits| *waits -= 1);
    }
}

impl Process {
    /// A process that is running.
    pub(crate) fn new(child: Child, terminal: Option<Rc<Pty>>) -> Rc<Self> {
        Rc::new(Self {
            child,
            terminal: RefCell::new(terminal.map_or(Terminal::None, Terminal::Open)),
            phase: watch::Sender::default(),
            finished: watch::Sender::new(None),
            waits: watch::Sender::new(0),
            exit_type: Cell::default(),
        })
    }

    /// Its id in the root pid namespace.
    pub(crate) fn id(&self) -> ProcessId {
        ProcessId(self.child.pid)
    }

    /// The process itself; it may have ended while its output is still on its way.
    pub(crate) fn child(&self) -> &Child {
        &self.child
    }

    /// Resizes its terminal: `None` if it never had one; nothing happens if its output is done.
    pub(crate) fn resize(&self, rows: u16, columns: u16) -> Option<std::io::Result<()>> {
        match &*self.terminal.borrow() {
            Terminal::None => None,
            Terminal::Open(pty) => Some(pty.resize(rows, columns)),
            Terminal::Closed => Some(Ok(())),
        }
    }

    /// How far it has come.
    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Remembers what the host has asked for; nothing takes that back.
    pub(crate) fn ask(&self, asked: Asked) {
        self.phase.send_modify(|phase| phase.asked = phase.asked.max(asked));
    }

    /// Publishes the exit status when it has ended and `relays` have delivered its output.
    pub(crate) fn supervise(self: &Rc<Self>, relays: Relays) {
        let process = Rc::clone(self);
        let delivered = Rc::clone(self);
        // A task of its own: should it panic, the host is still told of the end.
        let delivering = tokio::task::spawn_local(async move {
            delivered.child.exited().await;
            delivered.deliver(relays).await;
        });
        tokio::task::spawn_local(async move {
            let _ = delivering.await;
            process.finish(process.child.exited().await);
        });
    }

    /// Waits until all that it has written before its end has reached the host, or no more of it will.
    pub(crate) async fn deliver(&self, relays: Relays) {
        self.phase.send_modify(|phase| phase.ended = true);
        relays.finish().await;
    }

    /// Publishes the exit status: the process is gone and all its output has reached the host.
    pub(crate) fn finish(&self, status: i32) {
        let mut terminal = self.terminal.borrow_mut();
        if matches!(*terminal, Terminal::Open(_)) {
            *terminal = Terminal::Closed;
        }
        self.finished.send_replace(Some(status));
    }

    /// The published exit status.
    pub(crate) fn status(&self) -> Option<i32> {
        *self.finished.borrow()
    }

    /// Waits for the published exit status.
    pub(crate) async fn wait(&self) -> i32 {
        let mut finished = self.finished.subscribe();
        // The sender is ours, so it cannot be gone.
        finished.wait_for(Option::is_some).await.ok().and_then(|status| *status).unwrap_or(255)
    }

    /// Registers a wait that is about to be answered.
    pub(crate) fn begin_wait(self: &Rc<Self>) -> WaitGuard {
        self.waits.send_modify(|waits| *waits += 1);
        WaitGuard(Rc::clone(self))
    }

    /// Whether a wait other than the caller's own is unanswered.
    pub(crate) fn has_other_waits(&self) -> bool {
        *self.waits.borrow() > 1
    }

    /// Waits until no wait is unanswered.
    pub(crate) async fn all_waits_answered(&self) {
        let mut waits = self.waits.subscribe();
        // As above.
        let _ = waits.wait_for(|waits| *waits == 0).await;
    }

    /// Sends it a signal, which the host has asked for. Only one that was sent can be how it ended.
    pub(crate) async fn signal(&self, runtime: &Client, signal: i32) -> Result<(), Error> {
        runtime.signal(self.child.pid, signal).await?;
        match signal {
            libc::SIGTERM => self.exit_type.set(ExitType::GracefulExit),
            libc::SIGKILL => self.exit_type.set(ExitType::ForcedExit),
            _ => {}
        }
        Ok(())
    }

    /// How the process ended, as the notification puts it.
    pub(crate) fn exit_type(&self) -> ExitType {
        self.exit_type.get()
    }
}
