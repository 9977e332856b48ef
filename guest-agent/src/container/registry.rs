//! Containers by id.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use lcow_protocol::ContainerId;

use super::{Container, Error};

/// The table. A container that is being created is in it, so that its id cannot be taken twice.
#[derive(Default)]
pub(crate) struct Containers(RefCell<HashMap<ContainerId, Entry>>);

enum Entry {
    Creating,
    Ready(Rc<Container>),
}

/// An id that is taken while a container is being created. Dropped without [`Reservation::fill`], the id is
/// free again.
pub(super) struct Reservation<'a> {
    table: &'a Containers,
    id: ContainerId,
    filled: bool,
}

impl Containers {
    /// Takes an id.
    pub(super) fn reserve(&self, id: ContainerId) -> Result<Reservation<'_>, Error> {
        let mut table = self.0.borrow_mut();
        if table.contains_key(&id) {
            return Err(Error::Exists(id));
        }
        table.insert(id.clone(), Entry::Creating);
        Ok(Reservation { table: self, id, filled: false })
    }

    /// The container with that id.
    pub(crate) fn get(&self, id: &ContainerId) -> Result<Rc<Container>, Error> {
        match self.0.borrow().get(id) {
            Some(Entry::Ready(container)) => Ok(Rc::clone(container)),
            Some(Entry::Creating) => Err(Error::Creating(id.clone())),
            None => Err(Error::NotFound(id.clone())),
        }
    }

    /// Forgets a container.
    pub(super) fn remove(&self, id: &ContainerId) {
        self.0.borrow_mut().remove(id);
    }

    /// Every container that is not just being created.
    pub(crate) fn all(&self) -> Vec<Rc<Container>> {
        let table = self.0.borrow();
        let ready = |entry: &Entry| match entry {
            Entry::Creating => None,
            Entry::Ready(container) => Some(Rc::clone(container)),
        };
        table.values().filter_map(ready).collect()
    }

    /// A line per container, for people.
    pub(crate) fn describe(&self) -> Vec<String> {
        let table = self.0.borrow();
        let line = |(id, entry): (&ContainerId, &Entry)| match entry {
            Entry::Creating => format!("container {id}: being created"),
            Entry::Ready(container) => container.describe(),
        };
        table.iter().map(line).collect()
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
