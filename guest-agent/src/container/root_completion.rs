//! `complete-root BUNDLE STEP`: a hook that runs in a container's mount namespace when everything is mounted and the
//! container's root is not yet the root. It completes what libcontainer does there.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::{Mode, SFlag, makedev, mknodat, umask};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, symlinkat, unlinkat};
use serde_json::{Value, json};

use super::{Error, guest_path};
use crate::causes::with_causes;

/// What the hook is called as.
pub(crate) const NAME: &str = "complete-root";

/// Nodes that every container has, with the numbers that Linux has given them.
pub(super) const DEFAULT_DEVICES: &[(&str, (u64, u64))] = &[
    ("null", (1, 3)),
    ("zero", (1, 5)),
    ("full", (1, 7)),
    ("random", (1, 8)),
    ("urandom", (1, 9)),
    ("tty", (5, 0)),
];

/// Links that every container has.
pub(super) const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("kcore", "/proc/kcore"),
];

/// The terminals of the container's own; what an image has in its place would be another's.
pub(super) const PTMX: (&str, &str) = ("ptmx", "pts/ptmx");

/// What is to be done; each does what those before it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Step {
    /// The working directory is made, as far as that is possible.
    MakeDirectory,
    /// What covers `/dev` is taken away.
    Uncover,
    /// What is missing in `/dev` is made; what is there stays.
    MakeDevices,
}

impl Step {
    /// How it is called on the command line.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::MakeDirectory => "directory",
            Self::Uncover => "uncover",
            Self::MakeDevices => "devices",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::MakeDirectory, Self::Uncover, Self::MakeDevices].into_iter().find(|step| step.word() == word)
    }
}

/// Runs the hook.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    let Ok([bundle, step]) = <[OsString; 2]>::try_from(args) else { return usage() };
    let Some(step) = step.to_str().and_then(Step::from_word) else { return usage() };
    match run(Path::new(&bundle), step) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{NAME}: {}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{NAME}: usage: {NAME} BUNDLE {{directory|uncover|devices}}");
    ExitCode::from(2)
}

fn run(bundle: &Path, step: Step) -> Result<(), Error> {
    // The container's state, of which nothing is needed.
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    let path = bundle.join("config.json");
    let failed = Error::io("reading", &path);
    let spec =
        std::fs::read(&path).and_then(|text| Ok(serde_json::from_slice::<Value>(&text)?)).map_err(failed)?;
    let root = PathBuf::from(spec["root"]["path"].as_str().unwrap_or_default());
    umask(Mode::empty());
    if step >= Step::Uncover {
        let dev = root.join("dev");
        umount2(&dev, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
            .map_err(|errno| Error::io("uncovering", &dev)(errno.into()))?;
    }
    if step >= Step::MakeDevices {
        make_devices(&root, &spec["linux"]["devices"])?;
    }
    // Running there will fail.
    let _ = guest_path::create_dir_in(&root, Path::new(spec["process"]["cwd"].as_str().unwrap_or("/")));
    Ok(())
}

/// Makes the nodes of `named`, the default ones and the links in the `/dev` of `root`.
fn make_devices(root: &Path, named: &Value) -> Result<(), Error> {
    let default = DEFAULT_DEVICES.iter().map(|(name, (major, minor))| {
        json!({"path": format!("/dev/{name}"), "type": "c", "major": major, "minor": minor})
    });
    for device in named.as_array().into_iter().flatten().cloned().chain(default) {
        let path = PathBuf::from(device["path"].as_str().unwrap_or_default());
        make_node(root, &path, &device).map_err(Error::io("making the device", &path))?;
    }
    let dev = Path::new("/dev");
    let directory = guest_path::open_dir_in(root, dev).map_err(Error::io("opening", dev))?;
    // In vain if something is mounted there, which then stays.
    let _ = unlinkat(&directory, PTMX.0, UnlinkatFlags::NoRemoveDir);
    for (name, target) in LINKS.iter().chain([&PTMX]) {
        // Not every kernel has it.
        if *name == "kcore" && !Path::new(target).exists() {
            continue;
        }
        match symlinkat(*target, &directory, *name) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(Error::io("making the link", &dev.join(name))(errno.into())),
        }
    }
    Ok(())
}

fn make_node(root: &Path, path: &Path, device: &Value) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let kind = match device["type"].as_str() {
        Some("b") => SFlag::S_IFBLK,
        Some("p") => SFlag::S_IFIFO,
        _ => SFlag::S_IFCHR,
    };
    let number = |field: &str| device[field].as_u64();
    let id = |field: &str| number(field).and_then(|id| u32::try_from(id).ok());
    let mode = Mode::from_bits_truncate(id("fileMode").unwrap_or(0o666));
    let numbers = makedev(number("major").unwrap_or(0), number("minor").unwrap_or(0));
    guest_path::create_dir_in(root, parent)?;
    let directory = guest_path::open_dir_in(root, parent)?;
    match mknodat(&directory, name, kind, mode, numbers) {
        Err(Errno::EEXIST) => return Ok(()),
        outcome => outcome?,
    }
    let (owner, group) = (id("uid").map(Uid::from_raw), id("gid").map(Gid::from_raw));
    Ok(fchownat(&directory, name, owner, group, AtFlags::AT_SYMLINK_NOFOLLOW)?)
}
