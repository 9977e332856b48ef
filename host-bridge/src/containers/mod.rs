//! Containers on this machine: one directory for each, by its name.
//!
//! `NAME/record.json` tells what it is, `NAME/scratch.img` holds what it wrote, and `NAME/lock` is locked by the process
//! that runs it for as long as it does, so that a killed one shows. Names are taken, listed and given up under a lock of
//! the whole directory.

mod error;
mod name;
mod record;
mod reservation;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::lock::Lock;

pub use error::ContainersError;
pub use name::{BadName, ContainerName};
pub use record::{Record, State};
pub use reservation::{Reservation, Wanted, random_id};

const RECORD: &str = "record.json";
const LOCK: &str = "lock";
const SCRATCH: &str = "scratch.img";

/// The containers in a directory.
#[derive(Clone, Debug)]
pub struct Containers {
    root: PathBuf,
}

/// A container and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What it is.
    pub record: Record,
    /// How it is now.
    pub condition: Condition,
}

/// All containers there are.
#[derive(Debug, Default)]
pub struct Listing {
    /// By name.
    pub containers: Vec<Listed>,
    /// What is wrong with the records that cannot be read. Nothing is known about those containers.
    pub damaged: Vec<ContainersError>,
}

/// How a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It is being started.
    Starting,
    /// It runs.
    Running,
    /// It ended with this status.
    Exited(u8),
    /// Its `lcow` was killed, and it with it.
    Dead,
}

impl Condition {
    fn of(state: State, held: bool) -> Self {
        match (state, held) {
            (State::Exited { status }, _) => Self::Exited(status),
            (State::Created, true) => Self::Starting,
            (State::Running, true) => Self::Running,
            (State::Created | State::Running, false) => Self::Dead,
        }
    }
}

impl Containers {
    /// Those in `root`; the directory is made when something is put there.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Takes a name, or makes one up, for a container that this process will run.
    pub fn reserve(&self, wanted: Wanted) -> Result<Reservation, ContainersError> {
        let _alone = self.lock()?;
        self.forget_dead()?;
        let name = match &wanted.name {
            Some(name) if self.directory(name).exists() => {
                return Err(ContainersError::Taken { name: name.clone() });
            }
            Some(name) => name.clone(),
            None => ContainerName::generate(|name| self.directory(name).exists())?,
        };
        Reservation::create(self.clone(), self.directory(&name), name, wanted)
    }

    /// All containers.
    pub fn list(&self) -> Result<Listing, ContainersError> {
        let mut listing = Listing::default();
        if !self.root.exists() {
            return Ok(listing);
        }
        let _alone = self.lock()?;
        self.forget_dead()?;
        for directory in self.directories()? {
            let held = is_held(&directory)?;
            match Record::read(&directory.join(RECORD)) {
                Ok(Some(record)) => {
                    let condition = Condition::of(record.state, held);
                    listing.containers.push(Listed { record, condition });
                }
                Ok(None) => {}
                Err(error @ ContainersError::Record { .. }) => listing.damaged.push(error),
                Err(error) => return Err(error),
            }
        }
        listing.containers.sort_by(|a, b| a.record.name.cmp(&b.record.name));
        Ok(listing)
    }

    /// Removes a container that does not run, with everything it wrote.
    pub fn remove(&self, name: &ContainerName) -> Result<(), ContainersError> {
        let unknown = || ContainersError::Unknown { name: name.clone() };
        if !self.root.exists() {
            return Err(unknown());
        }
        let _alone = self.lock()?;
        let directory = self.directory(name);
        if !directory.is_dir() {
            return Err(unknown());
        }
        if is_held(&directory)? {
            return Err(ContainersError::Running { name: name.clone() });
        }
        remove_directory(&directory)
    }

    /// Removes what nobody will ask for: containers that were to go with their end or never ran, and directories without
    /// a record, when the process that held them is gone. The caller holds the lock.
    fn forget_dead(&self) -> Result<(), ContainersError> {
        for directory in self.directories()? {
            // A damaged record tells nothing; what is beside it may be worth something.
            let Ok(record) = Record::read(&directory.join(RECORD)) else { continue };
            let goes = record.is_none_or(|record| record.remove_at_end || record.state == State::Created);
            if goes && !is_held(&directory)? {
                remove_directory(&directory)?;
            }
        }
        Ok(())
    }

    fn directory(&self, name: &ContainerName) -> PathBuf {
        self.root.join(name.as_str())
    }

    fn directories(&self) -> Result<Vec<PathBuf>, ContainersError> {
        let failed = || ContainersError::io("list", &self.root);
        let mut directories = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(failed())? {
            let path = entry.map_err(failed())?.path();
            if path.is_dir() {
                directories.push(path);
            }
        }
        Ok(directories)
    }

    fn lock(&self) -> Result<Lock, ContainersError> {
        fs::create_dir_all(&self.root).map_err(ContainersError::io("create", &self.root))?;
        // Beside the directories; no container is called so, since names do not start with a dot.
        let path = self.root.join(".lock");
        Lock::wait(&path).map_err(ContainersError::io("lock", &path))
    }
}

/// Whether a process runs the container.
fn is_held(directory: &Path) -> Result<bool, ContainersError> {
    let path = directory.join(LOCK);
    Lock::try_now(&path).map(|lock| lock.is_none()).map_err(ContainersError::io("lock", &path))
}

fn remove_directory(directory: &Path) -> Result<(), ContainersError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ContainersError::io("remove", directory)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn containers() -> (tempfile::TempDir, Containers) {
        let directory = tempfile::tempdir().expect("directory");
        let containers = Containers::new(directory.path().join("containers"));
        (directory, containers)
    }

    fn wanted(name: Option<&str>, remove_at_end: bool) -> Wanted {
        Wanted {
            name: name.map(|name| name.parse().expect("a name")),
            id: random_id().expect("random"),
            image: "busybox".into(),
            image_digest: None,
            layers: Vec::new(),
            command: vec!["sh".into()],
            remove_at_end,
        }
    }

    fn conditions(containers: &Containers) -> Vec<(String, Condition)> {
        let list = containers.list().expect("list").containers;
        list.into_iter().map(|listed| (listed.record.name.to_string(), listed.condition)).collect()
    }

    #[test]
    fn a_name_belongs_to_one_container_until_it_is_removed() {
        let (_directory, containers) = containers();
        let mut first = containers.reserve(wanted(Some("web"), false)).expect("free");
        let again = || containers.reserve(wanted(Some("web"), true)).map(drop);
        assert!(matches!(again(), Err(ContainersError::Taken { .. })));
        assert_eq!(conditions(&containers), [("web".to_owned(), Condition::Starting)]);
        first.running().expect("running");
        assert_eq!(conditions(&containers), [("web".to_owned(), Condition::Running)]);
        let name: ContainerName = "web".parse().expect("a name");
        assert!(matches!(containers.remove(&name), Err(ContainersError::Running { .. })));
        first.exited(42).expect("exited");
        assert!(matches!(again(), Err(ContainersError::Taken { .. })));
        assert_eq!(conditions(&containers), [("web".to_owned(), Condition::Exited(42))]);
        containers.remove(&name).expect("removed");
        assert!(matches!(containers.remove(&name), Err(ContainersError::Unknown { .. })));
        again().expect("free again");
    }

    #[test]
    fn a_container_that_never_ran_or_is_to_go_leaves_nothing() {
        let (_directory, containers) = containers();
        drop(containers.reserve(wanted(None, false)).expect("reserved"));
        let mut gone = containers.reserve(wanted(None, true)).expect("reserved");
        gone.running().expect("running");
        gone.exited(0).expect("exited");
        assert_eq!(containers.directories().expect("list"), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_killed_one_is_dead_and_one_that_was_to_go_is_cleaned_up() {
        let (_directory, containers) = containers();
        for (name, remove_at_end) in [("kept", false), ("gone", true)] {
            let mut reservation = containers.reserve(wanted(Some(name), remove_at_end)).expect("reserved");
            reservation.running().expect("running");
            reservation.vanish();
        }
        containers.reserve(wanted(Some("interrupted"), false)).expect("reserved").vanish();
        fs::create_dir(containers.root.join("half-made")).expect("directory");
        assert_eq!(conditions(&containers), [("kept".to_owned(), Condition::Dead)]);
        assert_eq!(containers.directories().expect("list").len(), 1);
    }

    #[test]
    fn a_damaged_record_hides_nobody_else_and_can_be_removed() {
        let (_directory, containers) = containers();
        for name in ["good", "bad"] {
            let mut reservation = containers.reserve(wanted(Some(name), false)).expect("reserved");
            reservation.running().expect("running");
            reservation.exited(1).expect("exited");
        }
        let bad: ContainerName = "bad".parse().expect("a name");
        fs::write(containers.directory(&bad).join(RECORD), b"{\"id\":").expect("written");
        let listing = containers.list().expect("list");
        assert_eq!(listing.containers.len(), 1);
        assert!(listing.damaged[0].to_string().contains("bad"), "{:?}", listing.damaged);
        containers.remove(&bad).expect("removed");
        assert!(containers.list().expect("list").damaged.is_empty());
    }

    #[test]
    fn many_at_once_get_names_of_their_own() {
        let (_directory, containers) = containers();
        let named = std::thread::scope(|scope| {
            let all: Vec<_> =
                (0..8).map(|_| scope.spawn(|| containers.reserve(wanted(Some("one"), false)).ok())).collect();
            all.into_iter().filter_map(|thread| thread.join().expect("thread")).collect::<Vec<_>>()
        });
        assert_eq!(named.len(), 1);
    }
}
