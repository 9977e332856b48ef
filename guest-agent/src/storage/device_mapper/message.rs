//! Messages to the device mapper: a `struct dm_ioctl` and, when a table is loaded, one target after it.

use crate::sys::device_mapper::HEADER;

use super::name::Name;
use super::target::Target;

/// Version of the interface that we speak.
const VERSION: [u32; 3] = [4, 0, 0];
/// Fields of `struct dm_ioctl` by their offset.
const DATA_START: usize = 16;
const TARGET_COUNT: usize = 20;
const FLAGS: usize = 28;
const DEVICE: usize = 40;
const NAME: usize = 48;

/// Length of `struct dm_target_spec`, and where its type stands.
const TARGET: usize = 40;
const TARGET_TYPE: usize = 24;

const READ_ONLY: u32 = 1 << 0;
/// The kernel wipes its copies of the message.
const SECURE_DATA: u32 = 1 << 15;

/// What the device mapper is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Version,
    Create,
    Remove,
    /// A suspend without its flag.
    Resume,
    LoadTable,
}

impl Command {
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Version => 0,
            Self::Create => 3,
            Self::Remove => 4,
            Self::Resume => 6,
            Self::LoadTable => 9,
        }
    }
}

/// A message; wiped when dropped, because a table may carry a key.
pub(super) struct Message(Vec<u8>);

impl Message {
    /// About the device `name`, or about none.
    pub(super) fn new(name: Option<&Name>) -> Self {
        let mut message = Self(vec![0; HEADER]);
        for (index, number) in VERSION.iter().enumerate() {
            message.put(index * 4, *number);
        }
        if let Some(name) = name {
            message.0[NAME..NAME + name.as_str().len()].copy_from_slice(name.as_str().as_bytes());
        }
        message
    }

    /// With a table of one target that covers the whole device.
    pub(super) fn with_table(name: &Name, target: &Target) -> Self {
        let mut message = Self::new(Some(name));
        message.put(DATA_START, header_length());
        message.put(TARGET_COUNT, 1);
        let read_only = if target.read_only() { READ_ONLY } else { 0 };
        message.put(FLAGS, read_only | SECURE_DATA);
        let mut spec = [0; TARGET];
        spec[8..16].copy_from_slice(&target.sectors().to_ne_bytes());
        let kind = target.kind();
        spec[TARGET_TYPE..TARGET_TYPE + kind.len()].copy_from_slice(kind.as_bytes());
        let parameters = target.parameters();
        // Grown once and in place: a vector that moves would leave the key behind.
        message.0.reserve_exact(TARGET + parameters.len() + 8);
        message.0.extend_from_slice(&spec);
        message.0.extend_from_slice(parameters.as_bytes());
        message.0.push(0);
        message.0.resize(message.0.len().next_multiple_of(8), 0);
        message
    }

    fn put(&mut self, at: usize, value: u32) {
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// The device's number, in the kernel's answer.
    pub(super) fn device(&self) -> u64 {
        self.0[DEVICE..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
    }
}

fn header_length() -> u32 {
    // A small constant.
    u32::try_from(HEADER).unwrap_or_default()
}

impl Drop for Message {
    fn drop(&mut self) {
        self.0.fill(0);
        std::hint::black_box(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_table_follows_the_header_and_is_padded() {
        let name = Name::linear(1, 4096, 8192).unwrap();
        let target =
            Target::Linear { device: PathBuf::from("/dev/pmem1"), offset_bytes: 4096, length_bytes: 8192 };
        let mut message = Message::with_table(&name, &target);
        let bytes = message.bytes().to_vec();
        assert_eq!(bytes.len() % 8, 0);
        assert_eq!(bytes[..12], [4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[DATA_START..DATA_START + 4], 312_u32.to_ne_bytes());
        assert_eq!(bytes[TARGET_COUNT..TARGET_COUNT + 4], 1_u32.to_ne_bytes());
        assert_eq!(bytes[FLAGS] & 1, 1, "read-only");
        assert!(bytes[NAME..].starts_with(b"dm-linear-pmem1-4096-8192\0"));
        let table = &bytes[312..];
        assert_eq!(table[8..16], 16_u64.to_ne_bytes(), "sectors");
        assert!(table[24..].starts_with(b"linear\0"));
        assert!(table[40..].starts_with(b"/dev/pmem1 8\0"));
    }
}
