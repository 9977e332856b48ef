//! The agent: start order (spec section 14.6), then the bridge for as long as the machine lives.

mod agent;
mod options;

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;

pub(crate) use agent::Agent;
pub(crate) use options::Options;

use crate::cgroup::{self, Cgroups};
use crate::log::{self, Admission, Log, RateLimit, Writer};
use crate::{bridge, causes, clock, runtime};

/// Threads for file-system work that blocks; they end when idle. Many, because a server of the host that does not answer
/// keeps one for half a minute, and work for others must not wait for it.
const BLOCKING_THREADS: usize = 64;

/// Time for the host's first request, before the agent turns to the machine.
const FIRST_ANSWER: Duration = Duration::from_secs(1);
/// Time for the host to read the log's last lines.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Output of container workers that is logged at once, and the pause between further lines.
const WORKER_BURST: u32 = 50;
const WORKER_PAUSE: Duration = Duration::from_millis(200);
/// A longer line of theirs is logged in pieces.
const LONGEST_LINE: u64 = 4096;

/// Why the agent cannot start. All of it ends the machine.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{operation}")]
    Io { operation: &'static str, source: std::io::Error },
    #[error("preparing cgroups")]
    Cgroups(#[from] cgroup::Error),
    #[error("-initial-policy-stance deny needs a policy engine, which this agent does not have")]
    NoPolicyEngine,
    #[error("the bridge ended")]
    Bridge(#[from] bridge::Error),
}

fn io(operation: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Io { operation, source }
}

/// Runs the agent.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    let options = match Options::parse(args) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("gcs: {error}");
            return ExitCode::from(2);
        }
    };
    let prepared = prepare(&options);
    // Before there can be threads, and before there is a log: libcontainer would fill it in the workers.
    let workers = runtime::fork_parent().map_err(|error| io("forking the worker parent")(error.into()));
    let limited = raise_open_files().map_err(|error| io("raising the limit of open files")(error.into()));
    let log = match open_log(&options) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("gcs: {}", causes::with_causes(&error));
            return ExitCode::FAILURE;
        }
    };
    let result = prepared.and(limited).and_then(|()| run(options, workers?, log.clone()));
    if let Err(error) = &result {
        tracing::error!(error = error as &dyn std::error::Error, "the agent cannot go on");
    }
    log.flush(LAST_WORDS);
    ExitCode::from(u8::from(result.is_err()))
}

fn run(options: Options, workers: runtime::ParentHandle, log: Writer) -> Result<(), Error> {
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(io("starting the runtime"))?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&tokio, serve(options, workers, log))
}

/// What the worker parent inherits, and what would be found out too late.
fn prepare(options: &Options) -> Result<(), Error> {
    if options.deny_by_default {
        return Err(Error::NoPolicyEngine);
    }
    if let Some(pattern) = &options.core_pattern {
        fs::write("/proc/sys/kernel/core_pattern", pattern).map_err(io("setting the core pattern"))?;
    }
    fs::create_dir_all(runtime::STATE_ROOT).map_err(io("creating the runtime's state directory"))?;
    cgroup::memory_beyond(options.memory_reserve)?;
    Ok(())
}

/// A container with its streams takes up to six descriptors of the agent. Not inherited: the worker parent is there already,
/// and what it starts gets the limit that programs expect.
fn raise_open_files() -> nix::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)
}

fn open_log(options: &Options) -> Result<Writer, Error> {
    let sink = match &options.log_file {
        None => File::from(std::io::stderr().as_fd().try_clone_to_owned().map_err(io("opening the log"))?),
        Some(path) => {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(io("creating the log's directory"))?;
            }
            let mut open = fs::OpenOptions::new();
            let open = open.write(true).create(true).truncate(true).mode(0o600);
            open.open(path).map_err(io("opening the log file"))?
        }
    };
    let log = Log::new(options.log_format, options.log_level, sink);
    let (writer, last) = (log.writer(), log.writer());
    // Fails only if a subscriber is set already, and nobody else sets one.
    let _ = tracing::subscriber::set_global_default(log);
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!(panic = %panic, "a task of the agent panicked");
        // It may be the last that is heard of the agent.
        let _ = last.run();
    }));
    Ok(writer)
}

async fn serve(options: Options, workers: runtime::ParentHandle, log: Writer) -> Result<(), Error> {
    let runtime =
        runtime::Client::new(workers.socket).map_err(io("taking over the worker parent's socket"))?;
    let output =
        pipe::Receiver::from_owned_fd_unchecked(workers.output).map_err(io("reading the worker parent"))?;
    tokio::task::spawn_local(log_worker_output(output));
    let events = tokio::task::spawn_local(Rc::clone(&runtime).pump());
    let agent = Agent::new(options, workers.pid, runtime);
    tokio::select! {
        result = bridge::serve(Rc::clone(&agent)) => Ok(result?),
        Err(error) = finish_starting(agent, log) => Err(error),
        // Containers cannot be managed any more; ending the machine is the one honest answer.
        _ = events => Err(Error::Io { operation: "the worker parent ended", source: std::io::ErrorKind::BrokenPipe.into() }),
    }
}

/// Makes what the host need not wait for and watches the machine, once the host has its first answer or does not come
/// for it.
async fn finish_starting(agent: Rc<Agent>, log: Writer) -> Result<(), Error> {
    let _ = tokio::time::timeout(FIRST_ANSWER, agent.answered.notified()).await;
    log.run().map_err(io("starting the log"))?;
    let options = &agent.options;
    let cgroups = agent.cgroups()?.clone();
    tokio::task::spawn_local(log_kernel(options.kmsg_level));
    if !options.disable_time_sync {
        tokio::task::spawn_local(clock::follow());
    }
    tokio::task::spawn_local(cgroup::follow_memory(cgroups.clone(), options.memory_reserve));
    tokio::task::spawn_local(cgroup::follow_agent(cgroups.clone(), options.memory_alarm, agent.started));
    tokio::task::spawn_local(log_oom_kills(Rc::clone(&agent), cgroups));
    Ok(())
}

/// Whatever the single-threaded processes print becomes log lines, so that the log port stays pure JSON.
async fn log_worker_output(output: pipe::Receiver) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    let mut limit = RateLimit::new(WORKER_BURST, WORKER_PAUSE);
    while let Ok(1..) = (&mut output).take(LONGEST_LINE).read_until(b'\n', &mut line).await {
        if let Admission::Log(left_out) = limit.admit() {
            tracing::warn!(left_out, output = %String::from_utf8_lossy(&line).trim_end(), "container worker");
        }
        line.clear();
    }
}

async fn log_oom_kills(agent: Rc<Agent>, cgroups: Cgroups) {
    let killed =
        || agent.containers.all().iter().for_each(|container| container.report_oom_kills(agent.started));
    if let Err(error) = cgroup::follow_kills(&cgroups, killed).await {
        tracing::warn!(%error, "what is killed for want of memory is not logged");
    }
}

async fn log_kernel(level: u8) {
    if let Err(error) = log::forward_kernel_messages(level).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "the kernel's messages are not forwarded");
    }
}
