//! The kernel command line: guest protocol section 14.1, without the words that suit only Hyper-V
//! (`initcall_blacklist=virtio_vsock_init`, `pci=off`, `8250_core.nr_uarts=0`, `pmtmr=0`).

use lcow_protocol::boot;

/// Builds the line.
///
/// `root` is what the kernel is told about its root file system, empty if that is the initial RAM disk; `append` goes before
/// `--`; `init_args` replaces everything after it.
pub fn build(root: &str, cpus: u32, append: &str, init_args: Option<&str>, log_level: &str) -> String {
    let mut words = Vec::new();
    words.push(if root.is_empty() { boot::DISKS_LATER.to_owned() } else { root.to_owned() });
    words.push(boot::CONSOLE.into());
    if !append.trim().is_empty() {
        words.push(append.trim().to_owned());
    }
    words.push(format!("nr_cpus={cpus} {}", boot::NO_RAM_DISKS));
    words.push("--".into());
    words.push(init_args.map_or_else(|| boot::init_arguments(log_level), str::to_owned));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_ends_as_hcsshim_sends_it() {
        let line = build("", 2, "", None, "info");
        assert_eq!(
            line,
            "scsi_mod.scan=manual console=ttyS0,115200 panic=-1 quiet nr_cpus=2 brd.rd_nr=0 -- \
             -e 1 /bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel info"
        );
    }

    #[test]
    fn appended_words_come_before_the_dashes_and_init_arguments_after() {
        let line = build("root=/dev/sda ro rootwait init=/init", 1, " loglevel=7 ", Some("/bin/sh"), "info");
        assert_eq!(
            line,
            "root=/dev/sda ro rootwait init=/init console=ttyS0,115200 panic=-1 quiet loglevel=7 \
             nr_cpus=1 brd.rd_nr=0 -- /bin/sh"
        );
    }
}
