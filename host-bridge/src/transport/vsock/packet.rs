//! The vsock packet header: virtio 1.2, section 5.10.6, "Device Operation".

use std::fmt;

/// Bytes of a header on the wire; all fields little endian.
pub(crate) const HEADER_LEN: usize = 44;
/// The host's context id; every guest dial goes there.
pub(crate) const HOST_CID: u64 = 2;
/// `VIRTIO_VSOCK_TYPE_STREAM`, the only socket type this device offers.
pub(crate) const TYPE_STREAM: u16 = 1;

/// Packet operations (virtio 1.2, 5.10.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Asks for a connection.
    Request,
    /// Accepts a connection.
    Response,
    /// Ends or refuses a connection at once.
    Reset,
    /// Announces that the sender will no longer send or receive.
    Shutdown,
    /// Payload.
    Data,
    /// Tells the sender's buffer space.
    CreditUpdate,
    /// Asks for a [`Op::CreditUpdate`].
    CreditRequest,
}

impl Op {
    fn from_wire(raw: u16) -> Option<Self> {
        Some(match raw {
            1 => Self::Request,
            2 => Self::Response,
            3 => Self::Reset,
            4 => Self::Shutdown,
            5 => Self::Data,
            6 => Self::CreditUpdate,
            7 => Self::CreditRequest,
            _ => return None,
        })
    }

    fn to_wire(self) -> u16 {
        match self {
            Self::Request => 1,
            Self::Response => 2,
            Self::Reset => 3,
            Self::Shutdown => 4,
            Self::Data => 5,
            Self::CreditUpdate => 6,
            Self::CreditRequest => 7,
        }
    }
}

/// Directions that a peer has closed: the flags of [`Op::Shutdown`] (virtio 1.2, 5.10.6.5).
/// The bits are permanent once sent, so sets only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Closed(u32);

impl Closed {
    pub(crate) const NONE: Self = Self(0);
    /// The sender of the packet will receive no more.
    pub(crate) const RECEIVE: Self = Self(1);
    /// The sender of the packet will send no more.
    pub(crate) const SEND: Self = Self(2);
    pub(crate) const BOTH: Self = Self(3);

    /// Reads the flags of a packet; unknown bits are ignored.
    pub(crate) fn from_flags(flags: u32) -> Self {
        Self(flags & Self::BOTH.0)
    }

    pub(crate) fn flags(self) -> u32 {
        self.0
    }

    pub(crate) fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The two ports that identify a connection; the context ids are always the guest's and the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ports {
    pub(crate) guest: u32,
    pub(crate) host: u32,
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "guest port {} to host port {}", self.guest, self.host)
    }
}

/// One packet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) src_cid: u64,
    pub(crate) dst_cid: u64,
    pub(crate) src_port: u32,
    pub(crate) dst_port: u32,
    pub(crate) len: u32,
    pub(crate) socket_type: u16,
    /// `None` for a number this device does not know.
    pub(crate) op: Option<Op>,
    pub(crate) flags: u32,
    pub(crate) buf_alloc: u32,
    pub(crate) fwd_cnt: u32,
}

impl Header {
    /// Decodes a header; every bit pattern is one.
    pub(crate) fn decode(raw: &[u8; HEADER_LEN]) -> Self {
        let u16_at = |at: usize| u16::from_le_bytes([raw[at], raw[at + 1]]);
        let u32_at = |at: usize| u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        Self {
            src_cid: u64_at(0),
            dst_cid: u64_at(8),
            src_port: u32_at(16),
            dst_port: u32_at(20),
            len: u32_at(24),
            socket_type: u16_at(28),
            op: Op::from_wire(u16_at(30)),
            flags: u32_at(32),
            buf_alloc: u32_at(36),
            fwd_cnt: u32_at(40),
        }
    }

    /// Encodes the header; an unknown operation becomes 0, `VIRTIO_VSOCK_OP_INVALID`.
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut raw = [0; HEADER_LEN];
        raw[0..8].copy_from_slice(&self.src_cid.to_le_bytes());
        raw[8..16].copy_from_slice(&self.dst_cid.to_le_bytes());
        raw[16..20].copy_from_slice(&self.src_port.to_le_bytes());
        raw[20..24].copy_from_slice(&self.dst_port.to_le_bytes());
        raw[24..28].copy_from_slice(&self.len.to_le_bytes());
        raw[28..30].copy_from_slice(&self.socket_type.to_le_bytes());
        raw[30..32].copy_from_slice(&self.op.map_or(0, Op::to_wire).to_le_bytes());
        raw[32..36].copy_from_slice(&self.flags.to_le_bytes());
        raw[36..40].copy_from_slice(&self.buf_alloc.to_le_bytes());
        raw[40..44].copy_from_slice(&self.fwd_cnt.to_le_bytes());
        raw
    }

    /// The connection this packet, sent by the guest, belongs to.
    pub(crate) fn ports_from_guest(&self) -> Ports {
        Ports { guest: self.src_port, host: self.dst_port }
    }

    /// A packet from the host to the guest.
    pub(crate) fn to_guest(guest_cid: u64, ports: Ports, op: Op) -> Self {
        Self {
            src_cid: HOST_CID,
            dst_cid: guest_cid,
            src_port: ports.host,
            dst_port: ports.guest,
            len: 0,
            socket_type: TYPE_STREAM,
            op: Some(op),
            flags: 0,
            buf_alloc: 0,
            fwd_cnt: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_shutdown_has_the_layout_of_the_specification() {
        let mut header = Header::to_guest(3, Ports { guest: 0x0102_0304, host: 109 }, Op::Shutdown);
        header.flags = Closed::SEND.flags();
        header.buf_alloc = 0x0004_0000;
        header.fwd_cnt = 7;
        let raw = header.encode();
        assert_eq!(raw[0..8], [2, 0, 0, 0, 0, 0, 0, 0], "source context id");
        assert_eq!(raw[8..16], [3, 0, 0, 0, 0, 0, 0, 0], "destination context id");
        assert_eq!(raw[16..20], [109, 0, 0, 0], "source port");
        assert_eq!(raw[20..24], [4, 3, 2, 1], "destination port");
        assert_eq!(raw[24..32], [0, 0, 0, 0, 1, 0, 4, 0], "length, type, operation");
        assert_eq!(raw[32..44], [2, 0, 0, 0, 0, 0, 4, 0, 7, 0, 0, 0], "flags and credit");
    }

    proptest! {
        #[test]
        fn decoding_any_bytes_and_encoding_keeps_what_is_known(raw in prop::array::uniform32(any::<u8>()), tail in prop::array::uniform12(any::<u8>())) {
            let mut bytes = [0; HEADER_LEN];
            bytes[..32].copy_from_slice(&raw);
            bytes[32..].copy_from_slice(&tail);
            let header = Header::decode(&bytes);
            prop_assert_eq!(Header::decode(&header.encode()), header);
        }
    }
}
