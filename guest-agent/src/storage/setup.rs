//! What was set up at a path for the host, and how it is taken down: that does not depend on what the host repeats.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;

use super::device_mapper::{self, Name};
use super::stack::Stack;
use super::{Error, Storage, blocking, mounts};

/// Mode of the directories that are made for mount points.
const MODE: u32 = 0o700;

/// How something became visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A mounted file system.
    Mounted,
    /// A link to the block device.
    Linked,
}

/// What was set up at a path.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    kind: Kind,
    /// Mapped devices below, from the disk upwards.
    devices: Vec<Name>,
    /// Whether every block is checked against a root hash.
    verified: bool,
}

impl Setup {
    /// Something without mapped devices.
    pub(super) fn plain(kind: Kind) -> Self {
        Self { kind, devices: Vec::new(), verified: false }
    }

    /// Something on mapped devices.
    pub(super) fn on(kind: Kind, stack: Stack, verified: bool) -> Self {
        Self { kind, devices: stack.into_devices(), verified }
    }
}

/// A mount to be made.
pub(super) struct Mount<'a> {
    pub(super) kind: &'a str,
    pub(super) flags: MsFlags,
    pub(super) data: &'a str,
    /// Words for propagation among others.
    pub(super) options: &'a [String],
}

impl Mount<'_> {
    /// A read-only file system that is never written, not even to replay a journal.
    pub(super) fn read_only(kind: &str) -> Mount<'_> {
        Mount { kind, flags: MsFlags::MS_RDONLY, data: "noload", options: &[] }
    }

    /// Makes the directory and mounts `source` there; a directory made in vain is removed again.
    pub(super) fn make(&self, source: &Path, target: &Path) -> Result<(), Error> {
        let existed = target.is_dir();
        mounts::create_directory(target, MODE)?;
        let mounted = mounts::mount(source, target, self.kind, self.flags, self.data).and_then(|()| {
            mounts::propagate(target, self.options).inspect_err(|_| drop(mounts::unmount(target)))
        });
        if mounted.is_err() && !existed {
            // The mount's own error is what matters.
            let _ = fs::remove_dir(target);
        }
        mounted
    }
}

/// Links a block device to `target`.
pub(super) fn link(device: &Path, target: &Path) -> Result<(), Error> {
    mounts::link(device, target, MODE)
}

/// A host's path for something to appear at: absolute and without detours.
pub(super) fn mount_path(text: &str) -> Result<PathBuf, Error> {
    let path = PathBuf::from(text);
    let plain = path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
    if path.is_absolute() && plain && path != Path::new("/") {
        Ok(path)
    } else {
        Err(Error::Invalid(format!("MountPath {text:?} is not an absolute path")))
    }
}

impl Storage {
    /// Remembers what is at `target`. A second mount at one place stacks, and goes with the first.
    pub(super) fn remember(&self, target: PathBuf, setup: Setup) {
        let mut setups = self.setups.borrow_mut();
        match setups.get_mut(&target) {
            Some(earlier) => {
                earlier.devices.extend(setup.devices);
                earlier.verified = setup.verified;
                earlier.kind = setup.kind;
            }
            None => drop(setups.insert(target, setup)),
        }
    }

    /// Whether every block of what is mounted at `path` is checked against a root hash.
    pub(super) fn is_verified(&self, path: &Path) -> bool {
        self.setups.borrow().get(path).is_some_and(|setup| setup.verified)
    }

    /// Takes down what was set up at `target`; `asked` is what the host thinks that was, for a path that is unknown.
    pub(super) async fn take_down(&self, target: PathBuf, asked: Kind) -> Result<(), Error> {
        let setup = self.setups.borrow().get(&target).cloned().unwrap_or_else(|| Setup::plain(asked));
        let path = target.clone();
        blocking(move || setup.take_down(&path)).await?;
        self.setups.borrow_mut().remove(&target);
        Ok(())
    }
}

impl Setup {
    fn take_down(&self, path: &Path) -> Result<(), Error> {
        match self.kind {
            Kind::Linked => mounts::unlink(path)?,
            Kind::Mounted => mounts::unmount_and_remove(path)?,
        }
        // All are tried; the first that stays is the error.
        let removed: Vec<_> = self.devices.iter().rev().map(device_mapper::remove).collect();
        removed.into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(())
    }
}
