//! Moves an interface into another network namespace, in which its name may be taken: once `eth0` has gone to its pod, the
//! next adapter of the machine is called `eth0`, too.

use std::fs::File;
use std::io;

use nix::sched::{CloneFlags, setns};

use super::configure::index;
use super::netlink::Netlink;
use super::{Error, Place};

/// Names that are tried after the interface's own: `eth` and a number below this.
const NAMES: u32 = 1000;

/// What an interface is called that came back from a pod when its name was taken, and one on its way.
const MAKESHIFT: [&str; 2] = ["dev", "moving"];

/// Moves the interface to the process's namespace, which becomes the calling thread's; returns its name there.
pub(super) fn to(pid: u32, name: &str) -> Result<String, Error> {
    let path = Place::Process(pid).namespace();
    let namespace = File::open(&path).map_err(Error::step("opening", &path))?;
    let netlink = Netlink::open().map_err(Error::step("opening a netlink socket for", name))?;
    let here = index(name)?;
    // Numbers of interfaces are used once, so nobody else has this name.
    let passing = format!("moving{here}");
    netlink.set_up(here, false).map_err(Error::step("taking down", name))?;
    netlink.rename(here, &passing).map_err(Error::step("renaming for its move", name))?;
    netlink.move_to(here, pid).map_err(|error| {
        // For people who look; adapters are not found by their names.
        let _ = netlink.rename(here, name);
        Error::step("moving to its pod", name)(error)
    })?;
    setns(&namespace, CloneFlags::CLONE_NEWNET)
        .map_err(|error| Error::step("entering", &path)(error.into()))?;
    settle(&passing, name)
}

/// Gives the interface its name, or the first one like `eth0` that is free.
fn settle(passing: &str, name: &str) -> Result<String, Error> {
    let netlink = Netlink::open().map_err(Error::step("opening a netlink socket for", name))?;
    let there = index(passing)?;
    // The kernel's and our own makeshift names do not stay.
    let own = Some(name.to_owned()).filter(|name| !MAKESHIFT.iter().any(|prefix| name.starts_with(prefix)));
    let others = (0..NAMES).map(|number| format!("eth{number}"));
    for candidate in own.into_iter().chain(others) {
        match netlink.rename(there, &candidate) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            renamed => return renamed.map(|()| candidate).map_err(Error::step("naming in its pod", name)),
        }
    }
    Err(Error::Invalid(format!("every name for {name} is taken in its pod")))
}
