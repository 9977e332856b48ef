//! What needs no utility VM of ours: sizes, layer disks, and the whole command.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use lcow_disk::ext4::layer::{Options, convert};

use crate::series::Results;

/// Sizes of what is shipped, in kilobytes; what is not there is left out.
pub(crate) fn sizes(dist: &Path, results: &mut Results) {
    for (name, file) in [
        ("kernel_kb", "boot/kernel"),
        ("vmlinux_kb", "boot/vmlinux"),
        ("initrd_kb", "boot/initrd.img"),
        ("agent_binary_kb", "guest-agent"),
        ("lcow_binary_kb", "lcow"),
    ] {
        if let Ok(metadata) = fs::metadata(dist.join(file)) {
            #[allow(clippy::cast_precision_loss)] // Far below 2^52.
            results.add(name, metadata.len() as f64 / 1000.0);
        }
    }
}

/// A tar of a few large files, converted to a layer disk: the tar's megabytes in a second.
pub(crate) fn layers(runs: usize, results: &mut Results) -> Result<()> {
    const FILE: usize = 16 << 20;
    let mut archive = Vec::new();
    for number in 0..8_usize {
        let data: Vec<u8> =
            (0..FILE).map(|at| u8::try_from((at * 31 + at / 251 + number) % 256).unwrap_or(0)).collect();
        archive.extend(header(&format!("file{number}"), data.len()));
        archive.extend(data);
    }
    archive.extend([0; 1024]);
    let directory = tempfile::tempdir()?;
    for run in 0..runs {
        let disk = fs::File::create(directory.path().join(run.to_string()))?;
        let start = Instant::now();
        convert(archive.as_slice(), disk, &Options { vhd_footer: true, ..Options::default() })?;
        let seconds = start.elapsed().as_secs_f64();
        #[allow(clippy::cast_precision_loss)] // Far below 2^52.
        results.add("layer_convert_mb_s", archive.len() as f64 / 1e6 / seconds);
    }
    Ok(())
}

/// The header of a regular file in a POSIX archive; its size is a multiple of 512.
fn header(name: &str, size: usize) -> [u8; 512] {
    let mut header = [0; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar");
    put(263, "00");
    let sum: u32 = header.iter().copied().map(u32::from).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header
}

/// `lcow run --rm busybox true`, from the command to its status; nothing where lcow cannot do that yet.
pub(crate) fn lcow_run(dist: &Path, runs: usize, results: &mut Results) -> Result<()> {
    let home = tempfile::tempdir()?;
    let lcow = |args: &[&str]| {
        let mut command = Command::new(dist.join("lcow"));
        command.args(args).env("LCOW_HOME", home.path()).env_remove("LCOW_BOOT_FILES");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    };
    let help = lcow(&["run", "--help"]).stderr(Stdio::null()).status().context("cannot run lcow")?;
    if !help.success() {
        eprintln!("bench: lcow has no `run` yet");
        return Ok(());
    }
    let layout = home.path().join("busybox-layout");
    lcow_tests::image::write_busybox(&layout)?;
    ensure!(lcow(&["load"]).arg(&layout).status()?.success(), "lcow load failed");
    for run in 0..=runs {
        let start = Instant::now();
        let status = lcow(&["run", "--rm", "busybox", "true"]).status()?;
        ensure!(status.success(), "lcow run ended with {status}");
        // The first run converts the layer.
        let name = if run == 0 { "lcow_run_true_first_ms" } else { "lcow_run_true_ms" };
        results.add_ms(name, start.elapsed());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn the_archive_is_one() {
        let mut archive = header("f", 512).to_vec();
        archive.extend([7; 512]);
        archive.extend([0; 1024]);
        let mut disk = Cursor::new(Vec::new());
        let stats = convert(archive.as_slice(), &mut disk, &Options::default()).unwrap();
        assert_eq!(stats.tar_bytes, 2048);
    }
}
