//! Containers by id.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use lcow_protocol::ContainerId;

use super::{Container, Error};

/// The table. A container that is being created is in it, so that neither its id nor its bundle can be taken twice.
#[derive(Default)]
pub(crate) struct Containers(RefCell<HashMap<ContainerId, Entry>>);

enum Entry {
    /// In this bundle.
    Creating(PathBuf),
    Ready(Rc<Container>),
}

/// An id and a bundle that are taken while a container is being created. Dropped without [`Reservation::fill`], they are
/// free again.
pub(super) struct Reservation<'a> {
    table: &'a Containers,
    id: ContainerId,
    filled: bool,
}

impl Containers {
    /// Takes an id and a bundle: what is left of a failed `Create` is removed, so that must not be another container's.
    pub(super) fn reserve(&self, id: ContainerId, bundle: &Path) -> Result<Reservation<'_>, Error> {
        let mut table = self.0.borrow_mut();
        if table.contains_key(&id) {
            return Err(Error::Exists(id));
        }
        if let Some((owner, _)) = table.iter().find(|(_, entry)| entry.bundle() == bundle) {
            let text = format!("OciBundlePath {} is container {owner}'s", bundle.display());
            return Err(Error::Invalid(text));
        }
        table.insert(id.clone(), Entry::Creating(bundle.to_owned()));
        Ok(Reservation { table: self, id, filled: false })
    }

    /// The container with that id.
    pub(crate) fn get(&self, id: &ContainerId) -> Result<Rc<Container>, Error> {
        match self.0.borrow().get(id) {
            Some(Entry::Ready(container)) => Ok(Rc::clone(container)),
            Some(Entry::Creating(_)) => Err(Error::Creating(id.clone())),
            None => Err(Error::NotFound(id.clone())),
        }
    }

    /// Whether a container other than `id` has its bundle in `directory`, or is about to.
    pub(super) fn has_others_in(&self, directory: &Path, id: &ContainerId) -> bool {
        let table = self.0.borrow();
        table.iter().any(|(other, entry)| other != id && entry.bundle().parent() == Some(directory))
    }

    /// Forgets a container.
    pub(super) fn remove(&self, id: &ContainerId) {
        self.0.borrow_mut().remove(id);
    }

    /// Every container that is not just being created.
    pub(crate) fn all(&self) -> Vec<Rc<Container>> {
        let table = self.0.borrow();
        let ready = |entry: &Entry| match entry {
            Entry::Creating(_) => None,
            Entry::Ready(container) => Some(Rc::clone(container)),
        };
        table.values().filter_map(ready).collect()
    }

    /// A line per container, for people.
    pub(crate) fn describe(&self) -> Vec<String> {
        let table = self.0.borrow();
        let line = |(id, entry): (&ContainerId, &Entry)| match entry {
            Entry::Creating(_) => format!("container {id}: being created"),
            Entry::Ready(container) => container.describe(),
        };
        table.iter().map(line).collect()
    }
}

impl Entry {
    fn bundle(&self) -> &Path {
        match self {
            Self::Creating(bundle) => bundle,
            Self::Ready(container) => &container.bundle,
        }
    }
}

impl Reservation<'_> {
    /// Puts the finished container in its place.
    pub(super) fn fill(mut self, container: Rc<Container>) {
        self.filled = true;
        self.table.0.borrow_mut().insert(self.id.clone(), Entry::Ready(container));
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if !self.filled {
            self.table.0.borrow_mut().remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ContainerId {
        ContainerId(text.to_owned())
    }

    #[test]
    fn a_bundle_is_taken_when_its_container_begins_to_be_created() {
        let containers = Containers::default();
        let first = containers.reserve(id("first"), Path::new("/pods/p/bundle")).unwrap();
        for path in ["/pods/p/bundle", "/pods/p/bundle/", "/pods/p/./bundle"] {
            let refused = containers.reserve(id("second"), Path::new(path)).err().unwrap();
            assert!(refused.to_string().ends_with("is container first's"), "{refused}");
        }
        assert!(matches!(containers.reserve(id("first"), Path::new("/other")), Err(Error::Exists(_))));
        drop(first);
        containers.reserve(id("second"), Path::new("/pods/p/bundle")).unwrap();
    }

    #[test]
    fn a_directory_is_not_left_while_somebody_is_about_to_use_it() {
        let containers = Containers::default();
        let pod = Path::new("/pods/p");
        let first = containers.reserve(id("first"), &pod.join("one")).unwrap();
        assert!(!containers.has_others_in(pod, &id("first")));
        let second = containers.reserve(id("second"), &pod.join("two")).unwrap();
        assert!(containers.has_others_in(pod, &id("first")));
        drop((first, second));
        assert!(!containers.has_others_in(pod, &id("third")));
    }
}
