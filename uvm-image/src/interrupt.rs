//! What must not stay behind when somebody ends the program before it is done.
//!
//! Whoever is told to end removes its own; what one leaves behind that was killed goes with the next one that works in
//! the same place, which tells it by a lock that nobody holds.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

/// How often a directory is removed into which another thread or program still writes.
const TRIES: usize = 100;

/// The file in a directory that is locked as long as somebody works there.
const LOCK: &str = "in-use";

/// The unfinished work of a process; copies are the same.
#[derive(Debug, Clone, Default)]
pub struct Unfinished {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    paths: BTreeSet<PathBuf>,
    /// Programs that work for us, each with its own in a process group.
    groups: BTreeSet<u32>,
}

/// While this exists the program is not ended halfway: its signals wait.
#[must_use]
pub struct Held<'a>(MutexGuard<'a, State>);

impl Unfinished {
    /// Lets nobody end the program until the result is dropped.
    pub fn hold(&self) -> Held<'_> {
        Held(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A directory below `parent` with a name of its own that begins with `prefix`. Those of killed programs go.
    pub fn directory(&self, prefix: &str, parent: &Path) -> io::Result<Directory> {
        sweep(prefix, parent);
        let mut held = self.hold();
        let directory = TempDir::with_prefix_in(prefix, parent).map_err(plain)?;
        let lock = lock(directory.path())?;
        held.0.paths.insert(directory.path().to_owned());
        drop(held);
        Ok(Directory { _lock: lock, temporary: directory, unfinished: self.clone() })
    }

    /// Starts `command`, which ends with this program when that is interrupted, and all that it has started, too.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Running> {
        let mut held = self.hold();
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        let child = command.spawn()?;
        held.0.groups.insert(child.id());
        drop(held);
        Ok(Running { child, unfinished: self.clone() })
    }

    /// Ends and removes everything, and whatever is made there meanwhile. For the last moment of a program: what other
    /// threads do with [`Unfinished`] from now on waits until the result is dropped.
    pub fn remove(&self) -> Held<'_> {
        let held = self.hold();
        held.0.groups.iter().for_each(|group| kill(*group));
        for path in &held.0.paths {
            // There is nobody left to tell.
            let _ = remove(path);
        }
        held
    }
}

/// A program that ends when this one is interrupted.
#[derive(Debug)]
pub struct Running {
    child: Child,
    unfinished: Unfinished,
}

impl Running {
    /// Waits for its end.
    pub fn wait(mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait();
        self.unfinished.hold().0.groups.remove(&self.child.id());
        status
    }

    /// How it has ended, if it has.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        if status.is_some() {
            self.unfinished.hold().0.groups.remove(&self.child.id());
        }
        Ok(status)
    }

    /// Ends it and what it has started, unless it has ended.
    pub fn end(&mut self) {
        if self.unfinished.hold().0.groups.contains(&self.child.id()) {
            kill(self.child.id());
            // Without process groups only the program itself ends.
            let _ = self.child.kill();
            let _ = self.child.wait();
            self.unfinished.hold().0.groups.remove(&self.child.id());
        }
    }
}

#[cfg(unix)]
fn kill(group: u32) {
    use rustix::process::{Pid, Signal, kill_process_group};
    if let Some(group) = i32::try_from(group).ok().and_then(Pid::from_raw) {
        // It may have ended.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Without process groups programs find out by their output, which nobody takes any more.
#[cfg(not(unix))]
fn kill(_group: u32) {}

/// Removes `path` with all that is in it; programs that are just being ended may still write there.
pub fn remove(path: &Path) -> io::Result<()> {
    let mut result = Ok(());
    for _ in 0..TRIES {
        result = fs::remove_dir_all(path);
        if result.is_ok() || !path.exists() {
            return Ok(());
        }
    }
    result
}

/// `error` without the name of a directory that nobody has asked for.
fn plain(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::Other => error,
        kind => kind.into(),
    }
}

/// Locks the new directory `path`. The lock has its name only once it is locked: until then nobody takes it for a dead one.
fn lock(path: &Path) -> io::Result<File> {
    let new = path.join("new");
    let file = File::create(&new)?;
    file.lock()?;
    fs::rename(new, path.join(LOCK))?;
    Ok(file)
}

/// Removes directories in `parent` that begin with `prefix` and that programs have left that were killed.
fn sweep(prefix: &str, parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_one = entry.file_name().to_string_lossy().starts_with(prefix)
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_one {
            continue;
        }
        let lock = File::options().append(true).open(entry.path().join(LOCK));
        if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
            // What cannot be removed is in nobody's way.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A directory that goes when it is dropped, or when the program is ended.
#[derive(Debug)]
pub struct Directory {
    _lock: File,
    temporary: TempDir,
    unfinished: Unfinished,
}

impl Directory {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.unfinished.hold().0.paths.remove(self.temporary.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_unfinished_goes_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let unfinished = Unfinished::default();
        let one = unfinished.directory("one-", root.path()).unwrap();
        let kept = unfinished.directory("two-", root.path()).unwrap();
        fs::write(one.path().join("file"), "x").unwrap();
        let path = kept.path().to_owned();
        drop(kept);
        assert!(!path.exists(), "a dropped directory");
        fs::create_dir(&path).unwrap();
        drop(unfinished.remove());
        assert!(!one.path().exists());
        assert!(path.exists(), "no longer ours");
    }

    #[test]
    fn what_killed_programs_leave_goes_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let unfinished = Unfinished::default();
        let alive = unfinished.directory("one-", root.path()).unwrap();
        let dead = root.path().join("one-dead");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        fs::write(dead.join("large"), "x").unwrap();
        // Not ours: another prefix, no lock, no directory.
        for name in ["two-x", "one-x"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        fs::write(root.path().join("two-x").join(LOCK), "").unwrap();
        fs::write(root.path().join("one-file"), "").unwrap();
        let next = unfinished.directory("one-", root.path()).unwrap();
        assert!(!dead.exists());
        assert!(alive.path().exists() && next.path().exists());
        for name in ["two-x", "one-x", "one-file"] {
            assert!(root.path().join(name).exists(), "{name}");
        }
    }
}
