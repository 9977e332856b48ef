//! The size of `/dev/shm` (spec section 7.6, step 5).

use serde_json::{Value, json};

use super::list;
use crate::container::{Error, annotations};

/// Replaces `/dev/shm` if an annotation asks for a size.
pub(in crate::container) fn shared_memory(spec: &mut Value) -> Result<(), Error> {
    let Some(text) = annotations::text(spec, annotations::SHM_SIZE) else { return Ok(()) };
    let size = text.parse::<u64>().ok().filter(|size| *size > 0);
    let size = size.ok_or_else(|| Error::Invalid(format!("/dev/shm cannot have {text:?} KiB")))?;
    let mounts = list(spec, &[], "mounts")?;
    mounts.retain(|mount| mount["destination"] != "/dev/shm");
    let options = json!(["nosuid", "noexec", "nodev", "mode=1777", format!("size={size}k")]);
    mounts.push(json!({"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": options}));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_is_replaced() {
        let spec = |size: &str| {
            json!({"annotations": {annotations::SHM_SIZE: size},
                "mounts": [{"destination": "/dev/shm", "type": "bind"}, {"destination": "/x"}]})
        };
        let mut good = spec("2048");
        shared_memory(&mut good).unwrap();
        assert_eq!(good["mounts"][0]["destination"], "/x");
        assert_eq!(good["mounts"][1]["options"][4], "size=2048k");
        assert_eq!(good["mounts"].as_array().unwrap().len(), 2);
        assert!(shared_memory(&mut spec("0")).is_err());
        assert!(shared_memory(&mut spec("-1")).is_err());
    }
}
