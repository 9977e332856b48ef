//! `uvm-build`: boot files of every format, judged by other tools and booted in every way they offer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::home::Home;
use crate::lcow::{Output, run};
use crate::{Test, boots, plain};

pub(crate) const TESTS: &[Test] = &[
    plain("a_distribution_kernel_is_refused_as_a_disk_root", a_distribution_kernel_is_refused_as_a_disk_root),
    plain("two_builds_are_equal_and_others_can_read_them", two_builds_are_equal_and_others_can_read_them),
    boots("every_way_boots_and_negotiates", every_way_boots_and_negotiates),
    boots("a_flipped_byte_stops_a_verity_root", a_flipped_byte_stops_a_verity_root),
    boots("every_damaged_boot_file_is_found", every_damaged_boot_file_is_found),
    boots("an_ended_check_leaves_nothing", an_ended_check_leaves_nothing),
    boots("a_container_runs_on_a_distribution_kernel", a_container_runs_on_a_distribution_kernel),
];

const ALL: &[&str] = &[
    "-f",
    "lcow",
    "-f",
    "vmlinux",
    "-f",
    "rootfs-vhd",
    "-f",
    "uvm-vhdx",
    "-f",
    "unified-efi",
    "--target",
    "qemu",
];

pub(crate) fn uvm_build(home: &Home, args: &[&str]) -> Result<Output> {
    let program = home.beside_lcow("uvm-build")?;
    let mut command = Command::new(program);
    command.args(args);
    run(command, b"")
}

/// Boot files of the tailored kernel in `dir`; `None` when that was not built, which is said.
fn build(home: &Home, dir: &Path, args: &[&str]) -> Result<Option<PathBuf>> {
    let out = dir.join("boot");
    let text = out.to_str().context("a path in UTF-8")?;
    let output = uvm_build(home, &[&["default", "-o", text], args].concat())?;
    if output.stderr.contains("has not been built") {
        println!("skipped: the tailored kernel has not been built (`cargo xtask kernel`)");
        return Ok(None);
    }
    ensure!(output.status == 0, "{}", output.stderr);
    Ok(Some(out))
}

fn judge(program: &str, args: &[&str]) -> Result<String> {
    let output =
        Command::new(program).args(args).output().with_context(|| format!("cannot run {program}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{program} {args:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

fn a_distribution_kernel_is_refused_as_a_disk_root(home: &Home) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let out = dir.path().join("boot");
    let text = out.to_str().context("a path in UTF-8")?;
    let output = uvm_build(home, &["default", "-o", text, "--kernel", "debian", "-f", "rootfs-vhd"])?;
    ensure!(output.status == 1, "{}", output.stderr);
    ensure!(output.stderr.contains("CONFIG_BLK_DEV_PMEM is a module"), "{}", output.stderr);
    ensure!(!out.exists(), "something was written");
    Ok(())
}

fn two_builds_are_equal_and_others_can_read_them(home: &Home) -> Result<()> {
    let (one, two) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let args = [ALL, &["--verity"]].concat();
    let Some(first) = build(home, one.path(), &args)? else { return Ok(()) };
    let Some(second) = build(home, two.path(), &args)? else { return Ok(()) };
    let sums = |dir: &Path| fs::read_to_string(dir.join("SHA256SUMS"));
    ensure!(sums(&first)? == sums(&second)?, "{}\n{}", sums(&first)?, sums(&second)?);
    let path = |name: &str| first.join(name).to_string_lossy().into_owned();
    let checked =
        Command::new("sha256sum").args(["--quiet", "-c", "SHA256SUMS"]).current_dir(&first).status()?;
    ensure!(checked.success(), "sha256sum -c");
    let initrd = format!("lz4 -dc '{}' | cpio --quiet -t", path("initrd.img"));
    let listed = judge("sh", &["-c", &initrd])?;
    for name in ["init", "bin/gcs", "dev/console"] {
        ensure!(listed.lines().any(|line| line == name), "{name} is not in the initrd:\n{listed}");
    }
    for program in ["kernel", "bootx64.efi", "unified.efi"] {
        let said = judge("objdump", &["-f", &path(program)])?;
        ensure!(said.contains("file format pei-x86-64"), "{program}: {said}");
    }
    let said = judge("objdump", &["-f", &path("vmlinux")])?;
    ensure!(said.contains("file format elf64-x86-64"), "{said}");
    judge("e2fsck", &["-fn", &path("rootfs.vhd")])?;
    // A fixed disk has its mark at the end, where nobody looks who is not told.
    let said = judge("qemu-img", &["info", "-f", "vpc", &path("rootfs.vhd")])?;
    ensure!(said.contains("file format: vpc"), "{said}");
    let list: serde_json::Value = serde_json::from_slice(&fs::read(first.join("sbom.spdx.json"))?)?;
    let linked = list["packages"].as_array().into_iter().flatten();
    let crates = linked.filter(|one| one.to_string().contains("pkg:cargo/")).count();
    ensure!(crates > 50, "only {crates} crates in sbom.spdx.json");
    judge("qemu-img", &["check", "-q", &path("uvm.vhdx")])?;
    let sections = judge("objdump", &["-h", &path("unified.efi")])?;
    ensure!([".linux", ".initrd", ".cmdline"].iter().all(|name| sections.contains(name)), "{sections}");
    verify(&first)
}

/// Has `veritysetup` check the disk against the words that the kernel will be given.
fn verify(dir: &Path) -> Result<()> {
    let words = fs::read_to_string(dir.join("rootfs.cmdline"))?;
    let table: Vec<&str> = words.split([' ', '"']).skip_while(|word| *word != "sha256").collect();
    let data_blocks = words.split(' ').skip_while(|word| *word != "4096").nth(2).context("blocks")?;
    let disk = dir.join("rootfs.vhd").to_string_lossy().into_owned();
    let offset = (data_blocks.parse::<u64>()? * 4096).to_string();
    judge("veritysetup", &["verify", &disk, &disk, table[1], "--hash-offset", &offset])?;
    Ok(())
}

fn every_way_boots_and_negotiates(home: &Home) -> Result<()> {
    for (args, ways) in [(&["--verity"][..], &["verity root"][..]), (&[], &["root on SCSI", "root in pmem"])]
    {
        let dir = tempfile::tempdir()?;
        let Some(boot) = build(home, dir.path(), &[ALL, args].concat())? else { return Ok(()) };
        let output = uvm_build(home, &["check", &boot.to_string_lossy()])?;
        let text = output.text();
        ensure!(output.status == 0 && !text.contains("FAILED"), "{text}{}", output.stderr);
        let all = [
            "direct boot of vmlinux, initrd",
            "direct boot of kernel, initrd",
            "UEFI boot of bootx64.efi, initrd",
            "UEFI boot of unified.efi",
            "UEFI boot of uvm.vhdx",
            "SHA256SUMS: the files are what was built",
        ];
        for way in all.iter().chain(ways) {
            ensure!(text.contains(way), "{way} was not tried:\n{text}");
        }
        if text.contains("no UEFI firmware") {
            println!("skipped: the ways with UEFI; there is no firmware (package ovmf)");
        }
    }
    Ok(())
}

fn a_flipped_byte_stops_a_verity_root(home: &Home) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let args = ["-f", "lcow", "-f", "rootfs-vhd", "--verity"];
    let Some(boot) = build(home, dir.path(), &args)? else { return Ok(()) };
    let disk = boot.join("rootfs.vhd");
    let mut bytes = fs::read(&disk)?;
    // The agent's program, which every boot reads.
    let at = bytes.windows(4).position(|window| window == b"\x7fELF").context("a program on the disk")?;
    bytes[at + 24] ^= 1;
    fs::write(&disk, bytes)?;
    let output = uvm_build(home, &["check", "--timeout", "60", &boot.to_string_lossy()])?;
    let text = output.text();
    ensure!(output.status == 1, "{text}");
    let line = text.lines().find(|line| line.contains("verity root")).context("the way")?;
    ensure!(line.contains("FAILED"), "{text}");
    ensure!(text.contains("metadata block") || text.contains("data block"), "not for its hashes: {text}");
    Ok(())
}

fn every_damaged_boot_file_is_found(home: &Home) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(boot) = build(home, dir.path(), ALL)? else { return Ok(()) };
    let text = boot.to_string_lossy().into_owned();
    for name in ["vmlinux", "kernel", "bootx64.efi", "unified.efi", "uvm.vhdx"] {
        fs::write(boot.join(name), "junk")?;
    }
    fs::remove_file(boot.join("rootfs.vhd"))?;
    let output = uvm_build(home, &["check", &text])?;
    let said = output.text();
    ensure!(output.status == 1, "{said}");
    for name in ["vmlinux", "kernel", "bootx64.efi", "unified.efi", "uvm.vhdx"] {
        let line = said.lines().find(|line| line.contains(&format!("boot of {name}"))).context("no line")?;
        ensure!(line.contains("FAILED") || line.contains("no UEFI firmware"), "{name}:\n{said}");
        ensure!(said.contains(&format!("{name} is not what was built")), "{name}:\n{said}");
    }
    ensure!(said.contains("rootfs.vhd is not there"), "{said}");
    Ok(())
}

fn an_ended_check_leaves_nothing(home: &Home) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(boot) = build(home, dir.path(), &["-f", "lcow", "-f", "vmlinux"])? else { return Ok(()) };
    // A kernel without most of its code: its machine does not end by itself.
    let mut vmlinux = fs::read(boot.join("vmlinux"))?;
    vmlinux[0x30_0000..0x90_0000].fill(0);
    fs::write(boot.join("vmlinux"), vmlinux)?;
    let temporary = dir.path().join("temporary");
    fs::create_dir(&temporary)?;
    let mut check = Command::new(home.beside_lcow("uvm-build")?)
        .arg("check")
        .arg(&boot)
        .env("TMPDIR", &temporary)
        .stdout(Stdio::null())
        .spawn()?;
    // Programs that work there, of which lcow is one.
    let working = || processes_with(&temporary.to_string_lossy());
    while working().is_empty() {
        ensure!(check.try_wait()?.is_none(), "it ended before it was told to");
        std::thread::yield_now();
    }
    kill(Pid::from_raw(i32::try_from(check.id())?), Signal::SIGTERM)?;
    ensure!(check.wait()?.code() == Some(130), "not ended by the signal");
    let left: Vec<_> = fs::read_dir(&temporary)?.flatten().map(|entry| entry.file_name()).collect();
    ensure!(left.is_empty(), "{left:?}");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !working().is_empty() {
        ensure!(Instant::now() < deadline, "still there: {:?}", working());
        std::thread::yield_now();
    }
    Ok(())
}

/// Processes with `text` among their arguments.
fn processes_with(text: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let arguments = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    arguments
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .filter(|words| words.contains(text))
        .collect()
}

fn a_container_runs_on_a_distribution_kernel(home: &Home) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let out = dir.path().join("boot");
    let text = out.to_str().context("a path in UTF-8")?;
    let output = uvm_build(home, &["default", "-o", text, "--kernel", "debian"])?;
    ensure!(output.status == 0, "{}", output.stderr);
    let output = home.lcow(&["run", "--rm", "--boot-files", text, "busybox", "echo", "hello"])?.well()?;
    ensure!(output.text() == "hello\n", "{output:?}");
    Ok(())
}
