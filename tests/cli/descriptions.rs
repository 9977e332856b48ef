//! `uvm-build build`: machines from descriptions, booted by `lcow`, by QEMU itself and by firmware.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::boot_files::uvm_build;
use crate::home::{Home, busybox};
use crate::{Test, boots};

pub(crate) const TESTS: &[Test] = &[
    boots("a_machine_with_the_agent_boots_in_every_way", a_machine_with_the_agent_boots_in_every_way),
    boots("a_machine_with_an_init_of_its_own_boots", a_machine_with_an_init_of_its_own_boots),
];

/// Where Debian's package ovmf has firmware that is one file.
const FIRMWARE: &str = "/usr/share/ovmf/OVMF.fd";
/// Programs and script of a root that says that it runs.
const INIT: &str = "#!/bin/sh\necho \"init of $(cat /etc/motd) runs\"\nexec /bin/busybox poweroff -f\n";

/// A description in `dir` of a root `root/` and the tailored kernel; `None` when that was not built, which is said.
fn describe(home: &Home, dir: &Path) -> Result<Option<PathBuf>> {
    let kernel = uvm_build(home, &["kernel", "path"])?;
    if kernel.status != 0 {
        println!("skipped: the tailored kernel has not been built (`cargo xtask kernel`)");
        return Ok(None);
    }
    let root = dir.join("root");
    fs::create_dir_all(root.join("bin"))?;
    let text = format!(
        "kernel: {{image: \"dir:{}\", tar: none, cmdline: \"console=ttyS0 panic=-1\"}}\n\
         init: [\"dir:{}\"]\n\
         files: [{{path: etc/motd, contents: a test, mode: \"0644\"}}]\n",
        kernel.text().trim(),
        root.display()
    );
    let file = dir.join("machine.yml");
    fs::write(&file, text)?;
    Ok(Some(file))
}

fn build(home: &Home, file: &Path, out: &Path, args: &[&str]) -> Result<()> {
    let (file, out) = (file.to_string_lossy(), out.to_string_lossy());
    let output = uvm_build(home, &[&["build", &file, "-o", &out, "--target", "qemu"], args].concat())?;
    ensure!(output.status == 0, "{}", output.stderr);
    Ok(())
}

fn a_machine_with_the_agent_boots_in_every_way(home: &Home) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(file) = describe(home, dir.path())? else { return Ok(()) };
    let out = dir.path().join("out");
    build(home, &file, &out, &["-f", "lcow", "-f", "uvm-vhdx"])?;
    let output = uvm_build(home, &["check", &out.to_string_lossy()])?;
    let text = output.text();
    ensure!(output.status == 0 && !text.contains("FAILED"), "{text}{}", output.stderr);
    for way in ["direct boot of kernel, initrd", "UEFI boot of bootx64.efi, initrd", "UEFI boot of uvm.vhdx"]
    {
        ensure!(text.contains(way), "{way} was not tried:\n{text}");
    }
    if text.contains("no UEFI firmware") {
        println!("skipped: the ways with UEFI; there is no firmware (package ovmf)");
    }
    Ok(())
}

fn a_machine_with_an_init_of_its_own_boots(home: &Home) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(file) = describe(home, dir.path())? else { return Ok(()) };
    let root = dir.path().join("root");
    for (name, bytes) in [("bin/busybox", &busybox()?[..]), ("init", INIT.as_bytes())] {
        fs::write(root.join(name), bytes)?;
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o755))?;
    }
    for name in ["sh", "cat"] {
        symlink("busybox", root.join("bin").join(name))?;
    }
    let out = dir.path().join("out");
    build(home, &file, &out, &["-f", "kernel+initrd", "-f", "unified-efi", "--append", "console=ttyS0"])?;

    let path = |name: &str| out.join(name).to_string_lossy().into_owned();
    let line = fs::read_to_string(out.join("machine-cmdline"))?;
    runs(&["-kernel", &path("machine-kernel"), "-initrd", &path("machine-initrd.img"), "-append", &line])?;

    if !Path::new(FIRMWARE).is_file() {
        println!("skipped: unified.efi; there is no firmware (package ovmf)");
        return Ok(());
    }
    // Where firmware looks on a disk it knows nothing about.
    let program = dir.path().join("esp/EFI/BOOT/BOOTX64.EFI");
    fs::create_dir_all(program.parent().context("a directory")?)?;
    fs::copy(out.join("unified.efi"), &program)?;
    let disk = format!("format=raw,file=fat:rw:{}", dir.path().join("esp").display());
    runs(&["-bios", FIRMWARE, "-drive", &disk])
}

/// Runs QEMU with `args` until the machine powers off, and sees that its init has run.
fn runs(args: &[&str]) -> Result<()> {
    let mut qemu = Command::new("timeout");
    qemu.args([
        "120",
        "qemu-system-x86_64",
        "-machine",
        "q35",
        "-accel",
        "tcg,thread=single",
        "-cpu",
        "max",
        "-m",
        "512",
    ]);
    qemu.args(["-display", "none", "-serial", "stdio", "-monitor", "none", "-nic", "none", "-no-reboot"]);
    let output = qemu.args(args).output().context("cannot run qemu-system-x86_64")?;
    let console = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && console.contains("init of a test runs"),
        "{args:?}: {}\n{console}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
