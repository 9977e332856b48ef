//! dm-verity: a read-only layer whose ext4 is followed by a superblock and a hash tree (spec section 9.2).

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use lcow_disk::verity::{self, Verity, VerityError};

use super::Error;

/// ext4's superblock, and fields in it (kernel `Documentation/filesystems/ext4/super.rst`).
const EXT4_AT: u64 = 1024;
const EXT4_LENGTH: usize = 1024;
const EXT4_BLOCKS: usize = 4;
const EXT4_LOG_BLOCK_SIZE: usize = 24;
const EXT4_MAGIC_AT: usize = 56;
const EXT4_MAGIC: [u8; 2] = [0x53, 0xEF];
/// The largest block size is 64 KiB, 1024 shifted by this.
const EXT4_LARGEST_SHIFT: u32 = 6;

/// What agent flags demand of read-only layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    /// `-require-verity`: a layer without a hash tree is refused.
    pub(crate) required: bool,
    /// `-verity-root`: if not empty, a layer must have one of these root hashes (lower-case hexadecimal).
    pub(crate) roots: Vec<String>,
}

impl Policy {
    /// Whether layers without a hash tree are refused.
    pub(crate) fn demands(&self) -> bool {
        self.required || !self.roots.is_empty()
    }
}

/// The tree that a read-only layer is to be opened with; `None` if it has none and needs none.
pub(super) fn tree_of(device: &Path, policy: &Policy) -> Result<Option<Verity>, Error> {
    let refused = |reason: String| Error::Verity { path: device.to_owned(), reason };
    let mut file = File::open(device).map_err(Error::io("opening", device))?;
    let found = match ext4_size(&file).map_err(Error::io("reading", device))? {
        Some(size) => behind(&mut file, size, device)?,
        None => None,
    };
    match &found {
        None if policy.demands() => Err(refused("it has no hash tree, and the agent demands one".to_owned())),
        Some(tree) if !policy.roots.is_empty() && !policy.roots.contains(&tree.root.to_string()) => {
            Err(refused(format!("its root hash {} is not one that the agent was given", tree.root)))
        }
        _ => Ok(found),
    }
}

/// The size of the ext4 at the device's start in bytes.
fn ext4_size(file: &File) -> io::Result<Option<u64>> {
    let mut superblock = [0; EXT4_LENGTH];
    match file.read_exact_at(&mut superblock, EXT4_AT) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    if superblock[EXT4_MAGIC_AT..][..2] != EXT4_MAGIC {
        return Ok(None);
    }
    let number = |at: usize| superblock[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let shift = number(EXT4_LOG_BLOCK_SIZE);
    Ok((shift <= EXT4_LARGEST_SHIFT).then(|| u64::from(number(EXT4_BLOCKS)) * (1024 << shift)))
}

/// The tree behind the file system. One that is there but cannot be used is an error: without it nothing would be
/// checked.
fn behind(file: &mut File, size: u64, device: &Path) -> Result<Option<Verity>, Error> {
    let end = file.seek(SeekFrom::End(0)).map_err(Error::io("measuring", device))?;
    if end < size.saturating_add(verity::SUPERBLOCK_SIZE as u64) {
        return Ok(None);
    }
    let refused = |reason: String| Error::Verity { path: device.to_owned(), reason };
    match verity::read(file, size) {
        Ok(tree) if tree.superblock.data_bytes() == size => Ok(Some(tree)),
        Ok(_) => Err(refused("its hash tree does not cover the file system exactly".to_owned())),
        Err(VerityError::Missing { .. }) => Ok(None),
        Err(error) => Err(refused(crate::causes::with_causes(&error))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::path::PathBuf;

    use lcow_disk::ext4::mkfs;

    use super::*;

    const SIZE: u64 = 8 << 20;

    fn disk(name: &str, tree: bool) -> (PathBuf, String) {
        let path = std::env::temp_dir().join(format!("verity-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        mkfs::create(&path, SIZE, &mkfs::Options::default()).unwrap();
        if !tree {
            return (path, String::new());
        }
        let mut file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let tree = verity::append(&mut file, SIZE, [1; 16]).unwrap();
        (path, tree.root.to_string())
    }

    #[test]
    fn a_tree_behind_the_file_system_is_found_and_nothing_else() {
        let (with, root) = disk("with", true);
        let (without, _) = disk("without", false);
        let tree = tree_of(&with, &Policy::default()).unwrap().unwrap();
        assert_eq!(tree.root.to_string(), root);
        assert!(tree_of(&without, &Policy::default()).unwrap().is_none());
        assert!(tree_of(Path::new("/etc/passwd"), &Policy::default()).unwrap().is_none());
        for path in [with, without] {
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn demands_are_enforced() {
        let (with, root) = disk("demands", true);
        let (without, _) = disk("bare", false);
        let required = Policy { required: true, roots: Vec::new() };
        let right = Policy { required: false, roots: vec!["0".repeat(64), root] };
        let wrong = Policy { required: false, roots: vec!["0".repeat(64)] };
        assert!(tree_of(&with, &required).unwrap().is_some() && tree_of(&with, &right).unwrap().is_some());
        for (path, policy) in [(&without, &required), (&without, &right), (&with, &wrong)] {
            assert!(matches!(tree_of(path, policy), Err(Error::Verity { .. })), "{policy:?}");
        }
        for path in [with, without] {
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn a_tree_that_cannot_be_used_is_no_reason_to_do_without() {
        let (path, _) = disk("odd", true);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(b"md5\0\0\0", SIZE + 32).unwrap();
        assert!(matches!(tree_of(&path, &Policy::default()), Err(Error::Verity { .. })));
        std::fs::remove_file(path).unwrap();
    }
}
