//! Disks in QEMU's words: a block node and a SCSI device on it.

use serde_json::{Value, json};

use crate::vmm::disk::Format;
use crate::vmm::{Disk, Lun};

/// The id of the device and of its block node.
pub(super) fn id(lun: Lun) -> String {
    format!("disk{lun}")
}

/// Arguments of `blockdev-add`. The file below the format is locked by QEMU: shared for readers, alone for a writer.
pub(super) fn block_node(lun: Lun, disk: &Disk) -> Value {
    let mut node = json!({
        "node-name": id(lun),
        "read-only": disk.read_only,
        "discard": "unmap",
        "file": {
            "driver": if is_block_device(disk) { "host_device" } else { "file" },
            "filename": disk.path,
            "read-only": disk.read_only,
        },
    });
    match disk.format {
        Format::Raw => node["driver"] = json!("raw"),
        Format::FixedVhd { size } => {
            // QEMU's own VHD driver trusts the geometry in the footer, which is 0 in what hcsshim writes.
            node["driver"] = json!("raw");
            node["size"] = json!(size);
        }
        Format::DynamicVhd => {
            node["driver"] = json!("vpc");
            node["force-size-calc"] = json!("current_size");
        }
        Format::Vhdx => node["driver"] = json!("vhdx"),
    }
    node
}

/// Arguments of `device_add`: LUN `lun` of controller 0.
pub(super) fn device(lun: Lun) -> Value {
    json!({
        "driver": "scsi-hd",
        "id": id(lun),
        "bus": "scsi0.0",
        "channel": 0,
        "scsi-id": 0,
        "lun": lun.get(),
        "drive": id(lun),
        // Errors are the guest's to deal with. Otherwise QEMU would stop the whole machine when the host's disk is full.
        "werror": "report",
        "rerror": "report",
    })
}

fn is_block_device(disk: &Disk) -> bool {
    use std::os::unix::fs::FileTypeExt;
    disk.path.metadata().is_ok_and(|metadata| metadata.file_type().is_block_device())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_vhd_is_raw_up_to_its_footer() {
        let disk = Disk { path: "/x".into(), read_only: true, format: Format::FixedVhd { size: 4096 } };
        let node = block_node(Lun::new(3).expect("lun"), &disk);
        assert_eq!(node["driver"], "raw");
        assert_eq!(node["size"], 4096);
        assert_eq!(node["file"]["read-only"], true);
        assert_eq!(device(Lun::new(3).expect("lun"))["lun"], 3);
    }
}
