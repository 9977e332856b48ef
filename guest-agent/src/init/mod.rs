//! PID 1 (spec sections 14.2 and 14.3): prepares the machine, starts one program, and from then on only reaps.
//!
//! It never runs agent code. When the program ends, so does the machine: with status 0 it is powered off, otherwise
//! the reason is said on the console and the log port and the machine is reset, which hosts can tell apart. It does not
//! depend on `panic=-1`, and it never just hangs.

mod cgroups;
mod console;
mod disks;
mod entropy;
mod kmsg;
mod last_words;
mod loopback;
mod modules;
mod mounts;
mod nvidia;
mod options;
mod reap;
mod root;

use std::ffi::OsString;
use std::fs;
use std::process::ExitCode;

use kmsg::Kmsg;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::SigSet;
use nix::unistd::Pid;
use options::Options;

use crate::power::{End, Ending};
use crate::{multicall, sys};

/// The environment of the main program.
const PATH: &str = "/sbin:/usr/sbin:/bin:/usr/bin";

/// Soft and hard limits of open files.
const OPEN_FILES: (u64, u64) = (1024, 1 << 20);

/// Why the machine cannot be prepared. All of it is fatal, since a machine without these cannot run anything.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{operation}: {source}")]
    System { operation: &'static str, source: nix::Error },
    #[error(transparent)]
    Mount(#[from] mounts::Error),
    #[error(transparent)]
    Cgroups(#[from] cgroups::Error),
    #[error(transparent)]
    Options(#[from] options::Error),
}

/// Names the operation that failed.
fn system(operation: &'static str) -> impl FnOnce(nix::Error) -> Error {
    move |source| Error::System { operation, source }
}

/// Runs PID 1.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    match run(args) {
        Ok(status) => status,
        Err(error) => {
            Kmsg::open().error(&format!("init: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: Vec<OsString>) -> Result<ExitCode, Error> {
    SigSet::all().thread_set_mask().map_err(system("blocking signals"))?;
    root::make_pivotable()?;
    setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES.0, OPEN_FILES.1).map_err(system("limiting open files"))?;
    mounts::mount_all()?;
    let kmsg = Kmsg::open();
    console::connect(&kmsg);
    // The kernel's time stamps make a boot profile of these.
    kmsg.info("init: file systems are mounted");
    let options = Options::parse(args)?;
    if options.writable_overlays {
        mounts::overlay_writable_directories()?;
    }
    mount_cgroups(&kmsg)?;
    kmsg.info("init: loading modules");
    modules::load(modules::Stage::Connect, &kmsg);
    kmsg.info("init: asking the host for entropy");
    if let Some(port) = options.entropy_port {
        entropy::seed(port, &kmsg);
    }
    kmsg.info("init: starting the main program");
    let disks = disks::Pending::announce(&kmsg);
    let mut name = &options.program;
    let mut main = start()?;
    if let (Some(shell), Started::Parent(_)) = (&options.shell, &main) {
        // As long as somebody looks around, the machine stays.
        name = shell;
        main = start()?;
    }
    match main {
        Started::Child => Ok(become_program(name, kmsg)),
        Started::Parent(main) => {
            prepare_the_rest(&disks, &kmsg);
            look_after(main, name, &kmsg)
        }
    }
}

/// Reaps until the main program has ended, then ends the machine.
fn look_after(main: Pid, name: &[OsString], kmsg: &Kmsg) -> Result<ExitCode, Error> {
    let status = reap::until_exit(main).map_err(system("reaping"))?;
    let mut ending = Ending::new(if status == 0 { End::Off } else { End::Reset });
    if status == 0 {
        kmsg.info("init: powering off");
    } else {
        last_words::say(name, status, &mut ending, kmsg);
    }
    let error = ending.end();
    kmsg.error(&format!("init: ending the machine: {error}"));
    // The kernel panics, which is the only end left.
    Ok(ExitCode::from(status))
}

/// Mounts cgroups without the grace periods of RCU that the kernel takes its time for otherwise, 10 ms in all.
fn mount_cgroups(kmsg: &Kmsg) -> Result<(), Error> {
    const EXPEDITED: &str = "/sys/kernel/rcu_expedited";
    // Fails on kernels that do without; then it takes the time it takes.
    let _ = fs::write(EXPEDITED, "1");
    let mounted = cgroups::mount(kmsg);
    let _ = fs::write(EXPEDITED, "0");
    Ok(mounted?)
}

/// Who goes on after the fork.
enum Started {
    /// PID 1, with this child.
    Parent(Pid),
    /// The main program to be.
    Child,
}

fn start() -> Result<Started, Error> {
    let child = sys::fork_single_threaded().map_err(system("forking"))?;
    Ok(child.map_or(Started::Child, Started::Parent))
}

/// Runs the main program in a session and with an environment of its own.
fn become_program(program: &[OsString], kmsg: Kmsg) -> ExitCode {
    // Of SIGPIPE `exec` takes care; our own programs want it ignored, as the start of every Rust program makes it.
    if let Err(error) = SigSet::empty().thread_set_mask().and_then(|()| nix::unistd::setsid().map(drop)) {
        kmsg.error(&format!("init: preparing the main program: {error}"));
    }
    sys::replace_environment("PATH", PATH);
    drop(kmsg);
    multicall::exec(&program[0], &program[1..]).unwrap_or_else(|source| {
        Kmsg::open().error(&format!("init: running {}: {source}", program[0].display()));
        ExitCode::from(127)
    })
}

/// What is not needed to answer the host is done by a child, while the main program already runs.
fn prepare_the_rest(disks: &disks::Pending, kmsg: &Kmsg) {
    let forked = sys::fork_single_threaded();
    match forked {
        Ok(Some(_)) => return,
        // The agent first: on one processor they take turns.
        Ok(None) => sys::be_nice(),
        Err(error) => kmsg.warning(&format!("init: forking the child for disks and modules: {error}")),
    }
    loopback::bring_up(kmsg);
    disks.work_off(kmsg);
    modules::load(modules::Stage::Later, kmsg);
    // With the hurry over, and their drivers there.
    sys::be_ordinary();
    let started = nvidia::start(kmsg);
    if forked.is_ok() {
        nvidia::follow(started, kmsg);
        std::process::exit(0);
    }
}
