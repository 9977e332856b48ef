//! One boot, from start to power-off.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lcow_protocol::ports;

use super::console;
use super::files::{self, FilesError};
use super::host::{Bridge, Host, give_entropy};
use super::{Options, Stages, Way};
use crate::interrupt::Running;

/// How much of the console is shown when a boot fails.
const CONSOLE_TAIL: u64 = 2000;
/// Between two looks at whether the machine has ended.
const LOOK: Duration = Duration::from_millis(10);

/// Why a boot failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum BootError {
    /// lcow does not run.
    #[error("cannot run {program}: {source}; name lcow with --lcow FILE")]
    Run { program: String, source: io::Error },
    /// What is to be started.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// Sockets or files of our own.
    #[error("cannot listen for the guest: {0}")]
    Listen(#[source] io::Error),
    /// The guest stopped on the way.
    #[error("the utility VM did not {stage}; the end of its console:\n{console}")]
    Stuck { stage: &'static str, console: String },
    /// The bridge broke.
    #[error("the bridge broke: {0}")]
    Bridge(#[source] io::Error),
    /// The guest says something else than the protocol.
    #[error("the guest breaks the protocol: {0}")]
    Protocol(String),
}

/// A machine that ends with this value.
struct Machine {
    child: Running,
    console: File,
}

impl Machine {
    fn start(way: Way, options: &Options, host: &Host) -> Result<Self, BootError> {
        let console = tempfile::tempfile().map_err(BootError::Listen)?;
        let copies = || console.try_clone().map_err(BootError::Listen);
        let mut command = Command::new(&options.lcow);
        command.args(["uvm", "boot", "--vsock-uds"]).arg(host.path());
        command.args(files::arguments(way, &options.dir, host.directory())?);
        if let Some(firmware) = options.firmware.as_ref().filter(|_| way.needs_firmware()) {
            command.arg("--firmware").arg(firmware);
        }
        command.stdin(Stdio::null()).stdout(copies()?).stderr(copies()?);
        let child = options
            .unfinished
            .spawn(&mut command)
            .map_err(|source| BootError::Run { program: options.lcow.display().to_string(), source })?;
        Ok(Self { child, console })
    }

    fn stuck(&mut self, stage: &'static str) -> BootError {
        let len = self.console.seek(SeekFrom::End(0)).unwrap_or(0);
        let mut bytes = Vec::new();
        let _ = self.console.seek(SeekFrom::Start(len.saturating_sub(CONSOLE_TAIL)));
        let _ = self.console.read_to_end(&mut bytes);
        BootError::Stuck { stage, console: console::plain(&bytes) }
    }

    /// Its status, if it ends before `deadline`.
    fn ended(&mut self, deadline: Instant) -> Option<ExitStatus> {
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            thread::sleep(LOOK);
        }
        None
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.child.end();
    }
}

/// Boots in one way, negotiates, and powers off.
pub(super) fn boot(way: Way, options: &Options) -> Result<Stages, BootError> {
    files::look(way.program, &options.dir)?;
    let host = Host::listen(&options.unfinished).map_err(BootError::Listen)?;
    let start = Instant::now();
    let deadline = start + options.timeout;
    let mut machine = Machine::start(way, options, &host)?;
    let mut stages = Stages::default();
    let (bridge, _log) = connect(&host, &mut machine, deadline, start, &mut stages)?;
    let mut bridge = Bridge::new(bridge, options.timeout).map_err(BootError::Listen)?;
    bridge.negotiate()?;
    stages.negotiated = start.elapsed();
    let asked = Instant::now();
    bridge.shut_down()?;
    match machine.ended(deadline) {
        Some(status) if status.success() => {}
        Some(_) => return Err(machine.stuck("power off in order")),
        None => return Err(machine.stuck("power off")),
    }
    stages.power_off = asked.elapsed();
    Ok(stages)
}

/// Waits for the bridge; returns it and the log, which must stay open.
fn connect(
    host: &Host,
    machine: &mut Machine,
    deadline: Instant,
    start: Instant,
    stages: &mut Stages,
) -> Result<(UnixStream, Option<UnixStream>), BootError> {
    let mut log = None;
    loop {
        // A machine that has ended dials nobody; better to say so than to wait.
        let step = deadline.min(Instant::now() + Duration::from_millis(200));
        match host.dial(step) {
            Some((ports::ENTROPY, stream, at)) => {
                stages.init = at - start;
                give_entropy(&stream).map_err(BootError::Listen)?;
            }
            Some((ports::BRIDGE, stream, at)) => {
                stages.connected = at - start;
                return Ok((stream, log));
            }
            Some((_, stream, _)) => log = Some(stream),
            None if Instant::now() >= deadline || machine.ended(Instant::now() + LOOK).is_some() => {
                let stage = if stages.init.is_zero() { "start /init" } else { "connect the bridge" };
                return Err(machine.stuck(stage));
            }
            None => {}
        }
    }
}
