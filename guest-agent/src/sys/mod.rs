//! The only place with `unsafe`: thin, safe wrappers around what the kernel offers and `nix` does not.
#![expect(unsafe_code, reason = "system calls without a safe wrapper; each block says why it is sound")]

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::pty::Winsize;
use nix::unistd::{ForkResult, Pid};

pub(crate) mod device_mapper;

mod raw {
    nix::ioctl_write_ptr_bad!(set_window_size, libc::TIOCSWINSZ, nix::pty::Winsize);
    nix::ioctl_write_int_bad!(set_controlling_terminal, libc::TIOCSCTTY);
    nix::ioctl_write_int_bad!(get_terminal_peer, libc::TIOCGPTPEER);
    nix::ioctl_read_bad!(count_readable_bytes, libc::FIONREAD, libc::c_int);
    nix::ioctl_read_bad!(get_interface_flags, libc::SIOCGIFFLAGS, libc::ifreq);
    nix::ioctl_write_ptr_bad!(set_interface_flags, libc::SIOCSIFFLAGS, libc::ifreq);
    // linux/random.h: _IOW('R', 0x03, int[2])
    nix::ioctl_write_ptr_bad!(add_entropy, 0x4008_5203, super::PoolInfo);
}

/// Bytes credited to the entropy pool in one call.
pub(crate) const ENTROPY_CHUNK: usize = 4096;

/// `struct rand_pool_info` of `linux/random.h` with a fixed buffer.
#[repr(C)]
pub(crate) struct PoolInfo {
    entropy_bits: c_int,
    buffer_bytes: c_int,
    buffer: [u8; ENTROPY_CHUNK],
}

/// Adds `bytes` (at most [`ENTROPY_CHUNK`]) to the kernel's entropy pool, credited with eight bits each.
pub(crate) fn add_entropy(random: BorrowedFd<'_>, bytes: &[u8]) -> nix::Result<()> {
    let bytes = &bytes[..bytes.len().min(ENTROPY_CHUNK)];
    let length = c_int::try_from(bytes.len()).map_err(|_| Errno::EINVAL)?;
    let mut info = PoolInfo { entropy_bits: length * 8, buffer_bytes: length, buffer: [0; ENTROPY_CHUNK] };
    info.buffer[..bytes.len()].copy_from_slice(bytes);
    // SAFETY: `info` is laid out like `rand_pool_info` and its length field covers initialised bytes of it.
    unsafe { raw::add_entropy(random.as_raw_fd(), &raw const info) }.map(drop)
}

/// Forks. The child returns `None`.
///
/// Only for processes with a single thread: the caller must not have started any other, because the child
/// goes on to allocate and log.
pub(crate) fn fork_single_threaded() -> nix::Result<Option<Pid>> {
    // SAFETY: with one thread, no lock can be held by a thread that does not exist in the child.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
}

/// Opens the other side of a terminal whose master this is (`ioctl_tty(2)`); it does not become the controlling one.
pub(crate) fn terminal_peer(master: impl AsFd) -> nix::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the call takes a number, and touches no memory of ours.
    let fd = unsafe { raw::get_terminal_peer(master.as_fd().as_raw_fd(), flags) }?;
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets a terminal's size in rows and columns.
pub(crate) fn set_window_size(terminal: impl AsFd, rows: u16, columns: u16) -> nix::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel reads one `winsize`, which lives until the call returns.
    unsafe { raw::set_window_size(terminal.as_fd().as_raw_fd(), &raw const size) }.map(drop)
}

/// How many bytes a pipe or a socket holds that nobody has read (`ioctl_list(2)`, `FIONREAD`).
pub(crate) fn readable_bytes(fd: impl AsFd) -> nix::Result<usize> {
    let mut bytes: c_int = 0;
    // SAFETY: the kernel writes one integer, which lives until the call returns.
    unsafe { raw::count_readable_bytes(fd.as_fd().as_raw_fd(), &raw mut bytes) }?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// Sets `IFF_UP` and `IFF_RUNNING` on the interface `name`, through `socket` of any address family.
pub(crate) fn interface_up(socket: BorrowedFd<'_>, name: &str) -> nix::Result<()> {
    // SAFETY: all fields of `ifreq` are integers, arrays and unions of them, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(Errno::ENAMETOOLONG);
    }
    for (slot, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *slot = byte.cast_signed();
    }
    // SAFETY: `request` carries a NUL-terminated name, and the kernel writes only within it.
    unsafe { raw::get_interface_flags(socket.as_raw_fd(), &raw mut request) }?;
    // SAFETY: after SIOCGIFFLAGS the union holds the flags.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    #[expect(clippy::cast_possible_truncation, reason = "both flags are below 0x80")]
    let wanted = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    request.ifr_ifru.ifru_flags = flags | wanted;
    // SAFETY: as above; the kernel only reads it.
    unsafe { raw::set_interface_flags(socket.as_raw_fd(), &raw const request) }.map(drop)
}

/// Whether the kernel can attach device programs to cgroup v2, which containers' device rules need
/// (`bpf(BPF_PROG_QUERY)` for `BPF_CGROUP_DEVICE`, spec section 14.3 step 9).
pub(crate) fn cgroup_device_programs_supported(cgroup: BorrowedFd<'_>) -> bool {
    const BPF_PROG_QUERY: c_int = 16;
    const BPF_CGROUP_DEVICE: u32 = 6;
    #[repr(C)]
    struct Query {
        target_fd: u32,
        attach_type: u32,
        flags: u32,
        attach_flags: u32,
        prog_ids: u64,
        prog_cnt: u32,
        padding: [u32; 15],
    }
    let query = Query {
        target_fd: cgroup.as_raw_fd().cast_unsigned(),
        attach_type: BPF_CGROUP_DEVICE,
        flags: 0,
        attach_flags: 0,
        prog_ids: 0,
        prog_cnt: 0,
        padding: [0; 15],
    };
    // SAFETY: the kernel reads `size_of::<Query>()` bytes of the attribute and may write its counters.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, &raw const query, size_of::<Query>()) };
    result == 0 || !matches!(Errno::last(), Errno::ENOSYS | Errno::EINVAL)
}

/// Makes `name=value` the whole environment.
///
/// Only for processes with a single thread, like [`fork_single_threaded`].
pub(crate) fn replace_environment(name: &str, value: &str) {
    for (name, _) in std::env::vars_os() {
        // SAFETY: no other thread reads the environment.
        unsafe { std::env::remove_var(name) };
    }
    // SAFETY: as above.
    unsafe { std::env::set_var(name, value) };
}

/// Lets every other process have the processor first.
pub(crate) fn be_nice() {
    // SAFETY: three numbers; a failure leaves the priority as it is.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
}

/// Takes [`be_nice`] back.
pub(crate) fn be_ordinary() {
    // SAFETY: as above.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 0) };
}

/// Restores SIGPIPE's default and an empty signal mask in a child that is about to become another program:
/// Rust ignores the one and our parents block signals, and both would be inherited.
pub(crate) fn reset_signals() -> nix::Result<()> {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default action runs no code of ours.
    unsafe { sigaction(Signal::SIGPIPE, &default) }?;
    SigSet::empty().thread_set_mask()
}

/// Makes the child of `command` a session leader, and with a terminal on its stdin, that its controlling one.
pub(crate) fn new_session(command: &mut std::process::Command, controlling_terminal: bool) {
    use std::os::unix::process::CommandExt;
    let become_leader = move || -> io::Result<()> {
        nix::unistd::setsid()?;
        if controlling_terminal {
            // SAFETY: descriptor 0 is the terminal; the argument says not to steal it from a session.
            unsafe { raw::set_controlling_terminal(0, 0) }?;
        }
        Ok(())
    };
    // SAFETY: the closure makes two system calls and allocates nothing.
    unsafe { command.pre_exec(become_leader) };
}

/// Moves `fd` to the descriptor number `target`, replacing what is open there; inherited by programs.
pub(crate) fn place_fd(fd: impl AsFd, target: RawFd) -> nix::Result<()> {
    // SAFETY: the caller owns both numbers: targets are the standard streams 0 to 2 alone.
    Errno::result(unsafe { libc::dup2(fd.as_fd().as_raw_fd(), target) }).map(drop)
}

/// Takes ownership of a descriptor that has just arrived in a control message.
pub(crate) fn own_received_fd(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel made this descriptor for us in `recvmsg`, so nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Sends a signal by number, which reaches the real-time signals that `nix` has no names for.
pub(crate) fn kill_raw(pid: Pid, signal: c_int) -> nix::Result<()> {
    // SAFETY: no memory is involved.
    Errno::result(unsafe { libc::kill(pid.as_raw(), signal) }).map(drop)
}

/// Registers a descriptor that does not block with tokio.
pub(crate) fn async_fd(
    fd: std::os::fd::OwnedFd,
) -> io::Result<tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>> {
    // SAFETY: an `OwnedFd` that the result owns is the same open descriptor for as long as it is registered.
    Ok(unsafe { tokio::io::unix::AsyncFd::register(fd) }?)
}

/// Lets the system's clock run faster or slower until it has gained `micros` microseconds (`adjtime(3)`).
pub(crate) fn slew_clock(micros: i64) -> nix::Result<()> {
    // SAFETY: all fields of `timex` are integers, for which zero is valid.
    let mut request: libc::timex = unsafe { std::mem::zeroed() };
    request.modes = libc::ADJ_OFFSET_SINGLESHOT;
    request.offset = micros;
    // SAFETY: the kernel reads and writes one `timex`, which lives until the call returns.
    Errno::result(unsafe { libc::adjtimex(&raw mut request) }).map(drop)
}

/// A child that has ended, and its status: 128 plus the number for a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reaped {
    pub(crate) pid: Pid,
    pub(crate) status: i32,
}

/// Reaps one child, any; with `block` waits for one, otherwise `None` says that none has ended.
///
/// `nix` cannot do this: it reports a child that a real-time signal has ended as an error, after having reaped it.
pub(crate) fn reap(block: bool) -> nix::Result<Option<Reaped>> {
    let flags = if block { 0 } else { libc::WNOHANG };
    loop {
        let mut raw = 0;
        // SAFETY: the kernel writes one integer, which lives until the call returns.
        let pid = match Errno::result(unsafe { libc::waitpid(-1, &raw mut raw, flags) }) {
            Ok(0) => return Ok(None),
            Ok(pid) => Pid::from_raw(pid),
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error),
        };
        if libc::WIFEXITED(raw) {
            return Ok(Some(Reaped { pid, status: libc::WEXITSTATUS(raw) }));
        }
        if libc::WIFSIGNALED(raw) {
            return Ok(Some(Reaped { pid, status: 128 + libc::WTERMSIG(raw) }));
        }
    }
}

/// Whether the machine runs on Hyper-V, by the vendor that its processor names (CPUID leaf 0x40000000).
pub(crate) fn is_hyper_v() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::__cpuid;
        const HYPERVISOR_BIT: u32 = 1 << 31;
        let present = __cpuid(1).ecx & HYPERVISOR_BIT != 0;
        let vendor = __cpuid(0x4000_0000);
        let text = [vendor.ebx, vendor.ecx, vendor.edx].map(u32::to_le_bytes).concat();
        present && text == b"Microsoft Hv"
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        std::path::Path::new("/sys/bus/vmbus").exists()
    }
}

/// Loads a system call filter: `struct sock_filter` after `struct sock_filter`, for the calling thread.
pub(crate) fn load_filter(program: &[u8], flags: u32) -> nix::Result<()> {
    const SECCOMP_SET_MODE_FILTER: c_int = 1;
    // Copied, because bytes may not be aligned as the structure has to be.
    let mut code: Vec<libc::sock_filter> = program
        .chunks_exact(size_of::<libc::sock_filter>())
        .map(|op| libc::sock_filter {
            code: u16::from_ne_bytes([op[0], op[1]]),
            jt: op[2],
            jf: op[3],
            k: u32::from_ne_bytes([op[4], op[5], op[6], op[7]]),
        })
        .collect();
    let len = u16::try_from(code.len()).map_err(|_| Errno::E2BIG)?;
    let fprog = libc::sock_fprog { len, filter: code.as_mut_ptr() };
    // SAFETY: the kernel reads `len` instructions, which live until the call returns, and checks them.
    Errno::result(unsafe {
        libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, libc::c_long::from(flags), &raw const fprog)
    })
    .map(drop)
}
