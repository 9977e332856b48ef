//! The connections of one guest, driven packet by packet without a VM.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollTimeout};
use proptest::prelude::*;
use tokio::sync::mpsc;
use vm_memory::{GuestAddress, GuestMemoryMmap};

use super::budget::{Budget, LARGE as BUF_ALLOC};
use super::buffers::tests::run;
use super::host::{HostSide, Registry};
use super::mux::Mux;
use super::packet::{Closed, HEADER_LEN, HOST_CID, Header, Op, Ports, TYPE_STREAM};

const CID: u64 = 3;
const PORT: u32 = 10;
const GUEST_PORT: u32 = 1234;

/// A driver: packets in, packets out.
struct Driver {
    mux: Mux,
    epoll: Arc<Epoll>,
    memory: GuestMemoryMmap,
    accepted: mpsc::Receiver<UnixStream>,
    /// Lengths of the pieces of every buffer.
    layout: Vec<usize>,
    guest_port: u32,
}

impl Driver {
    fn new(layout: Vec<usize>) -> Self {
        let registry = Registry::default();
        let accepted = registry.listen(PORT).expect("free port");
        let epoll = Arc::new(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("epoll"));
        let mux = Mux::new(CID, HostSide::Listeners(registry), epoll.clone(), 0);
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)]).expect("memory");
        Self { mux, epoll, memory, accepted, layout, guest_port: GUEST_PORT }
    }

    fn send_to(&mut self, port: u32, op: Op, flags: Closed, payload: &[u8]) {
        let header = Header {
            src_cid: CID,
            dst_cid: HOST_CID,
            src_port: self.guest_port,
            dst_port: port,
            len: u32::try_from(payload.len()).expect("short"),
            socket_type: TYPE_STREAM,
            op: Some(op),
            flags: flags.flags(),
            buf_alloc: 1 << 18,
            fwd_cnt: 0,
        };
        let mut lengths = Vec::new();
        let mut left = payload.len();
        for &len in self.layout.iter().cycle() {
            if left == 0 {
                break;
            }
            lengths.push(len.min(left));
            left -= len.min(left);
        }
        let buffer = run(&self.memory, &lengths);
        assert!(buffer.write_from(payload));
        self.mux.on_packet(&header, &buffer);
    }

    fn send(&mut self, op: Op, payload: &[u8]) {
        self.send_to(PORT, op, Closed::NONE, payload);
    }

    fn shutdown(&mut self, closed: Closed) {
        self.send_to(PORT, Op::Shutdown, closed, &[]);
    }

    /// Delivers the sockets' events.
    fn events(&mut self) {
        let mut events = [EpollEvent::empty(); 8];
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO).expect("events");
        for event in &events[..count] {
            self.mux.on_socket(event.data(), event.events());
        }
    }

    /// The next packet for the guest.
    fn packet(&mut self) -> Option<(Op, Header, Vec<u8>)> {
        self.events();
        let buffer = run(&self.memory, &self.layout);
        let len = self.mux.fill(&buffer).expect("room for a header")?;
        let mut bytes = vec![0; len];
        assert!(buffer.read_to(&mut bytes));
        let header = Header::decode(bytes[..HEADER_LEN].try_into().expect("header"));
        let payload = bytes.split_off(HEADER_LEN);
        assert_eq!(payload.len(), header.len as usize);
        assert_eq!(
            header.ports_from_guest(),
            Ports { guest: PORT, host: self.guest_port },
            "towards the guest"
        );
        Some((header.op.expect("known"), header, payload))
    }

    fn op(&mut self) -> Option<Op> {
        self.packet().map(|(op, ..)| op)
    }

    fn open(layout: Vec<usize>) -> (Self, UnixStream) {
        let mut driver = Self::new(layout);
        driver.send(Op::Request, &[]);
        assert_eq!(driver.op(), Some(Op::Response));
        let host = driver.accepted.try_recv().expect("a stream");
        (driver, host)
    }
}

fn read_all(host: &mut UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    host.set_nonblocking(false).expect("blocking");
    host.read_to_end(&mut bytes).expect("end of the stream");
    bytes
}

#[test]
fn dials_without_a_listener_and_stray_packets_are_reset() {
    let mut driver = Driver::new(vec![4096]);
    driver
        .mux
        .on_packet(&Header::to_guest(9, Ports { guest: 1, host: 2 }, Op::Data), &run(&driver.memory, &[]));
    assert!(!driver.mux.has_work(), "a foreign source is not answered");
    let mut driver = Driver::new(vec![4096]);
    driver.send(Op::Data, b"stray");
    assert_eq!(driver.op(), Some(Op::Reset));
    driver.send(Op::Reset, &[]);
    assert_eq!(driver.op(), None, "a reset is never answered");
}

#[test]
fn a_guest_that_has_shut_down_sending_still_receives() {
    let (mut driver, mut host) = Driver::open(vec![4096]);
    driver.send(Op::Data, b"question");
    driver.shutdown(Closed::SEND);
    assert_eq!(read_all(&mut host), b"question");
    host.write_all(b"answer").expect("write");
    let (op, _, payload) = driver.packet().expect("a packet");
    assert_eq!((op, payload.as_slice()), (Op::Data, b"answer".as_slice()));
    drop(host);
    let (op, header, _) = driver.packet().expect("a packet");
    assert_eq!((op, Closed::from_flags(header.flags)), (Op::Shutdown, Closed::BOTH));
}

#[test]
fn a_host_that_has_shut_down_sending_still_receives() {
    let (mut driver, mut host) = Driver::open(vec![4096]);
    host.write_all(b"last words").expect("write");
    host.shutdown(Shutdown::Write).expect("shutdown");
    assert_eq!(driver.op(), Some(Op::Data), "payload comes before the end");
    let (op, header, _) = driver.packet().expect("a packet");
    assert_eq!((op, Closed::from_flags(header.flags)), (Op::Shutdown, Closed::SEND));
    driver.send(Op::Data, b"late");
    driver.shutdown(Closed::BOTH);
    assert_eq!(read_all(&mut host), b"late");
    assert_eq!(driver.op(), Some(Op::Reset), "a full close is confirmed");
    assert_eq!(driver.op(), None);
}

#[test]
fn what_a_guest_sent_before_it_closed_reaches_a_slow_host() {
    let (mut driver, mut host) = Driver::open(vec![64 * 1024]);
    let mut sent = 0;
    // All the credit, while the host reads nothing: part of it waits in the socket, the rest with us.
    while sent < BUF_ALLOC as usize {
        driver.send(Op::Data, &vec![7; 64 * 1024]);
        sent += 64 * 1024;
    }
    driver.shutdown(Closed::BOTH);
    while let Some(op) = driver.op() {
        assert!(matches!(op, Op::Reset | Op::CreditUpdate));
    }
    // The ports are free at once.
    driver.send(Op::Request, &[]);
    assert_eq!(driver.op(), Some(Op::Response));
    let reader = std::thread::spawn(move || read_all(&mut host).len());
    while !reader.is_finished() {
        driver.events();
        std::thread::yield_now();
    }
    assert_eq!(reader.join().expect("reader"), sent);
}

#[test]
fn a_guest_beyond_its_credit_is_reset() {
    let (mut driver, host) = Driver::open(vec![64 * 1024]);
    // More than our buffer and any socket's.
    for _ in 0..64 {
        driver.send(Op::Data, &vec![0; 64 * 1024]);
    }
    assert!(std::iter::from_fn(|| driver.op()).any(|op| op == Op::Reset));
    drop(host);
}

#[test]
fn a_guest_gets_no_more_connections_than_its_budget_pays_for() {
    let mut driver = Driver::new(vec![64 * 1024]);
    driver.mux.set_budget(Budget::new(1 << 20));
    let mut hosts = Vec::new();
    let mut buffers = Vec::new();
    let ports = 1000..1100;
    for port in ports.clone() {
        driver.guest_port = port;
        driver.send(Op::Request, &[]);
        let (op, header, _) = driver.packet().expect("an answer");
        if op == Op::Reset {
            break;
        }
        assert_eq!(op, Op::Response);
        buffers.push(header.buf_alloc);
        hosts.push(driver.accepted.try_recv().expect("a stream"));
    }
    assert_eq!(buffers, [BUF_ALLOC, 16 << 10, 16 << 10]);
    // What a guest has closed counts for as long as the host has not read it.
    driver.guest_port = ports.start;
    for _ in 0..BUF_ALLOC / (64 * 1024) {
        driver.send(Op::Data, &vec![7; 64 * 1024]);
    }
    driver.shutdown(Closed::BOTH);
    assert!(std::iter::from_fn(|| driver.op()).any(|op| op == Op::Reset));
    driver.send(Op::Request, &[]);
    assert_eq!(driver.op(), Some(Op::Reset), "there is no room yet");
    let mut host = hosts.swap_remove(0);
    let reader = std::thread::spawn(move || read_all(&mut host).len());
    while !reader.is_finished() {
        driver.events();
        std::thread::yield_now();
    }
    assert_eq!(reader.join().expect("reader"), BUF_ALLOC as usize);
    driver.events();
    driver.send(Op::Request, &[]);
    assert_eq!(driver.op(), Some(Op::Response));
}

proptest! {
    /// Whatever the pieces of the driver's buffers, bytes arrive whole and in order, both ways.
    #[test]
    fn any_layout_carries_the_bytes(
        layout in prop::collection::vec(1_usize..3000, 1..20),
        payload in prop::collection::vec(any::<u8>(), 1..5000),
    ) {
        let layout = [vec![HEADER_LEN], layout].concat();
        let (mut driver, mut host) = Driver::open(layout);
        driver.send(Op::Data, &payload);
        driver.shutdown(Closed::SEND);
        prop_assert_eq!(read_all(&mut host), payload.clone());
        host.write_all(&payload).expect("write");
        drop(host);
        let mut back = Vec::new();
        while let Some((Op::Data, _, part)) = driver.packet() {
            back.extend(part);
        }
        prop_assert_eq!(back, payload);
    }
}
