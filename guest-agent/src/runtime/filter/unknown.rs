//! System calls that are newer than libseccomp, and so than any rule of a filter can name.
//!
//! A C library that tries a new call falls back to older ones when that does not exist (`ENOSYS`), not when it is
//! forbidden. So where a filter's default is to refuse, calls above the last known one do not exist.

use libseccomp::{ScmpAction, ScmpArch, ScmpSyscall};

/// Architectures whose calls are numbered from 0 without a gap worth naming, with their values of `AUDIT_ARCH_*`
/// (`linux/audit.h`).
const ARCHITECTURES: &[(ScmpArch, u32)] =
    &[(ScmpArch::X8664, 0xc000_003e), (ScmpArch::X86, 0x4000_0003), (ScmpArch::Aarch64, 0xc000_00b7)];
/// Far above the last call of any architecture.
const ABOVE_ALL: i32 = 1024;
/// Marks calls of x32, which are left to the filter.
const X32: u32 = 0x4000_0000;
/// `SECCOMP_RET_ERRNO` with the error.
const DOES_NOT_EXIST: u32 = 0x0005_0000 | libc::ENOSYS.cast_unsigned();

/// Places in `struct seccomp_data` (`linux/seccomp.h`).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

/// Instructions of classic BPF (`linux/bpf_common.h`).
const LOAD: u16 = 0x20;
const IF_EQUAL: u16 = 0x15;
const IF_ABOVE: u16 = 0x25;
const IF_BITS: u16 = 0x45;
const RETURN: u16 = 0x06;

/// What comes before the program of a filter with this default action, for the native architecture and `others`.
pub(super) fn prologue(default: ScmpAction, others: &[ScmpArch]) -> Vec<u8> {
    if !refuses(default) {
        return Vec::new();
    }
    let native = ScmpArch::native();
    let covered = ARCHITECTURES.iter().filter(|(arch, _)| *arch == native || others.contains(arch));
    covered.filter_map(|(arch, token)| Some(check(*token, last(*arch)?))).flatten().collect()
}

/// Whether an error can stand in for the action. Who traces or logs calls wants to see new ones, too.
fn refuses(action: ScmpAction) -> bool {
    match action {
        ScmpAction::Errno(errno) => errno != libc::ENOSYS,
        ScmpAction::KillProcess | ScmpAction::KillThread | ScmpAction::Trap => true,
        _ => false,
    }
}

/// The highest number that libseccomp has a name for.
fn last(arch: ScmpArch) -> Option<u32> {
    let known = |number: &i32| ScmpSyscall::from_raw_syscall(*number).get_name_by_arch(arch).is_ok();
    (0..ABOVE_ALL).rev().find(known).map(i32::cast_unsigned)
}

/// Six instructions that return or lead to what follows them.
fn check(architecture: u32, last: u32) -> Vec<u8> {
    let program = [
        (LOAD, 0, 0, ARCHITECTURE),
        (IF_EQUAL, 0, 4, architecture),
        (LOAD, 0, 0, NUMBER),
        (IF_BITS, 2, 0, X32),
        (IF_ABOVE, 0, 1, last),
        (RETURN, 0, 0, DOES_NOT_EXIST),
    ];
    program.into_iter().flat_map(instruction).collect()
}

/// `struct sock_filter` (`linux/filter.h`): how far to jump if it is so and if not.
fn instruction((code, yes, no, operand): (u16, u8, u8, u32)) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..2].copy_from_slice(&code.to_ne_bytes());
    bytes[2..4].copy_from_slice(&[yes, no]);
    bytes[4..].copy_from_slice(&operand.to_ne_bytes());
    bytes
}
