//! Mapped devices: parts of persistent memory, layers checked by hash, encrypted scratch disks (spec section 9.1).
//!
//! Everything here blocks.

mod message;
mod name;
mod target;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use message::{Command, Message};
use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

pub(crate) use name::{Name, Origin};
pub(crate) use target::Target;

use crate::sys;

const CONTROL: &str = "/dev/mapper/control";
/// The control device's number (`Documentation/admin-guide/devices.txt`); opening it loads the driver.
const CONTROL_NUMBER: (u64, u64) = (10, 236);

/// How long the device below may take to become usable.
const PATIENCE: Duration = Duration::from_secs(5);
const CREATE_PAUSE: Duration = Duration::from_millis(100);
/// How often a device that is in use is tried to be removed, and the pause between.
const REMOVE_ATTEMPTS: u32 = 10;
const REMOVE_PAUSE: Duration = Duration::from_millis(10);

/// A mapped device that could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The device mapper refused.
    #[error("{operation} the mapped device {name}")]
    Command {
        /// What was tried.
        operation: &'static str,
        /// With which device.
        name: Name,
        /// Why.
        #[source]
        source: Errno,
    },
    /// The kernel has no device mapper, or speaks another version.
    #[error("using the device mapper at {CONTROL}")]
    Unavailable(#[source] io::Error),
    /// The node.
    #[error("making {path}", path = .path.display())]
    Node {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The control device.
struct Control(File);

impl Control {
    /// Opens it, which loads the driver if need be, and checks that the kernel speaks our version.
    fn open() -> Result<Self, Error> {
        fs::create_dir_all(name::DIRECTORY).map_err(Error::Unavailable)?;
        let (major, minor) = CONTROL_NUMBER;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        match mknod(CONTROL, SFlag::S_IFCHR, mode, makedev(major, minor)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(Error::Unavailable(error.into())),
        }
        let file = OpenOptions::new().read(true).write(true).open(CONTROL).map_err(Error::Unavailable)?;
        let control = Self(file);
        control
            .send(Command::Version, &mut Message::new(None))
            .map_err(|error| Error::Unavailable(error.into()))?;
        Ok(control)
    }

    fn send(&self, command: Command, message: &mut Message) -> nix::Result<()> {
        sys::device_mapper::command(self.0.as_fd(), command.number(), message.bytes())
    }

    /// One attempt; what it made before it failed is removed again.
    fn create(&self, name: &Name, target: &Target) -> Result<(), Error> {
        let failed = |operation| move |source| Error::Command { operation, name: name.clone(), source };
        let mut created = Message::new(Some(name));
        self.send(Command::Create, &mut created).map_err(failed("creating"))?;
        let activated = self
            .send(Command::LoadTable, &mut Message::with_table(name, target))
            .map_err(failed("loading the table of"))
            .and_then(|()| {
                self.send(Command::Resume, &mut Message::new(Some(name))).map_err(failed("activating"))
            })
            .and_then(|()| make_node(&name.node(), created.device()));
        if activated.is_err() {
            // The first error is the one to report.
            let _ = self.remove(name);
        }
        activated
    }

    /// A device that does not exist is fine; one that is in use may be let go of in a moment.
    fn remove(&self, name: &Name) -> Result<(), Error> {
        let mut attempt = 1;
        loop {
            match self.send(Command::Remove, &mut Message::new(Some(name))) {
                Ok(()) | Err(Errno::ENXIO) => return Ok(()),
                Err(Errno::EBUSY) if attempt < REMOVE_ATTEMPTS => thread::sleep(REMOVE_PAUSE),
                Err(source) => {
                    return Err(Error::Command { operation: "removing", name: name.clone(), source });
                }
            }
            attempt += 1;
        }
    }
}

/// Replaces what an earlier device of that name may have left.
fn make_node(path: &Path, device: u64) -> Result<(), Error> {
    let failed = |source: io::Error| Error::Node { path: path.to_owned(), source };
    remove_node(path).map_err(failed)?;
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    mknod(path, SFlag::S_IFBLK, mode, device).map_err(|error| failed(error.into()))
}

fn remove_node(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What may pass by itself: the device below is still being announced, or somebody looks at it.
fn may_pass(error: &Error) -> bool {
    let Error::Command { source, .. } = error else { return false };
    matches!(source, Errno::EBUSY | Errno::ENOENT | Errno::ENXIO | Errno::ENODEV)
}

/// Creates and activates a device; returns its node. Tries for up to five seconds while the device below is not ready.
pub(crate) fn create(name: &Name, target: &Target) -> Result<PathBuf, Error> {
    let control = Control::open()?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match control.create(name, target) {
            Ok(()) => return Ok(name.node()),
            Err(error) if may_pass(&error) && Instant::now() < deadline => thread::sleep(CREATE_PAUSE),
            Err(error) => return Err(error),
        }
    }
}

/// Removes a device. One that does not exist is fine.
pub(crate) fn remove(name: &Name) -> Result<(), Error> {
    let path = name.node();
    remove_node(&path).map_err(|source| Error::Node { path, source })?;
    Control::open()?.remove(name)
}
