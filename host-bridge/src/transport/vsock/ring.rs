//! One virtqueue with its two event descriptors.

use std::fs::File;
use std::io::{self, Read, Write};

use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};
use vm_memory::{GuestAddress, GuestMemoryMmap};

/// The largest queue the front end may set up; QEMU uses 128.
pub(super) const MAX_QUEUE_SIZE: u16 = 1024;

/// A split virtqueue (virtio 1.2, 2.7) as the vhost-user front end describes it.
#[derive(Debug)]
pub(super) struct Ring {
    queue: Queue,
    pub(super) enabled: bool,
    pub(super) kick: Option<File>,
    pub(super) call: Option<File>,
    unsignalled: bool,
}

impl Ring {
    pub(super) fn new() -> io::Result<Self> {
        let queue = Queue::new(MAX_QUEUE_SIZE).map_err(io::Error::other)?;
        Ok(Self { queue, enabled: false, kick: None, call: None, unsignalled: false })
    }

    pub(super) fn set_size(&mut self, size: u16) {
        self.queue.set_size(size);
    }

    pub(super) fn set_event_idx(&mut self, enabled: bool) {
        self.queue.set_event_idx(enabled);
    }

    pub(super) fn next_avail(&self) -> u16 {
        self.queue.next_avail()
    }

    pub(super) fn set_next_avail(&mut self, index: u16) {
        self.queue.set_next_avail(index);
    }

    /// Places the ring's three parts; the used index continues where the driver sees it.
    pub(super) fn place(
        &mut self,
        memory: &GuestMemoryMmap,
        [descriptors, available, used]: [GuestAddress; 3],
    ) -> io::Result<()> {
        let place = |queue: &mut Queue| {
            queue.try_set_desc_table_address(descriptors)?;
            queue.try_set_avail_ring_address(available)?;
            queue.try_set_used_ring_address(used)?;
            let index = queue.used_idx(memory, std::sync::atomic::Ordering::Acquire)?;
            queue.set_next_used(index.0);
            Ok(())
        };
        place(&mut self.queue).map_err(|error: virtio_queue::Error| io::Error::other(error))
    }

    pub(super) fn start(&mut self) {
        self.queue.set_ready(true);
    }

    pub(super) fn stop(&mut self) {
        self.queue.set_ready(false);
        self.kick = None;
        self.call = None;
    }

    /// Whether chains may be taken: started and enabled.
    pub(super) fn runs(&self) -> bool {
        self.enabled && self.queue.ready() && self.kick.is_some()
    }

    /// Clears the driver's notification.
    pub(super) fn drain_kick(&self) {
        if let Some(mut kick) = self.kick.as_ref() {
            // An eventfd read fails only when there is nothing to clear.
            let _ = kick.read(&mut [0; 8]);
        }
    }

    /// Takes the next chain; `None` when the driver offers no more and will notify when it does.
    pub(super) fn pop<'m>(
        &mut self,
        memory: &'m GuestMemoryMmap,
    ) -> io::Result<Option<DescriptorChain<&'m GuestMemoryMmap>>> {
        if !self.runs() {
            return Ok(None);
        }
        loop {
            if let Some(chain) = self.queue.iter(memory).map_err(io::Error::other)?.next() {
                return Ok(Some(chain));
            }
            // The driver may have added one between the look and the request to be notified.
            if !self.queue.enable_notification(memory).map_err(io::Error::other)? {
                return Ok(None);
            }
        }
    }

    /// Gives back the chain taken last, untouched.
    pub(super) fn unpop(&mut self) {
        self.queue.go_to_previous_position();
    }

    /// Returns a chain to the driver with `len` bytes written into it.
    pub(super) fn complete(&mut self, memory: &GuestMemoryMmap, head: u16, len: usize) -> io::Result<()> {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.queue.add_used(memory, head, len).map_err(io::Error::other)?;
        self.unsignalled = true;
        Ok(())
    }

    /// Interrupts the driver if chains were returned since the last call and it wants to know.
    pub(super) fn signal(&mut self, memory: &GuestMemoryMmap) -> io::Result<()> {
        if !std::mem::take(&mut self.unsignalled) {
            return Ok(());
        }
        if !self.queue.needs_notification(memory).map_err(io::Error::other)? {
            return Ok(());
        }
        match self.call.as_ref() {
            // A full eventfd counter means that the driver has not looked yet and will.
            Some(mut call) => match call.write(&1_u64.to_ne_bytes()) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
                _ => Ok(()),
            },
            None => Ok(()),
        }
    }
}
