//! What PID 1 mounts (spec section 14.3, steps 3 to 8).

use std::fs;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

/// A mount that failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("mounting {source} on {target}: {error}", source = .mount.source, target = .mount.target)]
    Mount { mount: &'static Mount, error: Errno },
    #[error("creating {path}: {error}", path = .path.display())]
    Create { path: PathBuf, error: std::io::Error },
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Mount {
    source: &'static str,
    target: &'static str,
    kind: &'static str,
    flags: MsFlags,
    data: &'static str,
    /// The kernel may have done it already.
    busy_is_fine: bool,
}

const NOSUID_NOEXEC: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC);
const NODEV_NOSUID_NOEXEC: MsFlags = NOSUID_NOEXEC.union(MsFlags::MS_NODEV);

const fn mounted(
    source: &'static str,
    target: &'static str,
    kind: &'static str,
    flags: MsFlags,
    data: &'static str,
) -> Mount {
    Mount { source, target, kind, flags, data, busy_is_fine: false }
}

const TABLE: &[Mount] = &[
    Mount { busy_is_fine: true, ..mounted("dev", "/dev", "devtmpfs", NOSUID_NOEXEC, "") },
    mounted("proc", "/proc", "proc", NODEV_NOSUID_NOEXEC, ""),
    mounted("run", "/run", "tmpfs", NODEV_NOSUID_NOEXEC, "mode=0755"),
    mounted("tmp", "/tmp", "tmpfs", NODEV_NOSUID_NOEXEC, "mode=1777"),
    mounted("shm", "/dev/shm", "tmpfs", NODEV_NOSUID_NOEXEC, "mode=1777"),
    mounted("devpts", "/dev/pts", "devpts", NOSUID_NOEXEC, "mode=0620,ptmxmode=0666,gid=5"),
    mounted("sysfs", "/sys", "sysfs", NODEV_NOSUID_NOEXEC, ""),
];

/// Links that programs expect in `/dev`.
const LINKS: &[(&str, &str)] = &[
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

const OVERLAYS: &[(&str, MsFlags)] =
    &[("/etc", NODEV_NOSUID_NOEXEC), ("/var", MsFlags::MS_NODEV.union(MsFlags::MS_NOSUID))];

/// Mounts everything in the table and makes the links.
pub(super) fn mount_all() -> Result<(), Error> {
    for mount in TABLE {
        create_directory(mount.target)?;
        mount_one(mount)?;
    }
    for (target, link) in LINKS {
        match symlink(target, link) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Error::Create { path: link.into(), error });
            }
            _ => {}
        }
    }
    Ok(())
}

fn mount_one(entry: &'static Mount) -> Result<(), Error> {
    match mount(Some(entry.source), entry.target, Some(entry.kind), entry.flags, Some(entry.data)) {
        Err(Errno::EBUSY) if entry.busy_is_fine => Ok(()),
        result => result.map_err(|error| Error::Mount { mount: entry, error }),
    }
}

/// A root that is read-only may have the directory already, and then that is all there is to it.
fn create_directory(path: &str) -> Result<(), Error> {
    match fs::DirBuilder::new().mode(0o755).create(path) {
        Err(error) if !fs::exists(path).unwrap_or(false) => Err(Error::Create { path: path.into(), error }),
        _ => Ok(()),
    }
}

static OVER: Mount = mounted("over", "/run/over", "tmpfs", NODEV_NOSUID_NOEXEC, "size=40%,mode=0755");
static OVERLAY: Mount = mounted("overlay", "/etc or /var", "overlay", MsFlags::empty(), "");

/// Puts overlays in memory over the directories that programs expect to be writable (`-w`).
pub(super) fn overlay_writable_directories() -> Result<(), Error> {
    create_directory(OVER.target)?;
    mount_one(&OVER)?;
    for (target, flags) in OVERLAYS {
        let base = format!("{}{target}", OVER.target);
        for directory in [base.clone(), format!("{base}/upper"), format!("{base}/work")] {
            create_directory(&directory)?;
        }
        let data = format!("lowerdir={target},upperdir={base}/upper,workdir={base}/work");
        mount(Some("overlay"), *target, Some("overlay"), *flags, Some(data.as_str()))
            .map_err(|error| Error::Mount { mount: &OVERLAY, error })?;
    }
    Ok(())
}
