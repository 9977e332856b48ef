//! Processes in a utility VM or in its containers, and their stdio (guest protocol, sections 5.4 to 5.7).

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use lcow_protocol::messages::{
    ExecuteProcess, ExecuteProcessSettings, INFINITE, ProcessParameters, ResizeConsole, SignalOptions,
    SignalProcess, StdioPorts, WaitForProcess,
};
use lcow_protocol::{ContainerId, ProcessId, VsockPort, json::Stringified};
use tokio::io::AsyncReadExt;

use super::{Guest, GuestError};
use crate::transport::{GuestStream, Listener};

/// Longest wait for a stream that the guest has dialled before it answered.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// The environment of hcsshim's VM-level processes (guest protocol, section 8.6).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Streams of a process that the host wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stdio {
    /// A stream to its standard input; otherwise it reads nothing.
    pub stdin: bool,
    /// A stream from its standard output.
    pub stdout: bool,
    /// A stream from its standard error.
    pub stderr: bool,
}

impl Stdio {
    /// Output and errors.
    pub const OUTPUT: Self = Self { stdin: false, stdout: true, stderr: true };
    /// All three.
    pub const ALL: Self = Self { stdin: true, stdout: true, stderr: true };
}

/// A process of the utility VM itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmProcess {
    /// Program and arguments.
    pub args: Vec<String>,
    /// Its directory.
    pub working_directory: String,
    /// Its whole environment.
    pub environment: BTreeMap<String, String>,
    /// Its streams.
    pub stdio: Stdio,
    /// Whether it gets a terminal.
    pub terminal: bool,
}

impl VmProcess {
    /// A process in `/` with hcsshim's PATH and its output streams.
    pub fn new(args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            args: args.into_iter().map(Into::into).collect(),
            working_directory: "/".into(),
            environment: BTreeMap::from([("PATH".into(), PATH.into())]),
            stdio: Stdio::OUTPUT,
            terminal: false,
        }
    }

    /// The same with other streams.
    #[must_use]
    pub fn stdio(mut self, stdio: Stdio) -> Self {
        self.stdio = stdio;
        self
    }
}

/// A started process.
#[derive(Debug)]
pub struct Process {
    pub(super) guest: Guest,
    pub(super) container: ContainerId,
    /// Its number in the utility VM's root pid namespace.
    pub pid: ProcessId,
    /// To its standard input; shut down or dropped, the process reads the end.
    pub stdin: Option<GuestStream>,
    /// From its standard output.
    pub stdout: Option<GuestStream>,
    /// From its standard error.
    pub stderr: Option<GuestStream>,
}

/// What can be done to a process from elsewhere than where its streams are. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    guest: Guest,
    container: ContainerId,
    pid: ProcessId,
}

impl Control {
    /// Sends a signal; `None` is SIGKILL in the form in which hosts send it.
    pub async fn signal(&self, signal: Option<i32>) -> Result<(), GuestError> {
        let options = signal.map(|signal| SignalOptions { signal });
        self.guest.call(&self.container, SignalProcess { process_id: self.pid, options }).await.map(|_| ())
    }

    /// Sets the size of its terminal.
    pub async fn resize(&self, height: u16, width: u16) -> Result<(), GuestError> {
        let request = ResizeConsole { process_id: self.pid, height, width };
        self.guest.call(&self.container, request).await.map(|_| ())
    }
}

/// What a process left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Its status, 128 + N when a signal ended it.
    pub status: u32,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// All of its standard error.
    pub stderr: Vec<u8>,
}

impl Guest {
    /// Starts a process of the utility VM itself.
    pub async fn exec(&self, process: VmProcess) -> Result<Process, GuestError> {
        let parameters = ProcessParameters {
            command_args: process.args,
            working_directory: process.working_directory,
            environment: process.environment,
            emulate_console: process.terminal,
            ..ProcessParameters::default()
        };
        self.execute(ContainerId::null(), parameters, process.stdio).await
    }

    /// Starts a process: in the VM, or a container's init (no `oci_process`), or one in a running container.
    pub async fn execute(
        &self,
        container: ContainerId,
        mut parameters: ProcessParameters,
        streams: Stdio,
    ) -> Result<Process, GuestError> {
        parameters.create_std_in_pipe = streams.stdin;
        parameters.create_std_out_pipe = streams.stdout;
        parameters.create_std_err_pipe = streams.stderr;
        // The guest dials before it answers, so the listeners come first.
        let listen = |wanted: bool| wanted.then(|| self.listen()).transpose();
        let (stdin, stdout, stderr) =
            (listen(streams.stdin)?, listen(streams.stdout)?, listen(streams.stderr)?);
        let port = |listener: &Option<Listener>| listener.as_ref().map_or(VsockPort(0), Listener::port);
        let ports = StdioPorts { stdin: port(&stdin), stdout: port(&stdout), stderr: port(&stderr) };
        let settings = ExecuteProcessSettings {
            process_parameters: Stringified(parameters),
            vsock_stdio_relay_settings: ports,
        };
        let started = self.call(&container, ExecuteProcess { settings }).await?;
        let (stdin, stdout, stderr) = (accept(stdin).await?, accept(stdout).await?, accept(stderr).await?);
        Ok(Process { guest: self.clone(), container, pid: started.process_id, stdin, stdout, stderr })
    }
}

async fn accept(listener: Option<Listener>) -> Result<Option<GuestStream>, GuestError> {
    let Some(mut listener) = listener else { return Ok(None) };
    let accepted = tokio::time::timeout(DIAL_TIMEOUT, listener.accept()).await;
    let accepted = accepted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    accepted.map(Some).map_err(|source| GuestError::Stream { operation: "accept a process's stream", source })
}

impl Process {
    /// Waits for the exit status, without a limit.
    pub async fn wait(&self) -> Result<u32, GuestError> {
        self.wait_ms(INFINITE).await
    }

    /// Waits at most `timeout`; the guest answers with `VmcomputeTimeout` after that.
    pub async fn wait_timeout(&self, timeout: Duration) -> Result<u32, GuestError> {
        self.wait_ms(u32::try_from(timeout.as_millis()).unwrap_or(INFINITE - 1)).await
    }

    async fn wait_ms(&self, timeout_in_ms: u32) -> Result<u32, GuestError> {
        let request = WaitForProcess { process_id: self.pid, timeout_in_ms };
        Ok(self.guest.call(&self.container, request).await?.exit_code)
    }

    /// A handle for signals and sizes.
    pub fn control(&self) -> Control {
        Control { guest: self.guest.clone(), container: self.container.clone(), pid: self.pid }
    }

    /// Sends a signal; `None` is SIGKILL in the form in which hosts send it.
    pub async fn signal(&self, signal: Option<i32>) -> Result<(), GuestError> {
        self.control().signal(signal).await
    }

    /// Sets the size of its terminal.
    pub async fn resize(&self, height: u16, width: u16) -> Result<(), GuestError> {
        self.control().resize(height, width).await
    }

    /// Closes standard input, reads both outputs to their ends and waits for the status.
    pub async fn output(mut self) -> Result<Output, GuestError> {
        drop(self.stdin.take());
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let (stdout, stderr) = tokio::try_join!(read_all(stdout), read_all(stderr))?;
        Ok(Output { status: self.wait().await?, stdout, stderr })
    }
}

async fn read_all(stream: Option<GuestStream>) -> Result<Vec<u8>, GuestError> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        let failed = |source| GuestError::Stream { operation: "read a process's output", source };
        stream.read_to_end(&mut bytes).await.map_err(failed)?;
    }
    Ok(bytes)
}
