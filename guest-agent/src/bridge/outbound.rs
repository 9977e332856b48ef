//! Frames on their way to the host, which outlive the connections that carry them (spec sections 12.1 and 12.2).
//!
//! What may be sent depends on who is at the other end, and that shows in the numbers of its messages:
//!
//! * A host that negotiates with a number above zero is the one that asked the old questions, after its VM was not moved
//!   after all. It gets the late answers and all notifications.
//! * One that negotiates with zero has asked nothing yet: late answers are dropped, and a notification waits until it
//!   has named the container and its waits for that container's init have been answered. If its next number is above all
//!   that were used before, it is the destination of a migration, which takes over the waits of the source that have no
//!   limit of time: the late answer to such a wait goes out once it has waited anew for the same process. If not, it has
//!   begun from nothing and gets no old answer at all.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};

use lcow_protocol::{ContainerId, ProcessId, strict_host};
use tokio::sync::{mpsc, watch};

/// Numbers connections from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(u64);

impl Generation {
    /// That of the connection after this one.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Called once a frame has been written. Dropped uncalled if it never will be.
pub(crate) type Written = Box<dyn FnOnce()>;

/// A frame and what it is about.
pub(crate) struct Item {
    pub(super) frame: Vec<u8>,
    pub(super) written: Option<Written>,
    subject: Subject,
}

enum Subject {
    /// Of a request on that connection; with what it has waited for if a migration's destination takes that over.
    Answer(Generation, Option<Waited>),
    /// About the end of that init.
    Notification(Waited),
}

/// What a `WaitForProcess` waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waited {
    pub(crate) container: ContainerId,
    pub(crate) process: ProcessId,
}

/// A `WaitForProcess`.
#[derive(Clone, Debug)]
pub(super) struct Wait {
    pub(super) on: Waited,
    /// It has no limit of time, so it outlives a migration.
    pub(super) infinite: bool,
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Peer {
    /// It has not negotiated yet.
    Unknown,
    /// It has negotiated with zero, and nothing more.
    New,
    /// It has begun from nothing.
    Stranger,
    /// The destination of a migration, and what it has waited for anew.
    Destination(Vec<Waited>),
    /// It made the earlier connections too.
    Same,
}

struct Connection {
    sender: mpsc::UnboundedSender<Item>,
    peer: Peer,
    /// Containers that requests on this connection have named.
    named: HashSet<ContainerId>,
    /// Waits of this connection that are not answered yet, if it is not the first.
    open: Vec<Waited>,
}

/// The queue.
pub(crate) struct Outbound {
    state: RefCell<State>,
    /// The connection that has negotiated.
    negotiated: watch::Sender<Option<Generation>>,
}

#[derive(Default)]
struct State {
    generation: Generation,
    connection: Option<Connection>,
    parked: VecDeque<Item>,
    /// The highest number that the present host, or the one it continues, has used.
    highest: u64,
}

enum Fate {
    Send,
    Park,
    Drop,
}

impl State {
    fn fate(&self, item: &Item) -> Fate {
        let Some(connection) = &self.connection else { return Fate::Park };
        match (&item.subject, &connection.peer) {
            (Subject::Answer(generation, _), _) if *generation == self.generation => Fate::Send,
            (_, Peer::Same) => Fate::Send,
            (_, Peer::Unknown) | (Subject::Answer(_, Some(_)), Peer::New) => Fate::Park,
            (Subject::Answer(_, Some(waited)), Peer::Destination(waits)) => {
                if waits.contains(waited) {
                    Fate::Send
                } else {
                    Fate::Park
                }
            }
            (Subject::Answer(..), _) => Fate::Drop,
            (Subject::Notification(init), _) if connection.named.contains(&init.container) => {
                if connection.open.contains(init) || self.owes(init) { Fate::Park } else { Fate::Send }
            }
            (Subject::Notification(_), _) => Fate::Park,
        }
    }

    /// Whether the answer to a wait is parked, which then goes out before the notification (spec section 5.14).
    fn owes(&self, init: &Waited) -> bool {
        let is_answer =
            |item: &Item| matches!(&item.subject, Subject::Answer(_, Some(waited)) if waited == init);
        self.parked.iter().any(is_answer)
    }

    fn offer(&mut self, mut item: Item) {
        match (self.fate(&item), &self.connection) {
            (Fate::Drop, _) => {}
            (Fate::Send, Some(connection)) => {
                if let Err(mpsc::error::SendError(item)) = connection.sender.send(item) {
                    self.parked.push_back(item);
                }
            }
            (Fate::Park, Some(Connection { peer: Peer::New | Peer::Destination(_), .. })) => {
                // It may never go out, and nothing may depend on that.
                item.written = None;
                self.parked.push_back(item);
            }
            _ => self.parked.push_back(item),
        }
    }

    fn offer_parked(&mut self) {
        for item in std::mem::take(&mut self.parked) {
            self.offer(item);
        }
    }
}

impl Default for Outbound {
    fn default() -> Self {
        Self { state: RefCell::default(), negotiated: watch::Sender::new(None) }
    }
}

impl Outbound {
    /// A new connection: returns its number and the frames to write on it.
    pub(super) fn attach(&self) -> (Generation, mpsc::UnboundedReceiver<Item>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.state.borrow_mut();
        state.generation = state.generation.next();
        state.connection =
            Some(Connection { sender, peer: Peer::Unknown, named: HashSet::new(), open: Vec::new() });
        (state.generation, receiver)
    }

    /// The connection is gone; what it did not carry waits for the next.
    pub(super) fn detach(&self, unwritten: Option<Item>, mut queued: mpsc::UnboundedReceiver<Item>) {
        let mut state = self.state.borrow_mut();
        state.connection = None;
        queued.close();
        state.parked.extend(unwritten);
        while let Ok(item) = queued.try_recv() {
            state.parked.push_back(item);
        }
        self.negotiated.send_replace(None);
    }

    /// The host has negotiated with that message number, and the answer to it is queued.
    pub(super) fn negotiated(&self, id: u64) {
        let mut state = self.state.borrow_mut();
        if let Some(connection) = &mut state.connection {
            connection.peer = if id == 0 { Peer::New } else { Peer::Same };
        }
        state.highest = state.highest.max(id);
        state.offer_parked();
        self.negotiated.send_replace(Some(state.generation));
    }

    /// The connection that has negotiated, now and from now on; `None` while there is none.
    pub(crate) fn connection(&self) -> watch::Receiver<Option<Generation>> {
        self.negotiated.subscribe()
    }

    /// A request with that number has come on the present connection.
    pub(super) fn requested(&self, id: u64) {
        let mut state = self.state.borrow_mut();
        let continues = id > state.highest;
        let Some(connection) = &mut state.connection else { return };
        if connection.peer == Peer::New {
            connection.peer = if continues { Peer::Destination(Vec::new()) } else { Peer::Stranger };
            if !continues {
                state.highest = id;
            }
            state.offer_parked();
        }
        state.highest = state.highest.max(id);
    }

    /// A request has named `container` on the present connection.
    pub(super) fn named(&self, container: &ContainerId) {
        let mut state = self.state.borrow_mut();
        let Some(connection) = &mut state.connection else { return };
        if connection.named.insert(container.clone()) && !state.parked.is_empty() {
            state.offer_parked();
        }
    }

    /// A `WaitForProcess` has come on the present connection; to be called before [`Self::named`], for what it is told
    /// first are the answers.
    pub(super) fn waits(&self, wait: Waited) {
        let mut state = self.state.borrow_mut();
        // On the first connection there is nothing to take over.
        if state.generation <= Generation(1) {
            return;
        }
        let Some(connection) = &mut state.connection else { return };
        connection.open.push(wait.clone());
        if let Peer::Destination(waits) = &mut connection.peer {
            waits.push(wait);
            state.offer_parked();
        }
    }

    /// Queues the answer to a request of connection `generation`; `wait` if that was a `WaitForProcess`.
    pub(super) fn answer(
        &self,
        generation: Generation,
        wait: Option<Wait>,
        frame: Vec<u8>,
        written: Option<Written>,
    ) {
        let on = wait.as_ref().map(|wait| wait.on.clone());
        let taken_over = wait.filter(|wait| wait.infinite).map(|wait| wait.on);
        self.queue(Item { frame, written, subject: Subject::Answer(generation, taken_over) });
        if let Some(on) = on {
            self.answered(generation, &on);
        }
    }

    /// What was only waiting for the answer to a wait may go.
    fn answered(&self, generation: Generation, on: &Waited) {
        let mut state = self.state.borrow_mut();
        if generation != state.generation {
            return;
        }
        let Some(connection) = &mut state.connection else { return };
        if let Some(index) = connection.open.iter().position(|open| open == on) {
            connection.open.swap_remove(index);
            state.offer_parked();
        }
    }

    /// Queues the notification of the end of `init`.
    pub(crate) fn notify(&self, init: Waited, frame: Vec<u8>) {
        self.queue(Item { frame, written: None, subject: Subject::Notification(init) });
    }

    fn queue(&self, item: Item) {
        debug_assert_eq!(strict_host::violation(&item.frame), None, "a real host would drop the bridge");
        self.state.borrow_mut().offer(item);
    }

    /// How many frames wait for a connection, for people.
    pub(super) fn parked(&self) -> usize {
        self.state.borrow().parked.len()
    }
}

#[cfg(test)]
#[path = "outbound_tests.rs"]
mod tests;
