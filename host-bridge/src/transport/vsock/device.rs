//! The device: two virtqueues and the connections between them.
//!
//! The event queue of the virtio device (virtio 1.2, 5.10.2) stays with QEMU; only `rx` and `tx` come here.

use std::fs::File;
use std::io;
use std::sync::Arc;

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use vm_memory::{GuestAddress, GuestMemoryMmap};

use super::buffers::Buffers;
use super::host::HostSide;
use super::mux::Mux;
use super::packet::{HEADER_LEN, Header};
use super::ring::Ring;

/// Epoll token of the vhost-user connection.
pub(super) const TOKEN_CONTROL: u64 = 0;
/// Epoll tokens of the queues' notifications: this plus the queue's index.
pub(super) const TOKEN_KICK: u64 = 1;
const FIRST_LINK: u64 = 16;
/// Index of the queue that carries packets to the guest.
const RX: usize = 0;
/// Index of the queue that carries packets from the guest.
const TX: usize = 1;

/// One range of guest memory as the front end sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mapping {
    pub(super) frontend: u64,
    pub(super) guest: u64,
    pub(super) size: u64,
}

/// A vhost-user vsock device.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) memory: Arc<GuestMemoryMmap>,
    pub(super) mappings: Vec<Mapping>,
    pub(super) rings: [Ring; 2],
    pub(super) mux: Mux,
    pub(super) features: u64,
    epoll: Arc<Epoll>,
}

impl Device {
    pub(super) fn new(guest_cid: u64, host: HostSide, epoll: Arc<Epoll>) -> io::Result<Self> {
        Ok(Self {
            memory: Arc::new(GuestMemoryMmap::new()),
            mappings: Vec::new(),
            rings: [Ring::new()?, Ring::new()?],
            mux: Mux::new(guest_cid, host, epoll.clone(), FIRST_LINK),
            features: 0,
            epoll,
        })
    }

    /// Translates the front end's address of a ring into the guest's.
    pub(super) fn guest_address(&self, frontend: u64) -> Option<GuestAddress> {
        let inside = |mapping: &&Mapping| {
            frontend.checked_sub(mapping.frontend).is_some_and(|offset| offset < mapping.size)
        };
        let mapping = self.mappings.iter().find(inside)?;
        Some(GuestAddress(frontend - mapping.frontend + mapping.guest))
    }

    /// Starts a queue with its notification descriptor, or stops listening to it.
    pub(super) fn set_kick(&mut self, index: usize, kick: Option<File>) -> io::Result<()> {
        self.forget_kick(index);
        if let Some(kick) = &kick {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, TOKEN_KICK + index as u64);
            self.epoll.add(kick, event)?;
        }
        self.rings[index].kick = kick;
        self.rings[index].start();
        Ok(())
    }

    /// Stops a queue. The driver is gone with its connections.
    pub(super) fn stop_ring(&mut self, index: usize) {
        self.forget_kick(index);
        self.rings[index].stop();
        self.mux.clear();
    }

    fn forget_kick(&mut self, index: usize) {
        if let Some(kick) = self.rings[index].kick.take() {
            // The front end holds the same descriptor, so closing ours would not end the watch.
            let _ = self.epoll.delete(kick);
        }
    }

    /// Moves packets until neither side can go on, then interrupts the driver where it asked for it.
    pub(super) fn process(&mut self) -> io::Result<()> {
        let memory = self.memory.clone();
        loop {
            let taken = self.take_packets(&memory)?;
            let given = self.give_packets(&memory)?;
            for ring in &mut self.rings {
                ring.signal(&memory)?;
            }
            if !taken && !given {
                return Ok(());
            }
        }
    }

    fn take_packets(&mut self, memory: &GuestMemoryMmap) -> io::Result<bool> {
        let mut any = false;
        while self.mux.has_room()
            && let Some(chain) = self.rings[TX].pop(memory)?
        {
            let head = chain.head_index();
            let packet = Buffers::readable(chain, memory)?;
            let mut raw = [0; HEADER_LEN];
            if packet.read_to(&mut raw) {
                let header = Header::decode(&raw);
                let payload = packet.range(HEADER_LEN, header.len as usize);
                if payload.len() == header.len as usize {
                    self.mux.on_packet(&header, &payload);
                } else {
                    tracing::debug!(len = header.len, got = payload.len(), "dropped a truncated packet");
                }
            }
            self.rings[TX].complete(memory, head, 0)?;
            any = true;
        }
        Ok(any)
    }

    fn give_packets(&mut self, memory: &GuestMemoryMmap) -> io::Result<bool> {
        let mut any = false;
        while self.mux.has_work()
            && let Some(chain) = self.rings[RX].pop(memory)?
        {
            let head = chain.head_index();
            let buffer = Buffers::writable(chain, memory)?;
            // A buffer without room for payload would make the end of a stream out of nothing.
            let written = if buffer.len() > HEADER_LEN { self.mux.fill(&buffer)? } else { Some(0) };
            let Some(written) = written else {
                self.rings[RX].unpop();
                break;
            };
            self.rings[RX].complete(memory, head, written)?;
            any = true;
        }
        Ok(any)
    }
}
