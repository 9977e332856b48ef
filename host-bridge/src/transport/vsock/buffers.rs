//! The guest memory behind one descriptor chain, as one run of bytes.
//!
//! Drivers split packets as they like (virtio 1.2, 2.7.4.2: no assumption about message framing): the header may
//! share a descriptor with payload or lie across several, and payload may be in dozens. Nothing else in this
//! device knows about descriptors.

use std::io;
use std::os::unix::net::UnixStream;

use virtio_queue::DescriptorChain;
use virtio_queue::desc::split::Descriptor;
use vm_memory::{
    Bytes, GuestMemoryBackend, GuestMemoryMmap, ReadVolatile, VolatileMemoryError, VolatileSlice,
    WriteVolatile,
};

/// Guest memory in the order the driver gave it.
pub(super) struct Buffers<'m> {
    slices: Vec<VolatileSlice<'m>>,
    len: usize,
}

/// Where a transfer between guest memory and a socket stopped.
#[derive(Debug)]
pub(super) enum Transfer {
    /// This many bytes went; the run or the socket ended there for now.
    Moved(usize),
    /// This many bytes went, and the socket takes or gives no more until it says so.
    Blocked(usize),
    /// The socket failed after this many bytes. Why does not matter: the peer is gone.
    Failed(usize),
}

impl<'m> Buffers<'m> {
    /// The part of the chain that the device reads.
    pub(super) fn readable(
        chain: DescriptorChain<&'m GuestMemoryMmap>,
        memory: &'m GuestMemoryMmap,
    ) -> io::Result<Self> {
        Self::collect(chain.readable(), memory)
    }

    /// The part of the chain that the device writes.
    pub(super) fn writable(
        chain: DescriptorChain<&'m GuestMemoryMmap>,
        memory: &'m GuestMemoryMmap,
    ) -> io::Result<Self> {
        Self::collect(chain.writable(), memory)
    }

    fn collect(
        descriptors: impl Iterator<Item = Descriptor>,
        memory: &'m GuestMemoryMmap,
    ) -> io::Result<Self> {
        let mut run = Self { slices: Vec::with_capacity(4), len: 0 };
        for descriptor in descriptors {
            for slice in memory.get_slices(descriptor.addr(), descriptor.len() as usize) {
                let slice = slice.map_err(io::Error::other)?;
                run.len += slice.len();
                run.slices.push(slice);
            }
        }
        Ok(run)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The bytes from `start`, at most `max` of them.
    pub(super) fn range(&self, start: usize, max: usize) -> Buffers<'m> {
        let (mut skip, mut left) = (start, max);
        let mut run = Self { slices: Vec::with_capacity(self.slices.len()), len: 0 };
        for slice in &self.slices {
            let from = skip.min(slice.len());
            skip -= from;
            let count = (slice.len() - from).min(left);
            if count > 0 {
                // In bounds by the two lines above.
                if let Ok(part) = slice.subslice(from, count) {
                    left -= count;
                    run.len += count;
                    run.slices.push(part);
                }
            }
        }
        run
    }

    /// Copies the beginning of the run out; false when the run is shorter than `bytes`.
    pub(super) fn read_to(&self, bytes: &mut [u8]) -> bool {
        let mut done = 0;
        for slice in &self.slices {
            done += slice.read(&mut bytes[done..], 0).unwrap_or(0);
            if done == bytes.len() {
                return true;
            }
        }
        bytes.is_empty()
    }

    /// Copies `bytes` over the beginning of the run; false when the run is shorter.
    pub(super) fn write_from(&self, bytes: &[u8]) -> bool {
        let mut done = 0;
        for slice in &self.slices {
            done += slice.write(&bytes[done..], 0).unwrap_or(0);
            if done == bytes.len() {
                return true;
            }
        }
        bytes.is_empty()
    }

    /// Writes the run to a nonblocking socket, straight from guest memory.
    pub(super) fn send(&self, socket: &UnixStream) -> Transfer {
        self.transfer(|slice| (&*socket).write_volatile(slice))
    }

    /// Fills the run from a nonblocking socket, straight into guest memory. `Moved(0)` is the end of the stream.
    pub(super) fn receive(&self, socket: &UnixStream) -> Transfer {
        self.transfer(|slice| (&*socket).read_volatile(slice))
    }

    fn transfer(
        &self,
        mut step: impl FnMut(&mut VolatileSlice<'m>) -> Result<usize, VolatileMemoryError>,
    ) -> Transfer {
        let mut total = 0;
        for slice in &self.slices {
            let mut rest = *slice;
            while !rest.is_empty() {
                match step(&mut rest) {
                    Ok(0) => return Transfer::Moved(total),
                    Ok(count) => {
                        total += count;
                        let Ok(next) = rest.offset(count) else { return Transfer::Moved(total) };
                        rest = next;
                    }
                    Err(VolatileMemoryError::IOError(error)) => match error.kind() {
                        io::ErrorKind::Interrupted => {}
                        io::ErrorKind::WouldBlock => return Transfer::Blocked(total),
                        _ => return Transfer::Failed(total),
                    },
                    Err(_) => return Transfer::Failed(total),
                }
            }
        }
        Transfer::Moved(total)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::{Read, Write};
    use vm_memory::GuestAddress;

    /// A run over pieces of one block of memory, as a driver might lay it out.
    pub(in crate::transport::vsock) fn run<'m>(
        memory: &'m GuestMemoryMmap,
        lengths: &[usize],
    ) -> Buffers<'m> {
        let region = memory.get_slice(GuestAddress(0), 1 << 20).expect("memory");
        let mut at = 0;
        let mut slices = Vec::new();
        for &len in lengths {
            slices.push(region.subslice(at, len).expect("in range"));
            at += len + 3;
        }
        Buffers { slices, len: lengths.iter().sum() }
    }

    #[test]
    fn bytes_cross_pieces_both_ways() {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)]).expect("memory");
        let run = run(&memory, &[1, 0, 40, 5, 100]);
        let bytes: Vec<u8> = (0..146).collect();
        assert!(run.write_from(&bytes));
        let mut back = vec![0; 60];
        assert!(run.range(20, 60).read_to(&mut back));
        assert_eq!(back, bytes[20..80]);
        assert!(!run.range(140, 100).read_to(&mut back), "only six bytes are left");
    }

    #[test]
    fn a_socket_is_filled_and_drained_through_pieces() {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)]).expect("memory");
        let run = run(&memory, &[7, 30, 63]);
        let bytes: Vec<u8> = (100..200).collect();
        assert!(run.write_from(&bytes));
        let (ours, mut theirs) = UnixStream::pair().expect("socket pair");
        ours.set_nonblocking(true).expect("nonblocking");
        assert!(matches!(run.send(&ours), Transfer::Moved(100)));
        let mut back = vec![0; 100];
        theirs.read_exact(&mut back).expect("read");
        assert_eq!(back, bytes);

        theirs.write_all(b"hello").expect("write");
        assert!(matches!(run.receive(&ours), Transfer::Blocked(5)));
        drop(theirs);
        assert!(matches!(run.receive(&ours), Transfer::Moved(0)));
    }
}
