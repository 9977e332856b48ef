//! All connections of one guest: what arrives from it, what it is owed, and the host sockets in between.
//!
//! Memory is bounded whatever either side does: payload by the credit of each connection, answers by
//! [`MAX_RESETS`], connections by their [`Budget`]. A host that does not read stops its own connection only.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};

use super::budget::Budget;
use super::buffers::{Buffers, Transfer};
use super::connection::{Connection, Next};
use super::host::{Dial, HostSide, HostSocket};
use super::packet::{Closed, HEADER_LEN, HOST_CID, Header, Op, Ports, TYPE_STREAM};

/// Resets that may wait for receive buffers. Beyond that the device leaves the guest's packets where they are,
/// as virtio 1.2, 5.10.6.1.1 allows when there is no room for answers.
const MAX_RESETS: usize = 512;
/// Payload in one packet to the guest; drivers give 4 KiB buffers, but may give larger ones.
const MAX_PAYLOAD: u32 = 64 * 1024;

/// A connection with its host end.
#[derive(Debug)]
struct Link {
    connection: Connection,
    /// `None` while dialling and after the host has gone.
    socket: Option<HostSocket>,
    /// In the queue of those that may have a packet for the guest.
    queued: bool,
    /// The guest knows of it; otherwise only the rest of its payload is still on the way to the host.
    attached: bool,
}

/// The connections of one guest.
#[derive(Debug)]
pub(super) struct Mux {
    guest_cid: u64,
    host: HostSide,
    epoll: Arc<Epoll>,
    links: HashMap<u64, Link>,
    by_ports: HashMap<Ports, u64>,
    ready: VecDeque<u64>,
    resets: VecDeque<Header>,
    dialling: Vec<u64>,
    next_id: u64,
    /// Of all links, those that only drain included.
    budget: Budget,
}

impl Mux {
    /// `first_id`: ids from there on are used as epoll tokens.
    pub(super) fn new(guest_cid: u64, host: HostSide, epoll: Arc<Epoll>, first_id: u64) -> Self {
        Self {
            guest_cid,
            host,
            epoll,
            links: HashMap::new(),
            by_ports: HashMap::new(),
            ready: VecDeque::new(),
            resets: VecDeque::new(),
            dialling: Vec::new(),
            next_id: first_id,
            budget: Budget::default(),
        }
    }

    /// Makes do with less.
    #[cfg(test)]
    pub(super) fn set_budget(&mut self, budget: Budget) {
        self.budget = budget;
    }

    pub(super) fn guest_cid(&self) -> u64 {
        self.guest_cid
    }

    /// Whether answers to more packets of the guest could be kept.
    pub(super) fn has_room(&self) -> bool {
        self.resets.len() < MAX_RESETS
    }

    /// Whether there may be a packet for the guest.
    pub(super) fn has_work(&self) -> bool {
        !self.resets.is_empty() || !self.ready.is_empty()
    }

    /// Whether [`Self::retry_dials`] should be called soon.
    pub(super) fn is_dialling(&self) -> bool {
        !self.dialling.is_empty()
    }

    /// Forgets everything: the driver has reset the device.
    pub(super) fn clear(&mut self) {
        let ids: Vec<u64> = self.by_ports.values().copied().collect();
        for id in ids {
            self.detach(id);
        }
        self.ready.clear();
        self.resets.clear();
        self.dialling.clear();
    }

    /// Handles one packet of the guest.
    pub(super) fn on_packet(&mut self, header: &Header, payload: &Buffers<'_>) {
        if header.src_cid != self.guest_cid {
            tracing::debug!(cid = header.src_cid, "dropped a packet with a foreign source");
            return;
        }
        let op = match header.op {
            Some(op) if header.dst_cid == HOST_CID && header.socket_type == TYPE_STREAM => op,
            Some(Op::Reset) => return,
            _ => return self.refuse(header),
        };
        let known = self.by_ports.get(&header.ports_from_guest()).copied();
        match (op, known) {
            (Op::Request, None) => self.request(header),
            (Op::Reset, Some(id)) => self.detach(id),
            (Op::Reset, None) => {}
            (Op::Request | Op::Response, Some(id)) => {
                self.detach(id);
                self.refuse(header);
            }
            (_, Some(id)) => self.on_link_packet(id, op, header, payload),
            (_, None) => self.refuse(header),
        }
    }

    fn refuse(&mut self, header: &Header) {
        let mut reset = Header::to_guest(self.guest_cid, header.ports_from_guest(), Op::Reset);
        reset.src_cid = header.dst_cid;
        reset.socket_type = header.socket_type;
        self.resets.push_back(reset);
    }

    fn reset(&mut self, id: u64) {
        if let Some(link) = self.links.get(&id) {
            self.resets.push_back(Header::to_guest(self.guest_cid, link.connection.ports(), Op::Reset));
        }
        self.detach(id);
    }

    fn request(&mut self, header: &Header) {
        let Some(buffer) = self.budget.take() else {
            tracing::debug!("a guest has too many connections");
            return self.refuse(header);
        };
        let id = self.next_id;
        self.next_id += 1;
        let connection = Connection::requested(header, buffer);
        let link = Link { connection, socket: None, queued: false, attached: true };
        self.by_ports.insert(link.connection.ports(), id);
        self.links.insert(id, link);
        if !self.dial(id) {
            self.dialling.push(id);
        }
    }

    /// Tries again the dials whose listener was busy.
    pub(super) fn retry_dials(&mut self) {
        let waiting = std::mem::take(&mut self.dialling);
        self.dialling = waiting.into_iter().filter(|&id| !self.dial(id)).collect();
    }

    /// Reaches for the host side; false when it should be tried again.
    fn dial(&mut self, id: u64) -> bool {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.attached) else { return true };
        match self.host.dial(link.connection.ports().host) {
            Dial::Busy => return false,
            Dial::Refused => self.reset(id),
            Dial::Connected(stream) => {
                let events =
                    EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
                if let Err(error) = self.epoll.add(&stream, EpollEvent::new(events, id)) {
                    tracing::warn!(%error, "cannot watch a connection's socket");
                    self.reset(id);
                } else {
                    link.connection.accept();
                    link.socket = Some(HostSocket::new(stream));
                    self.enqueue(id);
                }
            }
        }
        true
    }

    fn on_link_packet(&mut self, id: u64, op: Op, header: &Header, payload: &Buffers<'_>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.connection.note_credit(header);
        match op {
            Op::Data => {
                if let Err(violation) = link.connection.receive(header.len) {
                    tracing::debug!(ports = %link.connection.ports(), ?violation, "resetting");
                    return self.reset(id);
                }
                link.take_payload(payload);
            }
            Op::Shutdown => {
                let closed = link.connection.guest_shutdown(Closed::from_flags(header.flags));
                if closed == Closed::BOTH {
                    return self.reset(id);
                }
                if let Some(socket) = &mut link.socket {
                    if closed.contains(Closed::SEND) {
                        socket.finish();
                    }
                    if closed.contains(Closed::RECEIVE) {
                        socket.stop_reading();
                    }
                }
            }
            Op::CreditRequest => link.connection.credit_requested(),
            Op::CreditUpdate | Op::Request | Op::Response | Op::Reset => {}
        }
        self.enqueue(id);
    }

    /// Takes an event of a connection's socket.
    pub(super) fn on_socket(&mut self, id: u64, events: EpollFlags) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.on_events(events);
        if !link.attached && !link.socket.as_ref().is_some_and(HostSocket::has_unsent) {
            return self.remove(id);
        }
        self.enqueue(id);
    }

    fn enqueue(&mut self, id: u64) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.attached && !link.queued && link.next().is_some() {
            link.queued = true;
            self.ready.push_back(id);
        }
    }

    /// The guest is done with a connection: its ports are free at once; what it sent before still reaches the host.
    fn detach(&mut self, id: u64) {
        let Some(link) = self.links.get_mut(&id) else { return };
        self.by_ports.remove(&link.connection.ports());
        link.attached = false;
        match &mut link.socket {
            Some(socket) if socket.has_unsent() => socket.stop_reading(),
            _ => self.remove(id),
        }
    }

    fn remove(&mut self, id: u64) {
        let Some(link) = self.links.remove(&id) else { return };
        self.budget.give_back(link.connection.buffer());
        if let Some(socket) = link.socket {
            self.close(socket);
        }
    }

    fn close(&self, socket: HostSocket) {
        // The socket is known to epoll since it exists here; a failure would leave a stale, harmless entry.
        let _ = self.epoll.delete(socket.stream());
        socket.close();
    }

    /// Writes the next packet into the guest's buffer; `None` when nobody has one.
    pub(super) fn fill(&mut self, buffer: &Buffers<'_>) -> io::Result<Option<usize>> {
        if let Some(reset) = self.resets.pop_front() {
            return write_header(buffer, &reset).map(Some);
        }
        while let Some(id) = self.ready.pop_front() {
            let Some(link) = self.links.get_mut(&id) else { continue };
            link.queued = false;
            if !link.attached {
                continue;
            }
            let packet = link.fill(self.guest_cid, buffer);
            if link.host_is_gone()
                && let Some(socket) = link.socket.take()
            {
                self.close(socket);
            }
            self.enqueue(id);
            if let Some((header, payload)) = packet {
                write_header(buffer, &header)?;
                return Ok(Some(HEADER_LEN + payload));
            }
        }
        Ok(None)
    }
}

impl Link {
    fn next(&self) -> Option<Next> {
        self.connection.next(self.socket.as_ref().is_some_and(|socket| socket.readable))
    }

    fn take_payload(&mut self, payload: &Buffers<'_>) {
        let done = match &mut self.socket {
            Some(socket) => socket.push(payload),
            None => payload.len(),
        };
        self.settle(done);
    }

    fn on_events(&mut self, events: EpollFlags) {
        let Some(socket) = &mut self.socket else { return };
        let ended = EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        if events.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | ended) {
            socket.readable = true;
        }
        if events.intersects(ended) {
            socket.hung_up = true;
            if self.connection.host_closed().contains(Closed::SEND) {
                self.connection.host_shutdown(Closed::BOTH);
            }
        }
        let done = socket.flush();
        self.settle(done);
    }

    /// Accounts for payload that needs no room any more, and tells the guest when its host has stopped listening.
    fn settle(&mut self, done: usize) {
        // A packet's length is a u32, and what is kept is bounded by the credit.
        self.connection.forwarded(u32::try_from(done).unwrap_or(u32::MAX));
        if self.socket.as_ref().is_some_and(HostSocket::is_deaf) {
            self.connection.host_shutdown(Closed::RECEIVE);
        }
    }

    /// The guest has been told that the host closed both directions: the socket has no more use.
    fn host_is_gone(&self) -> bool {
        self.connection.host_closed() == Closed::BOTH
            && !matches!(self.next(), Some(Next::Control(Op::Shutdown | Op::Response | Op::CreditUpdate)))
    }

    /// Produces the next packet; its payload is already in the buffer, behind the place of the header.
    fn fill(&mut self, guest_cid: u64, buffer: &Buffers<'_>) -> Option<(Header, usize)> {
        loop {
            match self.next()? {
                Next::Control(op) => return Some((self.connection.send(guest_cid, op, 0), 0)),
                Next::Data(credit) => {
                    let payload = self.read(buffer, credit.min(MAX_PAYLOAD))?;
                    if payload > 0 {
                        // At most MAX_PAYLOAD.
                        let len = u32::try_from(payload).unwrap_or(u32::MAX);
                        return Some((self.connection.send(guest_cid, Op::Data, len), payload));
                    }
                }
            }
        }
    }

    /// Reads from the host into the buffer; 0 at the end of its stream, `None` when it has nothing now.
    fn read(&mut self, buffer: &Buffers<'_>, max: u32) -> Option<usize> {
        let socket = self.socket.as_mut()?;
        let space = buffer.range(HEADER_LEN, max as usize);
        let (count, ended) = match space.receive(socket.stream()) {
            Transfer::Blocked(count) => {
                socket.readable = false;
                return (count > 0).then_some(count);
            }
            // A short read means the end of the stream, but the bytes before it go first.
            Transfer::Moved(count) => (count, count == 0),
            Transfer::Failed(count) => {
                socket.hung_up = true;
                (count, count == 0)
            }
        };
        if ended {
            let closed = if socket.hung_up { Closed::BOTH } else { Closed::SEND };
            self.connection.host_shutdown(closed);
        }
        Some(count)
    }
}

fn write_header(buffer: &Buffers<'_>, header: &Header) -> io::Result<usize> {
    if buffer.write_from(&header.encode()) {
        Ok(HEADER_LEN)
    } else {
        Err(io::Error::other("a receive buffer has no room for a packet header"))
    }
}
