//! Layers on top of each other in one tree: what removals of a later one do to earlier ones.
use super::tree::Tree;

impl Tree {
    /// Everything from here on belongs to the next layer.
    pub(super) fn next_layer(&mut self) {
        self.layer += 1;
    }

    /// Whether an earlier layer brought the name.
    pub(super) fn is_older(&self, parent: u32, name: &[u8]) -> bool {
        self.entry(parent, name).is_some_and(|child| child.layer < self.layer)
    }

    /// The current layer names a directory again.
    pub(super) fn renew(&mut self, parent: u32, name: &[u8]) {
        let layer = self.layer;
        let directory = self.directories.get_mut(&parent).expect("parents are directories");
        if let Some(child) = directory.children.get_mut(name) {
            child.layer = layer;
        }
    }

    /// Let a directory hide what lower layers have in it, if `hides`.
    pub(super) fn set_opaque(&mut self, directory: u32, hides: bool) {
        let directory = self.directories.get_mut(&directory).expect("a directory");
        directory.opaque |= hides;
    }

    /// Remove `name` as far as earlier layers brought it: a directory stays if the current layer has something in it.
    pub(super) fn remove_older(&mut self, parent: u32, name: &[u8]) {
        // Nothing is older than the first layer: the common case costs nothing.
        if self.layer <= 1 || self.entry(parent, name).is_none() {
            return;
        }
        let mut names = vec![(parent, Box::from(name))];
        let mut done = 0;
        while let Some(&(parent, ref name)) = names.get(done) {
            let inode = self.child(parent, name).expect("just listed");
            names.extend(self.names_in(inode));
            done += 1;
        }
        // Children come after their parents, so backwards every directory is seen when it has lost what it loses.
        for (parent, name) in names.into_iter().rev() {
            let child = self.entry(parent, &name).expect("just listed");
            let keeps = self.directories.get(&child.inode).is_some_and(|found| !found.children.is_empty());
            if child.layer < self.layer && !keeps {
                self.unlink(parent, &name);
            }
        }
    }

    /// [`Self::remove_older`] of everything in `directory`.
    pub(super) fn remove_older_children(&mut self, directory: u32) {
        if self.layer <= 1 {
            return;
        }
        for (directory, name) in self.names_in(directory) {
            self.remove_older(directory, &name);
        }
    }

    fn names_in(&self, directory: u32) -> Vec<(u32, Box<[u8]>)> {
        let found = self.directories.get(&directory);
        found.map_or_else(Vec::new, |found| {
            found.children.keys().map(|name| (directory, name.clone())).collect()
        })
    }
}
