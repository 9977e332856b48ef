//! Limits of block devices as files of version 2 (the kernel's `Documentation/admin-guide/cgroup-v2.rst`, section IO).

use std::path::Path;

use serde_json::Value;

use crate::cgroup::Error;
use crate::cgroup::resources::{Setting, device, list, nonzero, refused, setting};

/// The scheduler BFQ takes weights as OCI has them; without it the kernel's own cost model has a scale of its own.
const BFQ: &str = "io.bfq.weight";
const COST: &str = "io.weight";

/// Lists of OCI, and the key of `io.max` that has the rate.
const RATES: &[(&str, &str)] = &[
    ("/blockIO/throttleReadBpsDevice", "rbps"),
    ("/blockIO/throttleWriteBpsDevice", "wbps"),
    ("/blockIO/throttleReadIOPSDevice", "riops"),
    ("/blockIO/throttleWriteIOPSDevice", "wiops"),
];

/// The weight of the cgroup, and that for single devices.
pub(super) fn weights(resources: &Value, cgroup: &Path) -> Result<Vec<Setting>, Error> {
    const DEVICES: &str = "/blockIO/weightDevice";
    let has_bfq = cgroup.join(BFQ).exists();
    let scaled = |weight: i128, name: &str| match weight {
        10..=1000 if has_bfq => Ok(weight),
        10..=1000 => Ok(1 + (weight - 10) * 9999 / 990),
        _ => Err(refused(name, "is not from 10 to 1000")),
    };
    let file = if has_bfq { BFQ } else { COST };
    let mut settings = Vec::new();
    if let Some(weight) = nonzero(resources, "/blockIO/weight")? {
        settings.push(setting(file, &scaled(weight, "/blockIO/weight")?));
    }
    for entry in list(resources, DEVICES)? {
        if !entry["leafWeight"].is_null() {
            return Err(refused(DEVICES, "has a leafWeight, which cgroups of version 2 do not have"));
        }
        let (device, weight) = device(entry, "weight", DEVICES)?;
        settings.push(setting(file, &format!("{device} {}", scaled(weight, DEVICES)?)));
    }
    Ok(settings)
}

/// Bytes and operations in a second; zero lifts the limit.
pub(super) fn throttles(resources: &Value, _: &Path) -> Result<Vec<Setting>, Error> {
    let mut settings = Vec::new();
    for (name, key) in RATES {
        for entry in list(resources, name)? {
            let (device, rate) = device(entry, "rate", name)?;
            let rate = if rate == 0 { "max".to_owned() } else { rate.to_string() };
            settings.push(setting("io.max", &format!("{device} {key}={rate}")));
        }
    }
    Ok(settings)
}
