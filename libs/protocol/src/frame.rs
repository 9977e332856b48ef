//! Framing: a 16-byte little-endian header followed by a JSON document (spec section 3).

use crate::MessageType;

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 16;
/// The largest frame, header included, that a host accepts. One byte more and it drops the whole bridge.
pub const MAX_TO_HOST: u32 = 65_536;
/// The largest frame, header included, that we accept from a host. The protocol sets no limit; policies and
/// specifications of a few MiB do occur.
pub const MAX_TO_GUEST: u32 = 64 << 20;

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame carries.
    pub message_type: MessageType,
    /// Bytes of JSON after the header.
    pub body_len: u32,
    /// Sequence number of the request; zero for notifications.
    pub id: u64,
}

/// Why a header was refused. The stream cannot be followed any further: drop the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// `Size` counts the header, so it can never be below 16.
    #[error("frame size {0} is smaller than its own header")]
    TooSmall(u32),
    /// `Size` is above the limit of this direction.
    #[error("frame of {size} bytes is above the limit of {limit}")]
    TooLarge {
        /// The size in the header.
        size: u32,
        /// The limit that applies.
        limit: u32,
    },
}

impl Header {
    /// Reads a header. `limit` bounds the whole frame in bytes: [`MAX_TO_HOST`] or [`MAX_TO_GUEST`].
    pub fn decode(bytes: &[u8; HEADER_LEN], limit: u32) -> Result<Self, FrameError> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let size = word(4);
        let body_len = size.checked_sub(16).ok_or(FrameError::TooSmall(size))?;
        if size > limit {
            return Err(FrameError::TooLarge { size, limit });
        }
        let id = u64::from(word(8)) | u64::from(word(12)) << 32;
        Ok(Self { message_type: MessageType(word(0)), body_len, id })
    }

    /// Writes the header.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&self.message_type.0.to_le_bytes());
        bytes[4..8].copy_from_slice(&(self.body_len + 16).to_le_bytes());
        bytes[8..].copy_from_slice(&self.id.to_le_bytes());
        bytes
    }
}

/// Puts a header before `body`. `limit` is that of the direction in which the frame will travel.
pub fn encode(message_type: MessageType, id: u64, body: &[u8], limit: u32) -> Result<Vec<u8>, FrameError> {
    let size = u32::try_from(body.len() + HEADER_LEN).unwrap_or(u32::MAX);
    if size > limit {
        return Err(FrameError::TooLarge { size, limit });
    }
    let header = Header { message_type, body_len: size - 16, id };
    let mut frame = Vec::with_capacity(body.len() + HEADER_LEN);
    frame.extend_from_slice(&header.encode());
    frame.extend_from_slice(body);
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first frame of a real host's connection (spec section 3.1): 125 bytes in total.
    const NEGOTIATE: [u8; 16] = [0x01, 0x0b, 0x10, 0x10, 0x7d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn reads_and_writes_the_header_of_the_specification() {
        let header = Header::decode(&NEGOTIATE, MAX_TO_GUEST).unwrap();
        assert_eq!(header, Header { message_type: MessageType::NEGOTIATE_PROTOCOL, body_len: 109, id: 0 });
        assert_eq!(header.encode(), NEGOTIATE);
    }

    #[test]
    fn sizes_out_of_bounds_are_errors() {
        let with_size = |size: u32| {
            let mut bytes = NEGOTIATE;
            bytes[4..8].copy_from_slice(&size.to_le_bytes());
            Header::decode(&bytes, MAX_TO_HOST)
        };
        for size in [0, 3, 15] {
            assert_eq!(with_size(size), Err(FrameError::TooSmall(size)));
        }
        assert_eq!(with_size(16).unwrap().body_len, 0);
        assert!(with_size(65_536).is_ok());
        assert!(matches!(with_size(65_537), Err(FrameError::TooLarge { .. })));
        assert!(encode(MessageType::CREATE, 1, &vec![b' '; 65_520], MAX_TO_HOST).is_ok());
        assert!(encode(MessageType::CREATE, 1, &vec![b' '; 65_521], MAX_TO_HOST).is_err());
    }

    #[test]
    fn the_id_keeps_all_its_64_bits() {
        let frame = encode(MessageType::START, 0x0102_0304_0506_0708, b"{}", MAX_TO_GUEST).unwrap();
        let header = Header::decode(frame[..16].try_into().unwrap(), MAX_TO_GUEST).unwrap();
        assert_eq!(header.id, 0x0102_0304_0506_0708);
        assert_eq!(&frame[16..], b"{}");
    }
}
