//! The agent inside an LCOW utility VM.
//!
//! One static binary under several names: the name (or the first argument) chooses what it does, see
//! [`multicall`]. As `/init` it is PID 1 and never runs agent code; as `/bin/vsockexec` it connects its stdio to
//! the host and becomes another program; as `/bin/gcs` it is the agent that answers on the bridge.
#![cfg(target_os = "linux")]

mod boot_disks;
mod bridge;
mod causes;
mod cgroup;
mod clock;
mod container;
mod gcs;
mod init;
mod kernel_modules;
mod log;
mod multicall;
mod network;
mod power;
mod process;
mod random;
mod runtime;
mod storage;
mod sys;
mod tools;
mod transport;
mod vsockexec;

/// Read by `uvm-build` out of the binary's bytes, so that an image can say which agent it carries.
#[used]
static VERSION: &str = concat!("LCOW_AGENT_VERSION=", env!("CARGO_PKG_VERSION"), "\0");

fn main() -> std::process::ExitCode {
    multicall::main()
}
