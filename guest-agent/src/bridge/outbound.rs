//! Frames on their way to the host, which outlive the connections that carry them (spec sections 12.1 and 12.2).
//!
//! What may be sent depends on who is at the other end, and that shows in the numbers of its messages:
//!
//! * A host that negotiates with a number above zero is the one that asked the old questions, after its VM was not moved
//!   after all. It gets the late answers and all notifications.
//! * One that negotiates with zero has asked nothing yet: late answers are dropped, and a notification waits until it
//!   has named the container. If its next number is above all that were used before, it is the destination of a
//!   migration, which takes over the waits of the source: the late answer to a wait goes out once it has waited anew for
//!   the same process. If not, it has begun from nothing and gets no old answer at all.

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
    /// Of a request on that connection.
    Answer(Generation, Option<Waited>),
    /// About that container.
    Notification(ContainerId),
}

/// What a `WaitForProcess` waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waited {
    pub(super) container: ContainerId,
    pub(super) process: ProcessId,
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
            (Subject::Notification(id), _) if connection.named.contains(id) => Fate::Send,
            (Subject::Notification(_), _) => Fate::Park,
        }
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
        state.connection = Some(Connection { sender, peer: Peer::Unknown, named: HashSet::new() });
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

    /// A `WaitForProcess` has come on the present connection.
    pub(super) fn waits(&self, wait: Waited) {
        let mut state = self.state.borrow_mut();
        // On the first connection there is nothing to take over.
        if state.generation <= Generation(1) {
            return;
        }
        if let Some(Connection { peer: Peer::Destination(waits), .. }) = &mut state.connection {
            waits.push(wait);
            state.offer_parked();
        }
    }

    /// Queues the answer to a request of connection `generation`; `waited` if that was a `WaitForProcess`.
    pub(super) fn answer(
        &self,
        generation: Generation,
        waited: Option<Waited>,
        frame: Vec<u8>,
        written: Option<Written>,
    ) {
        self.queue(Item { frame, written, subject: Subject::Answer(generation, waited) });
    }

    /// Queues a notification about `container`.
    pub(crate) fn notify(&self, container: ContainerId, frame: Vec<u8>) {
        self.queue(Item { frame, written: None, subject: Subject::Notification(container) });
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
