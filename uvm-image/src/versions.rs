//! `versions.txt`: what boot files were made of, as `key=value` lines; equal inputs give equal text.

use std::fmt::Write;

use crate::initrd::agent::Agent;
use crate::selection::Selection;

/// The text for boot files made of `kernel` and `agent`; `source` names the kernel package, `debug` says that busybox is
/// in the image.
pub fn text(kernel: &Selection, agent: &Agent, source: &str, debug: bool) -> String {
    let yes = |value| if value { "yes" } else { "no" };
    let mut text = String::new();
    for (key, value) in [
        ("uvm-build", env!("CARGO_PKG_VERSION").to_owned()),
        ("kernel", kernel.release.clone()),
        ("kernel-source", source.to_owned()),
        // Nobody has looked where there is no ELF kernel.
        ("kernel-pvh", if kernel.vmlinux.is_empty() { String::new() } else { yes(kernel.pvh).to_owned() }),
        ("modules", kernel.module_count().to_string()),
        ("agent", agent.version.clone().unwrap_or_else(|| "unknown".to_owned())),
        ("agent-bytes", agent.bytes.len().to_string()),
        ("agent-sha256", agent.sha256()),
        ("initrd-compression", kernel.packing().name().to_owned()),
        ("debug", yes(debug).to_owned()),
    ] {
        if !value.is_empty() {
            let _ = writeln!(text, "{key}={value}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_inside() {
        let kernel =
            Selection { release: "6.1.0".into(), vmlinux: vec![1], pvh: true, ..Selection::default() };
        let agent = Agent { bytes: b"abc".to_vec(), version: Some("0.2.0".into()), linked: None };
        let text = text(&kernel, &agent, "linux-image.deb", false);
        for line in [
            "kernel=6.1.0",
            "kernel-source=linux-image.deb",
            "kernel-pvh=yes",
            "modules=0",
            "agent=0.2.0",
            "agent-bytes=3",
            "agent-sha256=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "initrd-compression=gzip",
            "debug=no",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} not in:\n{text}");
        }
    }
}
