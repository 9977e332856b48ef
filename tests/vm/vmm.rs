//! `lcow uvm boot`: how it ends, what it refuses, and that nothing is left behind.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use host_bridge::guest::Stage;
use host_bridge::uvm::{BootError, BootPlan, Uvm};
use lcow_disk::{vhd, vhdx};
use lcow_tests::command::{self, UvmBoot, is_gone};
use lcow_tests::foreign::{ForeignHost, Stream};
use lcow_tests::suite::Suite;
use lcow_tests::{Lab, boot_files};
use nix::sys::signal::Signal;
use tokio::io::AsyncReadExt;

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    Suite::new("vmm", lab)
        .test("a_guest_that_powers_off_is_status_0", |_| ends("/bin/true", 0))
        .test("a_guest_that_panics_is_status_1", |_| ends("/bin/false", 1))
        .test("disks_are_at_their_units_and_sigterm_leaves_nothing", disks_and_sigterm)
        .test("what_cannot_be_booted_is_status_125", refusals)
        .test("a_guest_that_never_connects_is_an_error_that_says_how_far_it_came", never_connects)
}

async fn ends(init: &str, status: i32) -> Result<()> {
    let directory = tempfile::tempdir()?;
    // PID 1 powers the machine off when its program succeeds, and lets the kernel panic when it fails.
    let mut boot = UvmBoot::start(&directory.path().join("vm"), &["--init-args", init])?;
    let ended = boot.status().await?;
    ensure!(ended == status, "status {ended} instead of {status}");
    let left: Vec<_> = fs::read_dir(directory.path())?.collect();
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

/// Bytes of the disks: raw, fixed VHD, VHDX.
const SIZES: [u64; 3] = [1 << 20, 2 << 20, 8 << 20];

fn make_disks(directory: &Path) -> Result<[String; 3]> {
    let paths = ["raw", "vhd", "vhdx"].map(|name| directory.join(name).to_string_lossy().into_owned());
    File::create(&paths[0])?.set_len(SIZES[0])?;
    let mut bytes = vec![0; usize::try_from(SIZES[1])?];
    bytes.extend(vhd::Footer::fixed(SIZES[1], [7; 16]).encode());
    fs::write(&paths[1], bytes)?;
    vhdx::Disk::new(File::create_new(&paths[2])?, SIZES[2], [8; 16])?.finish()?;
    Ok(paths)
}

async fn disks_and_sigterm(_: Arc<Lab>) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let disks = make_disks(directory.path())?;
    let read_only = format!("{},ro", disks[1]);
    let mut host =
        ForeignHost::boot(&["--disk", &disks[0], "--disk", &read_only, "--disk", &disks[2]]).await?;
    let mut bridge = host.connect(0).await?;
    let script = "cd /sys/class/scsi_disk; for disk in *; do \
                  echo ${disk##*:} $(cat $disk/device/block/*/size) $(cat $disk/device/block/*/ro); done";
    let (_, mut stdout) = host.shell(&mut bridge, script, Stream::Output).await?;
    let mut text = String::new();
    stdout.read_to_string(&mut text).await?;
    let [raw, vhd, vhdx] = SIZES.map(|size| size / 512);
    ensure!(text == format!("0 {raw} 0\n1 {vhd} 1\n2 {vhdx} 0\n"), "{text}");

    let before = host.files()?;
    let children = host.command().children()?;
    ensure!(!children.is_empty(), "no QEMU");
    host.command().signal(Signal::SIGTERM)?;
    let status = host.command().status().await?;
    ensure!(status == 0, "status {status}");
    children.into_iter().try_for_each(is_gone)?;
    ensure!(host.files()? == before, "{before:?} {:?}", host.files()?);
    Ok(())
}

async fn refusals(_: Arc<Lab>) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let disk = path("disk");
    File::create(&disk)?.set_len(1 << 20)?;
    let (sockets, empty) = (path("vm"), path("empty"));
    fs::create_dir(&empty)?;
    let boot = boot_files().context("$LCOW_TEST_BOOT is not set")?;
    let boot = boot.to_string_lossy();
    let many: Vec<&str> = ["--disk", disk.as_str()].repeat(65);
    let cases: [(&str, Vec<&str>, &str); 9] = [
        ("a bad MAC address", vec!["--nic", "user,mac=12:34"], "MAC"),
        ("a group's MAC address", vec!["--nic", "user,mac=01:00:5e:00:00:01"], "MAC"),
        ("another network", vec!["--nic", "bridge"], "user"),
        ("an unknown option", vec!["--frobnicate"], "--frobnicate"),
        ("a disk that is not there", vec!["--disk", "/no/such/disk"], "/no/such/disk"),
        ("the 65th disk", many, "64"),
        ("no memory", vec!["-m", "0"], "0"),
        ("a root that is not there", vec!["--root", "scsi:/no/such/root"], "/no/such/root"),
        ("no boot files", vec!["--boot-files", &empty], &empty),
    ];
    for (what, args, words) in cases {
        let mut command = command::lcow(&["uvm", "boot", "--vsock-uds", &sockets])?;
        if !args.contains(&"--boot-files") {
            command.args(["--boot-files", &boot]);
        }
        let output = command::output({
            command.args(args);
            command
        })
        .await?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(125), "{what}: {} {error}", output.status);
        ensure!(error.contains(words), "{what}: the reason does not name {words:?}: {error}");
        ensure!(output.stdout.is_empty(), "{what}: {:?}", String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}

async fn never_connects(_: Arc<Lab>) -> Result<()> {
    let plan = BootPlan {
        init_args: Some("/bin/sleep 1000".to_owned()),
        connect_timeout: Duration::from_secs(6),
        first_try: Duration::from_secs(3),
        ..Lab::plan()
    };
    match Uvm::boot(&plan).await {
        // The second machine's time: the first had its own.
        Err(error @ BootError::Timeout { limit, stage: Stage::Kernel, .. }) => {
            ensure!(limit == Duration::from_secs(3), "{error}");
            ensure!(error.to_string().contains("did not connect"), "{error}");
            Ok(())
        }
        Err(error) => bail!("another error: {error}"),
        Ok(_) => bail!("it connected"),
    }
}
