//! Frames on their way to the host, which outlive the connections that carry them (spec sections 12.1 and 12.2).
//!
//! What may be sent depends on who is at the other end. A host that negotiates with a message id above zero is
//! the one that asked the old questions, so it gets the late answers. One that starts at zero has asked nothing
//! yet: late answers are dropped, and a notification waits until the host has named its container.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};

use lcow_protocol::{ContainerId, strict_host};
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
    Answer(Generation),
    /// About that container.
    Notification(ContainerId),
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
            (Subject::Answer(generation), _) if *generation == self.generation => Fate::Send,
            (_, Peer::Same) => Fate::Send,
            (Subject::Answer(_), Peer::New) => Fate::Drop,
            (Subject::Notification(id), Peer::New) if connection.named.contains(id) => Fate::Send,
            (Subject::Notification(_), Peer::New) | (_, Peer::Unknown) => Fate::Park,
        }
    }

    fn offer(&mut self, item: Item) {
        match (self.fate(&item), &self.connection) {
            (Fate::Drop, _) => {}
            (Fate::Send, Some(connection)) => {
                if let Err(mpsc::error::SendError(item)) = connection.sender.send(item) {
                    self.parked.push_back(item);
                }
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
        state.connection = Some(Connection { sender, peer: Peer::Unknown, named: HashSet::new() });
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

    /// Queues the answer to a request of connection `generation`.
    pub(super) fn answer(&self, generation: Generation, frame: Vec<u8>, written: Option<Written>) {
        self.queue(Item { frame, written, subject: Subject::Answer(generation) });
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
        outbound.answer(first, answer(1), None);
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
        outbound.answer(first, answer(1), None);
        outbound.notify(ContainerId::from("c1"), notification(1));
        outbound.notify(ContainerId::from("c2"), notification(2));
        let (second, mut receiver) = outbound.attach();
        outbound.negotiated(0);
        assert_eq!(received(&mut receiver), Vec::<Vec<u8>>::new());
        outbound.named(&ContainerId::from("c2"));
        assert_eq!(received(&mut receiver), [notification(2)]);
        outbound.answer(second, answer(2), None);
        assert_eq!(received(&mut receiver), [answer(2)]);
    }

    #[test]
    fn what_a_connection_did_not_carry_is_not_lost() {
        let outbound = Outbound::default();
        let (first, mut receiver) = outbound.attach();
        outbound.negotiated(0);
        outbound.answer(first, answer(1), None);
        outbound.answer(first, answer(2), None);
        let in_flight = receiver.try_recv().ok();
        outbound.detach(in_flight, receiver);
        let (_, mut receiver) = outbound.attach();
        outbound.negotiated(3);
        assert_eq!(received(&mut receiver), [answer(1), answer(2)]);
    }
}
