use serde_json::{Value, json};

use super::{ContainerOptions, SpecError, defaults};

/// Microseconds in which a processor share is dealt out; the kernel's default.
const PERIOD: u64 = 100_000;

pub(super) fn resources(options: &ContainerOptions) -> Result<Value, SpecError> {
    let mut resources = json!({ "devices": defaults::device_rules() });
    if let Some(memory) = options.memory {
        let limit = i64::try_from(memory).map_err(|_| SpecError::Limit("memory"))?;
        resources["memory"] = json!({ "limit": limit });
    }
    if let Some(nano_cpus) = options.nano_cpus {
        let quota = u128::from(nano_cpus) * u128::from(PERIOD) / 1_000_000_000;
        let quota = i64::try_from(quota).ok().filter(|&quota| quota > 0).ok_or(SpecError::Limit("cpu"))?;
        resources["cpu"] = json!({ "quota": quota, "period": PERIOD });
    }
    Ok(resources)
}
