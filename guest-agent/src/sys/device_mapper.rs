//! Device-mapper ioctls (`linux/dm-ioctl.h`).

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// `_IOWR(0xfd, 0, struct dm_ioctl)`; the low byte is the command.
const FIRST_COMMAND: libc::c_ulong = 0xC138_FD00;
/// Where the message says how long it is.
const DATA_SIZE: std::ops::Range<usize> = 12..16;

/// Length of the message's fixed part in bytes.
pub(crate) const HEADER: usize = 312;

/// Sends `message`, a `struct dm_ioctl` with what follows it, to the control device; the kernel answers in place.
pub(crate) fn command(control: BorrowedFd<'_>, command: u8, message: &mut [u8]) -> nix::Result<()> {
    if message.len() < HEADER {
        return Err(Errno::EINVAL);
    }
    let length = u32::try_from(message.len()).map_err(|_| Errno::E2BIG)?;
    message[DATA_SIZE].copy_from_slice(&length.to_ne_bytes());
    // SAFETY: the kernel copies the message in and out and stays within the length that it carries, which is the
    // slice's own; it does not need any alignment for that.
    Errno::result(unsafe {
        libc::ioctl(control.as_raw_fd(), FIRST_COMMAND | libc::c_ulong::from(command), message.as_mut_ptr())
    })
    .map(drop)
}
