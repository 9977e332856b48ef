//! Names of mapped devices: what they lie on, as hosts' users know them (spec sections 6.4, 9.2 and 9.3).

use std::fmt;
use std::path::{Path, PathBuf};

use super::super::scsi::Address;

/// Longest name without its NUL.
const LONGEST: usize = 127;
/// As much of a root hash as a name takes.
const HASH_DIGITS: usize = 64;
/// Where the devices appear.
pub(super) const DIRECTORY: &str = "/dev/mapper";

/// What a disk is, in names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A SCSI disk, or a partition of it unless 0.
    Scsi(Address, u64),
    /// A persistent memory device, or a part of it: offset and length in bytes.
    Pmem(u32, Option<(u64, u64)>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scsi(Address { controller, lun }, partition) => {
                write!(f, "scsi-contr{controller}-lun{lun}-p{partition}")
            }
            Self::Pmem(number, None) => write!(f, "pmem{number}"),
            Self::Pmem(number, Some((offset, length))) => write!(f, "pmem{number}-{offset}-{length}"),
        }
    }
}

/// The name of a mapped device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name(String);

impl Name {
    fn new(name: String) -> Option<Self> {
        let plain = !name.is_empty() && name.len() <= LONGEST && !name.contains(['/', '\0']);
        plain.then_some(Self(name))
    }

    /// A part of a persistent memory device.
    pub(crate) fn linear(pmem: u32, offset: u64, length: u64) -> Option<Self> {
        Self::new(format!("dm-linear-{}", Origin::Pmem(pmem, Some((offset, length)))))
    }

    /// A layer that is checked against a root hash.
    pub(crate) fn verity(origin: &Origin, root_hash: &str) -> Option<Self> {
        let digits = root_hash.get(..HASH_DIGITS).unwrap_or(root_hash);
        Self::new(format!("dm-verity-{origin}-{digits}"))
    }

    /// A disk that is encrypted.
    pub(crate) fn crypt(origin: &Origin) -> Option<Self> {
        Self::new(format!("dm-crypt-{origin}"))
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The device's node.
    pub(crate) fn node(&self) -> PathBuf {
        Path::new(DIRECTORY).join(&self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_protocol() {
        let disk = Origin::Scsi(Address { controller: 1, lun: 2 }, 3);
        let cases = [
            (Name::linear(1, 1_048_576, 8192), "dm-linear-pmem1-1048576-8192"),
            (Name::crypt(&disk), "dm-crypt-scsi-contr1-lun2-p3"),
            (Name::verity(&disk, "ab12"), "dm-verity-scsi-contr1-lun2-p3-ab12"),
            (Name::verity(&Origin::Pmem(7, None), "ab12"), "dm-verity-pmem7-ab12"),
        ];
        for (name, expected) in cases {
            assert_eq!(name.unwrap().as_str(), expected);
        }
        let long = Name::verity(&disk, &"f".repeat(128)).unwrap();
        assert!(long.as_str().len() <= LONGEST);
    }
}
