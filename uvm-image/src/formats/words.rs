//! The kernel command line of outputs that carry their own (guest protocol section 14.1).

use std::str::FromStr;

use lcow_protocol::boot;

/// The hypervisor that an output with a command line of its own is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Target {
    /// Hyper-V: the bridge must not go to virtio's sockets, which register first in a kernel that has both.
    #[default]
    HyperV,
    /// QEMU and other monitors with virtio devices.
    Qemu,
}

/// A target nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the target is one of hyper-v, qemu")]
pub struct UnknownTarget;

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(text: &str) -> Result<Self, UnknownTarget> {
        match text {
            "hyper-v" => Ok(Self::HyperV),
            "qemu" => Ok(Self::Qemu),
            _ => Err(UnknownTarget),
        }
    }
}

/// The line for `target` with `root`, what the kernel is told about its root file system, and `extra` words.
pub fn command_line(target: Target, root: &str, extra: &str) -> String {
    let (blacklist, timer) = match target {
        Target::HyperV => ("initcall_blacklist=virtio_vsock_init", boot::NO_PM_TIMER),
        Target::Qemu => ("", ""),
    };
    let init = boot::init_arguments("info");
    [root, blacklist, boot::CONSOLE, extra.trim(), boot::NO_RAM_DISKS, timer, "--", &init]
        .iter()
        .filter(|words| !words.is_empty())
        .copied()
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hyper_v_loses_virtio_sockets() {
        let line = command_line(Target::HyperV, "root=/dev/sda ro", " loglevel=7 ");
        assert_eq!(
            line,
            "root=/dev/sda ro initcall_blacklist=virtio_vsock_init console=ttyS0,115200 panic=-1 quiet loglevel=7 \
             brd.rd_nr=0 pmtmr=0 -- -e 1 /bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel info"
        );
        let line = command_line(Target::Qemu, "", "");
        assert!(!line.contains("blacklist") && !line.contains("pmtmr"));
        assert_eq!("qemu".parse(), Ok(Target::Qemu));
    }
}
