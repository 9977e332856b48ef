//! Makes the root file system one that containers can leave behind with `pivot_root`.
//!
//! The initial root of an initramfs has no parent mount, so the kernel refuses to pivot away from it. Binding it
//! over itself and moving into the bind gives it one, without copying a single file.

use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
use nix::unistd::{chdir, chroot};

use super::{Error, system};

/// From `linux/magic.h`; `nix` knows only the other one that an initramfs can be.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

/// Moves to a bind of the root when that is an initramfs; anything else can be pivoted as it is.
pub(super) fn make_pivotable() -> Result<(), Error> {
    let kind = statfs("/").map_err(system("looking at the root file system"))?.filesystem_type();
    if kind != RAMFS_MAGIC && kind != TMPFS_MAGIC {
        return Ok(());
    }
    let none: Option<&str> = None;
    let staging = "/run";
    mount(Some("/"), staging, none, MsFlags::MS_BIND, none).map_err(system("binding the root"))?;
    chdir(staging).map_err(system("entering the new root"))?;
    mount(Some("."), "/", none, MsFlags::MS_MOVE, none).map_err(system("moving the new root"))?;
    chroot(".").map_err(system("changing the root"))?;
    chdir("/").map_err(system("entering the new root"))
}
