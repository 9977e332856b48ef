//! A [`Tree`] as a tar stream, for the writers that take one.

use std::io::{self, Write};

use tar::{Builder, EntryType, Header};

use crate::initrd::tree::{Node, Tree};

/// Writes `tree` to `out`; everything belongs to root and is of the time `mtime` (seconds since 1970).
pub fn write(tree: &Tree, mtime: u64, out: impl Write) -> io::Result<()> {
    let mut archive = Builder::new(out);
    for (path, entry) in tree.iter() {
        let mut header = Header::new_gnu();
        header.set_mode(entry.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(mtime);
        header.set_size(0);
        match &entry.node {
            Node::Directory => {
                header.set_entry_type(EntryType::Directory);
                archive.append_data(&mut header, format!("{path}/"), io::empty())?;
            }
            Node::File(content) => {
                header.set_size(content.len() as u64);
                archive.append_data(&mut header, path, content.as_slice())?;
            }
            Node::Symlink(target) => {
                header.set_entry_type(EntryType::Symlink);
                archive.append_link(&mut header, path, target)?;
            }
            Node::CharDevice(major, minor) => {
                header.set_entry_type(EntryType::Char);
                header.set_device_major(*major)?;
                header.set_device_minor(*minor)?;
                archive.append_data(&mut header, path, io::empty())?;
            }
        }
    }
    archive.into_inner()?.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_of_the_tree_is_there() {
        let mut tree = Tree::default();
        tree.directory("/tmp", 0o1777);
        tree.file("/bin/gcs", 0o755, *b"program");
        tree.symlink("/init", "/bin/gcs");
        tree.char_device("/dev/console", 0o600, 5, 1);
        let mut bytes = Vec::new();
        write(&tree, 7, &mut bytes).unwrap();
        let mut seen = Vec::new();
        for entry in tar::Archive::new(&bytes[..]).entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.mtime().unwrap(), header.uid().unwrap()), (7, 0));
            seen.push((
                entry.path().unwrap().display().to_string(),
                header.entry_type(),
                header.mode().unwrap(),
            ));
        }
        let kinds: Vec<_> = seen.iter().map(|(path, kind, mode)| (path.as_str(), *kind, *mode)).collect();
        assert_eq!(
            kinds,
            [
                ("bin/", EntryType::Directory, 0o755),
                ("bin/gcs", EntryType::Regular, 0o755),
                ("dev/", EntryType::Directory, 0o755),
                ("dev/console", EntryType::Char, 0o600),
                ("init", EntryType::Symlink, 0o777),
                ("tmp/", EntryType::Directory, 0o1777),
            ]
        );
    }
}
