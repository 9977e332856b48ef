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
mod options;
mod reap;
mod root;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use kmsg::Kmsg;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::SigSet;
use nix::unistd::Pid;
use options::Options;

use crate::power::{End, Ending};
use crate::sys;

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
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            Kmsg::open().error(&format!("init: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: Vec<OsString>) -> Result<u8, Error> {
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
    cgroups::mount(&kmsg)?;
    loopback::bring_up(&kmsg);
    kmsg.info("init: loading modules");
    modules::load(modules::Stage::Connect, &kmsg);
    kmsg.info("init: asking the host for entropy");
    if let Some(port) = options.entropy_port {
        entropy::seed(port, &kmsg);
    }
    kmsg.info("init: starting the main program");
    let disks = disks::Pending::announce(&kmsg);
    let mut main = start(&options.program)?;
    let mut name = &options.program;
    if let Some(shell) = &options.shell {
        // As long as somebody looks around, the machine stays.
        main = start(shell)?;
        name = shell;
    }
    prepare_the_rest(&disks, &kmsg);
    let status = reap::until_exit(main).map_err(system("reaping"))?;
    let mut ending = Ending::new(if status == 0 { End::Off } else { End::Reset });
    if status == 0 {
        kmsg.info("init: powering off");
    } else {
        last_words::say(name, status, &mut ending, &kmsg);
    }
    let error = ending.end();
    kmsg.error(&format!("init: ending the machine: {error}"));
    // The kernel panics, which is the only end left.
    Ok(status)
}

/// Starts the main program in a session of its own.
fn start(program: &[OsString]) -> Result<Pid, Error> {
    if let Some(child) = sys::fork_single_threaded().map_err(system("forking"))? {
        return Ok(child);
    }
    let kmsg = Kmsg::open();
    if let Err(error) = sys::reset_signals().and_then(|()| nix::unistd::setsid().map(drop)) {
        kmsg.error(&format!("init: preparing the main program: {error}"));
    }
    let source = Command::new(&program[0]).args(&program[1..]).env_clear().env("PATH", PATH).exec();
    kmsg.error(&format!("init: running {}: {source}", program[0].display()));
    std::process::exit(127)
}

/// What is not needed to answer the host is done by a child, while the main program already runs.
fn prepare_the_rest(disks: &disks::Pending, kmsg: &Kmsg) {
    match sys::fork_single_threaded() {
        Ok(Some(_)) => {}
        Ok(None) => {
            disks.work_off(kmsg);
            modules::load(modules::Stage::Later, kmsg);
            std::process::exit(0);
        }
        Err(error) => kmsg.warning(&format!("init: forking the child for disks and modules: {error}")),
    }
}
