//! `rootfs.vhd`: the root file system as a read-only ext4 on a fixed VHD, with a dm-verity tree if that is wanted.

use std::io::{self, Cursor};

use lcow_disk::ext4::layer::{self, LayerError, Whiteouts};
use lcow_disk::verity::{self, Verity, VerityError};
use lcow_disk::vhd;
use lcow_protocol::boot;

use super::root::Root;
use crate::hex::hex;

/// The first disk of the first SCSI controller, which hosts give to the root.
const ROOT_DISK: &str = "/dev/sda";

/// Why there is no disk.
#[derive(Debug, thiserror::Error)]
pub enum RootDiskError {
    /// The tree does not become an archive.
    #[error("cannot list the root file system")]
    Archive(#[source] io::Error),
    /// The file system.
    #[error("cannot write the root file system")]
    FileSystem(#[from] LayerError),
    /// The hashes.
    #[error("cannot write the root file system's hashes")]
    Verity(#[from] VerityError),
    /// The footer.
    #[error("cannot make the root file system a VHD")]
    Footer(#[source] io::Error),
}

/// A root file system in blocks.
#[derive(Debug)]
pub struct RootDisk {
    /// The file system, and behind it the tree if there is one; a multiple of 4096 bytes.
    pub bytes: Vec<u8>,
    /// Bytes of the file system.
    pub file_system: u64,
    /// Identity of the file system, derived from its content.
    pub uuid: [u8; 16],
    /// The tree.
    pub verity: Option<Verity>,
}

impl RootDisk {
    /// Writes the files of `root`; those without a time are of the time `mtime`, and with `with_verity` the hashes.
    pub fn make(root: &dyn Root, mtime: u64, with_verity: bool) -> Result<Self, RootDiskError> {
        Self::of_tar(root.tar(mtime).map_err(RootDiskError::Archive)?, with_verity)
    }

    /// Writes the files of a tar stream.
    pub fn of_tar(tar: impl io::Read, with_verity: bool) -> Result<Self, RootDiskError> {
        let mut disk = Cursor::new(Vec::new());
        let options = layer::Options { whiteouts: Whiteouts::Keep, ..layer::Options::default() };
        let stats = layer::convert(tar, &mut disk, &options)?;
        let file_system = stats.file_system_bytes;
        let verity =
            if with_verity { Some(verity::append(&mut disk, file_system, stats.uuid)?) } else { None };
        Ok(Self { bytes: disk.into_inner(), file_system, uuid: stats.uuid, verity })
    }

    /// What the kernel must be told to use this disk as its root.
    pub fn words(&self) -> String {
        let Some(verity) = &self.verity else {
            return boot::SCSI_ROOT.to_owned();
        };
        let blocks = self.file_system / verity::BLOCK_SIZE as u64;
        let table = format!(
            "0 {} verity 1 {ROOT_DISK} {ROOT_DISK} 4096 4096 {blocks} {} sha256 {} {}",
            blocks * 8,
            // The superblock lies between data and tree.
            blocks + 1,
            hex(&verity.root.0),
            hex(&verity.superblock.salt),
        );
        format!(
            "root=/dev/dm-0 ro dm-mod.waitfor={ROOT_DISK} dm-mod.create=\"dmverity,,,ro,{table}\" init=/init"
        )
    }

    /// The disk as a fixed VHD.
    pub fn into_vhd(self) -> Result<Vec<u8>, RootDiskError> {
        let size = self.bytes.len() as u64;
        let mut disk = Cursor::new(self.bytes);
        vhd::append_footer(&mut disk, size, self.uuid).map_err(RootDiskError::Footer)?;
        Ok(disk.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initrd::tree::Tree;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.directory("/run", 0o755);
        tree.file("/bin/gcs", 0o755, vec![7; 100_000]);
        tree.symlink("/init", "/bin/gcs");
        tree
    }

    #[test]
    fn the_same_tree_gives_the_same_disk() {
        let make = |verity| RootDisk::make(&tree(), 5, verity).unwrap();
        assert_eq!(make(true).into_vhd().unwrap(), make(true).into_vhd().unwrap());
        let vhd = make(false).into_vhd().unwrap();
        assert_eq!(&vhd[vhd.len() - 512..][..8], b"conectix");
        assert_ne!(make(false).uuid, RootDisk::make(&Tree::default(), 5, false).unwrap().uuid);
    }

    #[test]
    fn the_kernel_is_told_where_data_and_hashes_are() {
        let disk = RootDisk::make(&tree(), 5, true).unwrap();
        let blocks = disk.file_system / 4096;
        let words = disk.words();
        let expected =
            format!("0 {} verity 1 /dev/sda /dev/sda 4096 4096 {blocks} {} sha256 ", blocks * 8, blocks + 1);
        assert!(words.contains(&expected), "{words}");
        let mut bytes = Cursor::new(disk.bytes);
        verity::check(&mut bytes, disk.file_system).unwrap();
        assert_eq!(
            RootDisk::make(&tree(), 5, false).unwrap().words(),
            "root=/dev/sda ro rootwait init=/init"
        );
    }
}
