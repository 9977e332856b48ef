//! The vsock ports of a utility VM (spec section 2.1). The guest dials all of them, the host listens.

use crate::VsockPort;

/// Boot entropy: the host writes [`ENTROPY_BYTES`] random bytes and closes.
pub const ENTROPY: VsockPort = VsockPort(1);
/// How many random bytes a host sends on [`ENTROPY`].
pub const ENTROPY_BYTES: usize = 512;
/// The agent's log stream, one JSON object per line.
pub const LOG: VsockPort = VsockPort(109);
/// 9P server of the host, one connection per share.
pub const PLAN9: VsockPort = VsockPort(564);
/// The bridge itself.
pub const BRIDGE: VsockPort = VsockPort(0x4000_0000);
/// The first port of process stdio; hosts count upwards from here and never reuse one.
pub const FIRST_STDIO: VsockPort = VsockPort(0x4000_0001);
