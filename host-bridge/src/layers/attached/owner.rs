//! The task that counts the users of a VM's layers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::plug::{Plug, PlugError, UnplugError};
use super::{AttachError, AttachedLayer};
use crate::vmm::{Disk, Lun};

type Released = oneshot::Sender<Result<(), UnplugError>>;

/// What users want.
#[derive(Debug)]
pub(super) enum Command {
    /// A reference to a layer.
    Attach {
        /// Its disk.
        disk: Disk,
        /// Whoever waits for it.
        reply: oneshot::Sender<Result<AttachedLayer, AttachError>>,
    },
    /// A reference comes back.
    Release {
        /// The disk's file.
        path: PathBuf,
        /// Whoever waits for it.
        done: Option<Released>,
    },
}

/// Somebody who waits for a layer.
#[derive(Debug)]
struct Waiter {
    disk: Disk,
    reply: oneshot::Sender<Result<AttachedLayer, AttachError>>,
}

/// A layer that is, was or will be attached.
#[derive(Debug)]
enum Layer {
    /// There is at least one waiter.
    Attaching { waiters: Vec<Waiter> },
    /// Without users only when it could not be unmounted.
    Attached { lun: Lun, users: usize },
    /// Those who come meanwhile have it attached again.
    Detaching { lun: Lun, done: Option<Released>, waiters: Vec<Waiter> },
}

/// A piece of work that has ended.
#[derive(Debug)]
enum Done {
    Attached(PathBuf, Result<Lun, PlugError>),
    Detached(PathBuf, Result<(), UnplugError>),
}

/// The task.
#[derive(Debug)]
pub(super) struct Owner<P> {
    plug: P,
    layers: HashMap<PathBuf, Layer>,
    jobs: JoinSet<Done>,
    /// For references; they keep the task alive, it does not.
    sender: mpsc::WeakUnboundedSender<Command>,
}

impl<P: Plug> Owner<P> {
    /// Starts it. It ends when nobody can ask it for anything and all work is done.
    pub(super) fn spawn(plug: P) -> mpsc::UnboundedSender<Command> {
        let (sender, commands) = mpsc::unbounded_channel();
        let owner = Self { plug, layers: HashMap::new(), jobs: JoinSet::new(), sender: sender.downgrade() };
        tokio::spawn(owner.run(commands));
        sender
    }

    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut open = true;
        loop {
            tokio::select! {
                command = commands.recv(), if open => match command {
                    Some(Command::Attach { disk, reply }) => self.attach(Waiter { disk, reply }),
                    Some(Command::Release { path, done }) => self.release(path, done),
                    None => open = false,
                },
                Some(done) = self.jobs.join_next() => match done {
                    Ok(Done::Attached(path, result)) => self.attached(path, result),
                    Ok(Done::Detached(path, result)) => self.detached(path, result),
                    // A panic, or the runtime's end. Whoever waits sees that there is no owner any more.
                    Err(error) => {
                        tracing::error!(%error, "the owner of attached layers ends");
                        break;
                    }
                },
                else => break,
            }
        }
    }

    fn attach(&mut self, waiter: Waiter) {
        match self.layers.get_mut(&waiter.disk.path) {
            None => self.start_attaching(vec![waiter]),
            Some(Layer::Attaching { waiters } | Layer::Detaching { waiters, .. }) => waiters.push(waiter),
            Some(Layer::Attached { lun, users }) => {
                *users += 1;
                let lun = *lun;
                self.grant(waiter, lun);
            }
        }
    }

    fn start_attaching(&mut self, waiters: Vec<Waiter>) {
        let Some(disk) = waiters.first().map(|waiter| waiter.disk.clone()) else { return };
        let path = disk.path.clone();
        self.layers.insert(path.clone(), Layer::Attaching { waiters });
        let attaching = self.plug.clone().attach(disk);
        self.jobs.spawn(async move { Done::Attached(path, attaching.await) });
    }

    fn attached(&mut self, path: PathBuf, result: Result<Lun, PlugError>) {
        let Some(Layer::Attaching { waiters }) = self.layers.remove(&path) else { return };
        match result {
            Ok(lun) => self.hand_out(path, lun, waiters),
            Err(source) => {
                let source = Arc::new(source);
                for waiter in waiters {
                    // Who has given up needs no answer.
                    let _ =
                        waiter.reply.send(Err(AttachError { path: path.clone(), source: source.clone() }));
                }
            }
        }
    }

    /// The layer is attached, for these waiters.
    fn hand_out(&mut self, path: PathBuf, lun: Lun, waiters: Vec<Waiter>) {
        self.layers.insert(path, Layer::Attached { lun, users: waiters.len() });
        for waiter in waiters {
            self.grant(waiter, lun);
        }
    }

    /// Hands out a reference that is already counted. Who has given up drops it, and so it comes back.
    fn grant(&mut self, waiter: Waiter, lun: Lun) {
        let path = waiter.disk.path;
        match self.sender.upgrade() {
            Some(owner) => drop(waiter.reply.send(Ok(AttachedLayer { path, lun, owner: Some(owner) }))),
            // Nobody can wait for it any more.
            None => self.release(path, None),
        }
    }

    fn release(&mut self, path: PathBuf, done: Option<Released>) {
        let Entry::Occupied(mut entry) = self.layers.entry(path) else { return };
        let Layer::Attached { lun, users } = entry.get_mut() else { return };
        *users = users.saturating_sub(1);
        if *users > 0 {
            answer(entry.key(), done, Ok(()));
            return;
        }
        let lun = *lun;
        let path = entry.key().clone();
        entry.insert(Layer::Detaching { lun, done, waiters: Vec::new() });
        let detaching = self.plug.clone().detach(lun);
        self.jobs.spawn(async move { Done::Detached(path, detaching.await) });
    }

    fn detached(&mut self, path: PathBuf, result: Result<(), UnplugError>) {
        let Some(Layer::Detaching { lun, done, waiters }) = self.layers.remove(&path) else { return };
        let still_mounted = matches!(result, Err(UnplugError::Unmount { .. }));
        answer(&path, done, result);
        if still_mounted {
            // It is as good as before, and the next last user tries again.
            self.hand_out(path, lun, waiters);
        } else {
            // Gone; or else its unit stays taken, and nobody gets it again.
            self.start_attaching(waiters);
        }
    }
}

fn answer(path: &Path, done: Option<Released>, result: Result<(), UnplugError>) {
    let unheard = match done {
        Some(done) => done.send(result).err(),
        None => Some(result),
    };
    // After its VM nothing has to be taken down.
    if let Some(Err(error)) = unheard
        && !matches!(error, UnplugError::Gone)
    {
        tracing::warn!(path = %path.display(), %error, "a layer stays attached");
    }
}
