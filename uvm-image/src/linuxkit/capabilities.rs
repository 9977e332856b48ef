//! Capabilities of containers (`capabilities(7)`).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::places::At;

/// A capability that there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown capability: {0}")]
pub struct UnknownCapability(String);

/// All of them as of Linux 5.9, in the kernel's order.
#[rustfmt::skip]
const ALL: &[&str] = &[
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
];

/// The runtime's five sets for the capabilities `given` and the ambient ones.
pub fn sets(given: &[String], ambient: &[String]) -> Result<Value, At<UnknownCapability>> {
    let (given, ambient) = (known("capabilities", given)?, known("ambient", ambient)?);
    let both: BTreeSet<&str> = given.iter().chain(&ambient).copied().collect();
    // The kernel wants ambient ones to be inheritable and permitted.
    let both: Vec<&str> = ALL.iter().filter(|name| both.contains(**name)).copied().collect();
    Ok(
        json!({"bounding": both, "effective": given, "inheritable": both, "permitted": both, "ambient": ambient}),
    )
}

fn known(key: &str, names: &[String]) -> Result<Vec<&'static str>, At<UnknownCapability>> {
    match names {
        [one] if one.eq_ignore_ascii_case("all") => return Ok(ALL.to_vec()),
        [one] if one.eq_ignore_ascii_case("none") => return Ok(Vec::new()),
        _ => {}
    }
    let known = |(at, name): (usize, &String)| {
        let found = ALL.iter().find(|known| *known == name).copied();
        found.ok_or_else(|| At::new(&[&key, &at], UnknownCapability(name.clone())))
    };
    names.iter().enumerate().map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_none_and_ambient() {
        let sets = |given: &[&str], ambient: &[&str]| {
            let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            sets(&own(given), &own(ambient)).unwrap()
        };
        assert_eq!(sets(&["ALL"], &[])["bounding"].as_array().unwrap().len(), 41);
        assert_eq!(sets(&["none"], &[])["effective"], json!([]));
        let both = sets(&["CAP_KILL"], &["CAP_CHOWN"]);
        assert_eq!(both["permitted"], json!(["CAP_CHOWN", "CAP_KILL"]));
        assert_eq!((&both["effective"], &both["ambient"]), (&json!(["CAP_KILL"]), &json!(["CAP_CHOWN"])));
    }
}
