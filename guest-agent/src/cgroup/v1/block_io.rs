//! Limits of block devices as files of version 1 (the kernel's `Documentation/admin-guide/cgroup-v1/blkio-controller.rst`).

use serde_json::Value;

use super::limits::Placed;
use crate::cgroup::Error;
use crate::cgroup::resources::{device, list, nonzero, refused, setting};

const WEIGHT: &str = "/blockIO/weight";
const DEVICES: &str = "/blockIO/weightDevice";

/// All that [`settings`] reads.
pub(super) const NAMES: &[&str] = &[
    WEIGHT,
    DEVICES,
    "/blockIO/throttleReadBpsDevice",
    "/blockIO/throttleWriteBpsDevice",
    "/blockIO/throttleReadIOPSDevice",
    "/blockIO/throttleWriteIOPSDevice",
];

/// Lists of OCI, and the file that has the rate; zero lifts it.
const RATES: &[(&str, &str)] = &[
    (NAMES[2], "blkio.throttle.read_bps_device"),
    (NAMES[3], "blkio.throttle.write_bps_device"),
    (NAMES[4], "blkio.throttle.read_iops_device"),
    (NAMES[5], "blkio.throttle.write_iops_device"),
];

/// Weights are those of the scheduler BFQ, the only one that still has them.
pub(super) fn settings(resources: &Value) -> Result<Vec<Placed>, Error> {
    let mut settings = Vec::new();
    settings.extend(nonzero(resources, WEIGHT)?.map(|weight| setting("blkio.bfq.weight", &weight)));
    for entry in list(resources, DEVICES)? {
        if !entry["leafWeight"].is_null() {
            return Err(refused(DEVICES, "has a leafWeight, which no kernel takes any more"));
        }
        let (device, weight) = device(entry, "weight", DEVICES)?;
        settings.push(setting("blkio.bfq.weight_device", &format!("{device} {weight}")));
    }
    for (name, file) in RATES {
        for entry in list(resources, name)? {
            let (device, rate) = device(entry, "rate", name)?;
            settings.push(setting(*file, &format!("{device} {rate}")));
        }
    }
    Ok(settings.into_iter().map(|setting| ("blkio", setting)).collect())
}
