//! Frames on their way to the host, which outlive the connections that carry them (spec sections 12.1 and 12.2).
//!
//! What may be sent depends on who is at the other end. A host that negotiates with a message id above zero is
//! the one that asked the old questions, so it gets the late answers. One that starts at zero has asked nothing
//! yet: late answers are dropped, and a notification waits until the host has named its container. But it may be the
//! destination of a migration, which takes over the waits of the source: it numbers its messages from above the
//! source's and waits anew for each process. So the late answer to a wait is held until a wait for the same process
//! with a higher number has come.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};

use lcow_protocol::{ContainerId, ProcessId, strict_host};
use tokio::sync::mpsc;

/// Numbers connections from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(u64);

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

/// What a `WaitForProcess` waits for, and its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waited {
    pub(super) container: ContainerId,
    pub(super) process: ProcessId,
    pub(super) id: u64,
}

impl Waited {
    /// Whether this is how a migration's destination waits anew for what `earlier` waits for.
    fn succeeds(&self, earlier: &Self) -> bool {
        self.container == earlier.container && self.process == earlier.process && self.id > earlier.id
    }
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    /// It has not negotiated yet.
    Unknown,
    /// It knows nothing of earlier connections.
    New,
    /// It made the earlier connections too.
    Same,
}

struct Connection {
    sender: mpsc::UnboundedSender<Item>,
    peer: Peer,
    /// Containers that requests on this connection have named.
    named: HashSet<ContainerId>,
    /// Waits on this connection, if it began without knowing earlier ones.
    waits: Vec<Waited>,
}

/// The queue.
#[derive(Default)]
pub(crate) struct Outbound(RefCell<State>);

#[derive(Default)]
struct State {
    generation: Generation,
    connection: Option<Connection>,
    parked: VecDeque<Item>,
}

enum Fate {
    Send,
    Park,
    Drop,
}

impl State {
    fn fate(&self, item: &Item) -> Fate {
        let Some(connection) = &self.connection else { return Fate::Park };
        match (&item.subject, connection.peer) {
            (Subject::Answer(generation, _), _) if *generation == self.generation => Fate::Send,
            (_, Peer::Same) => Fate::Send,
            (Subject::Answer(_, None), Peer::New) => Fate::Drop,
            (Subject::Answer(_, Some(waited)), Peer::New) => {
                if connection.waits.iter().any(|wait| wait.succeeds(waited)) {
                    Fate::Send
                } else {
                    Fate::Park
                }
            }
            (Subject::Notification(id), Peer::New) if connection.named.contains(id) => Fate::Send,
            (Subject::Notification(_), Peer::New) | (_, Peer::Unknown) => Fate::Park,
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
            (Fate::Park, Some(Connection { peer: Peer::New, .. })) => {
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

impl Outbound {
    /// A new connection: returns its number and the frames to write on it.
    pub(super) fn attach(&self) -> (Generation, mpsc::UnboundedReceiver<Item>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.0.borrow_mut();
        state.generation.0 += 1;
        state.connection =
            Some(Connection { sender, peer: Peer::Unknown, named: HashSet::new(), waits: Vec::new() });
        (state.generation, receiver)
    }

    /// The connection is gone; what it did not carry waits for the next.
    pub(super) fn detach(&self, unwritten: Option<Item>, mut queued: mpsc::UnboundedReceiver<Item>) {
        let mut state = self.0.borrow_mut();
        state.connection = None;
        queued.close();
        state.parked.extend(unwritten);
        while let Ok(item) = queued.try_recv() {
            state.parked.push_back(item);
        }
    }

    /// The host has negotiated with that message id, and the answer to it is queued.
    pub(super) fn negotiated(&self, id: u64) {
        let mut state = self.0.borrow_mut();
        if let Some(connection) = &mut state.connection {
            connection.peer = if id == 0 { Peer::New } else { Peer::Same };
        }
        state.offer_parked();
    }

    /// A request has named `container` on the present connection.
    pub(super) fn named(&self, container: &ContainerId) {
        let mut state = self.0.borrow_mut();
        let Some(connection) = &mut state.connection else { return };
        if connection.named.insert(container.clone()) && !state.parked.is_empty() {
            state.offer_parked();
        }
    }

    /// A `WaitForProcess` has come on the present connection.
    pub(super) fn waits(&self, wait: Waited) {
        let mut state = self.0.borrow_mut();
        // On the first connection there is nothing to take over.
        if state.generation <= Generation(1) {
            return;
        }
        let Some(connection) = &mut state.connection else { return };
        if connection.peer == Peer::New {
            connection.waits.push(wait);
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
        self.0.borrow_mut().offer(item);
    }

    /// How many frames wait for a connection, for people.
    pub(super) fn parked(&self) -> usize {
        self.0.borrow().parked.len()
    }
}

#[cfg(test)]
mod tests {
    use lcow_protocol::MessageType;
    use lcow_protocol::frame::{MAX_TO_HOST, encode};

    use super::*;

    fn answer(n: u8) -> Vec<u8> {
        let body = format!(r#"{{"Result":0,"ErrorMessage":"{n}"}}"#);
        encode(MessageType::START.response(), u64::from(n), body.as_bytes(), MAX_TO_HOST).unwrap()
    }

    fn notification(n: u8) -> Vec<u8> {
        let body = format!(r#"{{"ContainerId":"c{n}"}}"#);
        encode(MessageType::CONTAINER_NOTIFICATION, 0, body.as_bytes(), MAX_TO_HOST).unwrap()
    }

    fn received(receiver: &mut mpsc::UnboundedReceiver<Item>) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| receiver.try_recv().ok()).map(|item| item.frame).collect()
    }

    #[test]
    fn the_same_host_gets_late_answers_and_notifications_in_order_after_negotiating() {
        let outbound = Outbound::default();
        let (first, receiver) = outbound.attach();
        outbound.negotiated(0);
        outbound.detach(None, receiver);
        outbound.answer(first, None, answer(1), None);
        outbound.notify(ContainerId::from("c1"), notification(1));
        let (_, mut receiver) = outbound.attach();
        assert_eq!(received(&mut receiver), Vec::<Vec<u8>>::new());
        outbound.negotiated(7);
        assert_eq!(received(&mut receiver), [answer(1), notification(1)]);
        assert_eq!(outbound.parked(), 0);
    }

    #[test]
    fn a_new_host_gets_no_old_answers_and_notifications_only_of_containers_it_has_named() {
        let outbound = Outbound::default();
        let (first, receiver) = outbound.attach();
        outbound.negotiated(0);
        outbound.detach(None, receiver);
        outbound.answer(first, None, answer(1), None);
        outbound.notify(ContainerId::from("c1"), notification(1));
        outbound.notify(ContainerId::from("c2"), notification(2));
        let (second, mut receiver) = outbound.attach();
        outbound.negotiated(0);
        assert_eq!(received(&mut receiver), Vec::<Vec<u8>>::new());
        outbound.named(&ContainerId::from("c2"));
        assert_eq!(received(&mut receiver), [notification(2)]);
        outbound.answer(second, None, answer(2), None);
        assert_eq!(received(&mut receiver), [answer(2)]);
    }

    #[test]
    fn what_a_connection_did_not_carry_is_not_lost() {
        let outbound = Outbound::default();
        let (first, mut receiver) = outbound.attach();
        outbound.negotiated(0);
        outbound.answer(first, None, answer(1), None);
        outbound.answer(first, None, answer(2), None);
        let in_flight = receiver.try_recv().ok();
        outbound.detach(in_flight, receiver);
        let (_, mut receiver) = outbound.attach();
        outbound.negotiated(3);
        assert_eq!(received(&mut receiver), [answer(1), answer(2)]);
    }

    #[test]
    fn a_migrations_destination_gets_late_waits_once_it_has_waited_anew() {
        let waited =
            |process, id| Waited { container: ContainerId::from("c1"), process: ProcessId(process), id };
        let outbound = Outbound::default();
        let (first, receiver) = outbound.attach();
        outbound.negotiated(0);
        outbound.detach(None, receiver);
        outbound.answer(first, Some(waited(7, 1)), answer(1), None);
        let (_, mut receiver) = outbound.attach();
        outbound.negotiated(0);
        outbound.answer(first, Some(waited(8, 2)), answer(2), None);
        assert_eq!(received(&mut receiver), Vec::<Vec<u8>>::new());
        outbound.waits(waited(7, 30));
        assert_eq!(received(&mut receiver), [answer(1)]);
        outbound.waits(waited(8, 31));
        assert_eq!(received(&mut receiver), [answer(2)]);
        outbound.answer(first, Some(waited(8, 3)), answer(3), None);
        assert_eq!(received(&mut receiver), [answer(3)]);
    }

    #[test]
    fn a_host_that_begins_anew_does_not_get_old_waits() {
        let waited = |id| Waited { container: ContainerId::from("c1"), process: ProcessId(7), id };
        let outbound = Outbound::default();
        let (first, receiver) = outbound.attach();
        outbound.negotiated(0);
        outbound.detach(None, receiver);
        outbound.answer(first, Some(waited(21)), answer(1), None);
        let (_, mut receiver) = outbound.attach();
        outbound.negotiated(0);
        outbound.waits(waited(1));
        assert_eq!(received(&mut receiver), Vec::<Vec<u8>>::new());
    }
}
