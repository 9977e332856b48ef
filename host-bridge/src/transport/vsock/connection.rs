//! One connection's protocol state, without any I/O: credit in both directions (virtio 1.2, 5.10.6.3),
//! half-close in both directions (5.10.6.5), and which packet the guest is owed next.
//!
//! A connection that must be reset is not a state here: the device forgets it and queues the reset.

use std::num::Wrapping;

use super::packet::{Closed, Header, Op, Ports};

/// Space regained since the guest last heard of it that is worth a packet of its own: this part of the buffer. A guest
/// that has run out of credit always hears of it, because it cannot be blocked with less than the whole outstanding.
const UPDATE_PART: u32 = 4;

/// What a guest may not do on an open connection; the answer is a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// More payload than the credit it was given.
    BeyondCredit,
    /// Payload after it announced that it would send no more.
    DataAfterShutdown,
}

/// What to send to the guest next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A packet without payload.
    Control(Op),
    /// A payload packet of at most this many bytes.
    Data(u32),
}

/// Where the answer to the guest's request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The host side is still being reached.
    Open,
    /// The host side exists; the response has still to be sent.
    Owed,
    Sent,
}

/// Protocol state of a connection that the guest asked for.
#[derive(Debug)]
pub(crate) struct Connection {
    ports: Ports,
    /// Bytes that the guest may send before the host has taken them: this much memory at worst.
    buffer: u32,
    answer: Answer,
    owes_credit: bool,
    asked_for_credit: bool,
    guest_closed: Closed,
    host_closed: Closed,
    announced: Closed,
    peer_buf_alloc: u32,
    peer_fwd_cnt: Wrapping<u32>,
    sent: Wrapping<u32>,
    received: Wrapping<u32>,
    forwarded: Wrapping<u32>,
    told_forwarded: Wrapping<u32>,
}

impl Connection {
    /// A connection from the guest's request, with room for `buffer` bytes from it; nothing is answered before
    /// [`Self::accept`].
    pub(crate) fn requested(request: &Header, buffer: u32) -> Self {
        Self {
            ports: request.ports_from_guest(),
            buffer,
            answer: Answer::Open,
            owes_credit: false,
            asked_for_credit: false,
            guest_closed: Closed::NONE,
            host_closed: Closed::NONE,
            announced: Closed::NONE,
            peer_buf_alloc: request.buf_alloc,
            peer_fwd_cnt: Wrapping(request.fwd_cnt),
            sent: Wrapping(0),
            received: Wrapping(0),
            forwarded: Wrapping(0),
            told_forwarded: Wrapping(0),
        }
    }

    pub(crate) fn ports(&self) -> Ports {
        self.ports
    }

    /// Bytes that the guest may send before the host has taken them.
    pub(crate) fn buffer(&self) -> u32 {
        self.buffer
    }

    /// The host side exists: the guest gets its response.
    pub(crate) fn accept(&mut self) {
        self.answer = Answer::Owed;
    }

    /// Takes the credit fields that every packet of the guest carries.
    pub(crate) fn note_credit(&mut self, header: &Header) {
        self.peer_buf_alloc = header.buf_alloc;
        self.peer_fwd_cnt = Wrapping(header.fwd_cnt);
        if self.credit() > 0 {
            self.asked_for_credit = false;
        }
    }

    /// Bytes the guest will still take. A guest that shrinks its buffer below what is under way gives none.
    pub(crate) fn credit(&self) -> u32 {
        let under_way = (self.sent - self.peer_fwd_cnt).0;
        self.peer_buf_alloc.saturating_sub(under_way)
    }

    /// Accounts for `len` bytes of payload that arrived from the guest.
    pub(crate) fn receive(&mut self, len: u32) -> Result<(), Violation> {
        if self.guest_closed.contains(Closed::SEND) {
            return Err(Violation::DataAfterShutdown);
        }
        let outstanding = (self.received - self.forwarded).0;
        if len > self.buffer - outstanding.min(self.buffer) {
            return Err(Violation::BeyondCredit);
        }
        self.received += len;
        Ok(())
    }

    /// Accounts for payload of the guest that has left our buffer, to the host or to nowhere.
    pub(crate) fn forwarded(&mut self, len: u32) {
        self.forwarded += len;
        if (self.forwarded - self.told_forwarded).0 >= self.buffer / UPDATE_PART {
            self.owes_credit = true;
        }
    }

    /// The guest asked for our buffer space.
    pub(crate) fn credit_requested(&mut self) {
        self.owes_credit = true;
    }

    /// The guest closed directions; returns all it has closed so far.
    pub(crate) fn guest_shutdown(&mut self, closed: Closed) -> Closed {
        self.guest_closed = self.guest_closed.with(closed);
        self.guest_closed
    }

    /// The host side closed directions; the guest will be told, after all payload already read.
    pub(crate) fn host_shutdown(&mut self, closed: Closed) {
        self.host_closed = self.host_closed.with(closed);
    }

    pub(crate) fn host_closed(&self) -> Closed {
        self.host_closed
    }

    /// Chooses the next packet for the guest; `readable`: the host side has, or may have, payload.
    pub(crate) fn next(&self, readable: bool) -> Option<Next> {
        match self.answer {
            Answer::Open => return None,
            Answer::Owed => return Some(Next::Control(Op::Response)),
            Answer::Sent => {}
        }
        if self.owes_credit {
            return Some(Next::Control(Op::CreditUpdate));
        }
        if self.host_closed != self.announced {
            return Some(Next::Control(Op::Shutdown));
        }
        let open = !self.host_closed.contains(Closed::SEND) && !self.guest_closed.contains(Closed::RECEIVE);
        if !(readable && open) {
            return None;
        }
        match self.credit() {
            0 if self.asked_for_credit => None,
            0 => Some(Next::Control(Op::CreditRequest)),
            credit => Some(Next::Data(credit)),
        }
    }

    /// The header of a packet that is being sent now, and the accounting that goes with it.
    pub(crate) fn send(&mut self, guest_cid: u64, op: Op, payload: u32) -> Header {
        let mut header = Header::to_guest(guest_cid, self.ports, op);
        header.len = payload;
        header.buf_alloc = self.buffer;
        header.fwd_cnt = self.forwarded.0;
        self.sent += payload;
        self.told_forwarded = self.forwarded;
        self.owes_credit = false;
        match op {
            Op::Response => self.answer = Answer::Sent,
            Op::CreditRequest => self.asked_for_credit = true,
            Op::Shutdown => {
                self.announced = self.host_closed;
                header.flags = self.announced.flags();
            }
            Op::Request | Op::Reset | Op::Data | Op::CreditUpdate => {}
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::LARGE as BUF_ALLOC;
    use super::*;
    use proptest::prelude::*;

    fn open(buf_alloc: u32) -> Connection {
        let mut request = Header::to_guest(3, Ports { guest: 7, host: 9 }, Op::Request);
        (request.src_port, request.dst_port, request.buf_alloc) = (9, 7, buf_alloc);
        let mut connection = Connection::requested(&request, BUF_ALLOC);
        assert_eq!(connection.next(true), None, "nothing is sent before the host side exists");
        connection.accept();
        assert_eq!(connection.next(true), Some(Next::Control(Op::Response)));
        connection.send(3, Op::Response, 0);
        connection
    }

    fn credit(buf_alloc: u32, fwd_cnt: u32) -> Header {
        let mut header = Header::to_guest(3, Ports { guest: 7, host: 9 }, Op::CreditUpdate);
        (header.buf_alloc, header.fwd_cnt) = (buf_alloc, fwd_cnt);
        header
    }

    #[test]
    fn without_credit_the_guest_is_asked_once() {
        let mut connection = open(10);
        assert_eq!(connection.next(true), Some(Next::Data(10)));
        connection.send(3, Op::Data, 10);
        assert_eq!(connection.next(true), Some(Next::Control(Op::CreditRequest)));
        connection.send(3, Op::CreditRequest, 0);
        assert_eq!(connection.next(true), None);
        connection.note_credit(&credit(10, 4));
        assert_eq!(connection.next(true), Some(Next::Data(4)));
    }

    #[test]
    fn a_half_closed_host_still_receives_and_a_half_closed_guest_is_still_sent_to() {
        let mut connection = open(100);
        connection.host_shutdown(Closed::SEND);
        assert_eq!(connection.next(true), Some(Next::Control(Op::Shutdown)));
        assert_eq!(connection.send(3, Op::Shutdown, 0).flags, Closed::SEND.flags());
        assert_eq!(connection.next(true), None);
        assert_eq!(connection.receive(5), Ok(()));

        let mut connection = open(100);
        connection.guest_shutdown(Closed::SEND);
        assert_eq!(connection.next(true), Some(Next::Data(100)));
        assert_eq!(connection.receive(1), Err(Violation::DataAfterShutdown));
    }

    #[test]
    fn a_guest_that_shrinks_its_buffer_gets_nothing_rather_than_too_much() {
        let mut connection = open(100);
        connection.send(3, Op::Data, 60);
        connection.note_credit(&credit(50, 0));
        assert_eq!(connection.credit(), 0);
    }

    proptest! {
        /// Whatever the order of arrivals and forwarding, a guest that keeps to what it was told is never refused,
        /// and a guest that has run out of credit is always told of space once everything is forwarded.
        #[test]
        fn an_honest_guest_never_stalls(steps in prop::collection::vec((any::<bool>(), 0_u32..100_000), 1..200)) {
            let mut connection = open(1 << 18);
            let (mut sent, mut told, mut held) = (Wrapping(0_u32), Wrapping(0_u32), 0_u32);
            for (arrives, amount) in steps {
                if arrives {
                    let len = amount.min(BUF_ALLOC - (sent - told).0);
                    prop_assert_eq!(connection.receive(len), Ok(()));
                    sent += len;
                    held += len;
                } else {
                    let len = amount.min(held);
                    connection.forwarded(len);
                    held -= len;
                }
                if connection.next(false) == Some(Next::Control(Op::CreditUpdate)) {
                    told = Wrapping(connection.send(3, Op::CreditUpdate, 0).fwd_cnt);
                }
            }
            connection.forwarded(held);
            if connection.next(false) == Some(Next::Control(Op::CreditUpdate)) {
                told = Wrapping(connection.send(3, Op::CreditUpdate, 0).fwd_cnt);
            }
            prop_assert!((sent - told).0 < BUF_ALLOC);
        }

        #[test]
        fn what_exceeds_the_credit_is_refused(first in 0..=BUF_ALLOC, more in 0..=2 * BUF_ALLOC) {
            let mut connection = open(0);
            prop_assert_eq!(connection.receive(first), Ok(()));
            let expected = if first + more > BUF_ALLOC { Err(Violation::BeyondCredit) } else { Ok(()) };
            prop_assert_eq!(connection.receive(more), expected);
        }
    }
}
