//! Values of command line options.

use std::path::PathBuf;
use std::str::FromStr;

use crate::uvm::Root;
use crate::vmm::{Accelerator, MacAddress};

/// `FILE[,ro]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileOption {
    pub(super) path: PathBuf,
    pub(super) read_only: bool,
}

impl FromStr for FileOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, read_only) = text.strip_suffix(",ro").map_or((text, false), |path| (path, true));
        if path.is_empty() {
            return Err("expected FILE or FILE,ro".into());
        }
        Ok(Self { path: path.into(), read_only })
    }
}

/// `user[,mac=…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NicOption {
    pub(super) mac: Option<MacAddress>,
}

impl FromStr for NicOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split(',');
        if words.next() != Some("user") {
            return Err("the only kind of network is 'user'".into());
        }
        let mut mac = None;
        for word in words {
            let text = word.strip_prefix("mac=").ok_or_else(|| format!("unknown word '{word}'"))?;
            mac = Some(text.parse::<MacAddress>().map_err(|error| error.to_string())?);
        }
        Ok(Self { mac })
    }
}

/// `initrd|scsi:FILE|verity:FILE|pmem:FILE|efi-disk:FILE`.
pub(super) fn root(text: &str) -> Result<Root, String> {
    match text.split_once(':') {
        None if text == "initrd" => Ok(Root::Initrd),
        Some(("scsi", path)) if !path.is_empty() => Ok(Root::Scsi(path.into())),
        Some(("verity", path)) if !path.is_empty() => Ok(Root::Verity(path.into())),
        Some(("efi-disk", path)) if !path.is_empty() => Ok(Root::EfiDisk(path.into())),
        Some(("pmem", path)) if !path.is_empty() => Ok(Root::Pmem(path.into())),
        _ => Err("expected initrd, scsi:FILE, verity:FILE, pmem:FILE or efi-disk:FILE".into()),
    }
}

/// `kvm|tcg`.
pub(super) fn accelerator(text: &str) -> Result<Accelerator, String> {
    match text {
        "kvm" => Ok(Accelerator::Kvm),
        "tcg" => Ok(Accelerator::Tcg),
        _ => Err("expected kvm or tcg".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let file = |path: &str, read_only| Ok(FileOption { path: path.into(), read_only });
        assert_eq!("a,ro".parse(), file("a", true));
        assert_eq!("a,rw".parse(), file("a,rw", false));
        assert!(",ro".parse::<FileOption>().is_err());
        assert_eq!("user".parse(), Ok(NicOption { mac: None }));
        assert!("user,mac=00-15-5d-00-00-07".parse::<NicOption>().is_ok_and(|nic| nic.mac.is_some()));
        assert!("tap".parse::<NicOption>().is_err());
        assert!("user,mac=1".parse::<NicOption>().is_err());
        assert_eq!(root("scsi:/x"), Ok(Root::Scsi("/x".into())));
        assert!(root("scsi:").is_err());
        assert!(root("nfs").is_err());
    }
}
