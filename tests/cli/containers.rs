//! Containers that are kept, listed and removed.

use std::process::Command;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;

use crate::home::Home;
use crate::{Test, boots, plain};

pub(crate) const TESTS: &[Test] = &[
    plain("removing_what_is_not_there_is_an_error", unknown),
    boots("what_was_written_is_kept_until_it_is_removed", kept),
    boots("a_running_one_is_listed_and_keeps_its_name", running),
    boots("a_full_disk_fails_what_writes_and_nothing_else", full_disk),
    boots("a_killed_lcow_leaves_no_vm", killed),
];

/// The status column of a container.
fn status(home: &Home, flags: &[&str], name: &str) -> Result<Option<String>> {
    let list = home.lcow(&[&["ps"], flags].concat())?.well()?.text();
    let rows = list.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    Ok(rows.filter(|row| row[0] == name).map(|row| row[4].to_owned()).next())
}

fn unknown(home: &Home) -> Result<()> {
    home.lcow(&["rm", "nobody"])?.refused(125, &["nobody"])?;
    Ok(())
}

fn kept(home: &Home) -> Result<()> {
    let words = ["run", "--name", "kept", "busybox", "sh", "-c", "echo precious > /kept; exit 3"];
    home.lcow(&words)?.ended(3)?;
    home.lcow(&words)?.refused(125, &["kept", "taken"])?;
    ensure!(status(home, &[], "kept")?.is_none());
    ensure!(status(home, &["-a"], "kept")?.as_deref() == Some("exited (3)"));
    let scratch = home.path().join("containers/kept/scratch.img");
    match Command::new("e2fsck").arg("-fn").arg(&scratch).output() {
        Ok(check) => {
            let text = String::from_utf8_lossy(&check.stdout).into_owned();
            ensure!(check.status.success(), "the disk was not unmounted: {text}");
        }
        Err(error) => println!("skipped: e2fsck: {error}"),
    }
    let removed = home.lcow(&["rm", "kept"])?.well()?;
    ensure!(removed.text() == "kept\n" && !scratch.exists());
    ensure!(status(home, &["-a"], "kept")?.is_none());
    Ok(())
}

fn running(home: &Home) -> Result<()> {
    let script = "trap 'echo bye; exit 143' TERM; echo ready; while true; do sleep 1; done";
    let mut first = home.background(&["run", "--name", "busy", "busybox", "sh", "-c", script])?;
    ensure!(first.line()? == "ready");
    ensure!(status(home, &[], "busy")?.as_deref() == Some("running"));
    home.lcow(&["rm", "busy"])?.refused(125, &["running"])?;
    home.lcow(&["run", "--name", "busy", "busybox", "true"])?.refused(125, &["taken"])?;
    first.signal(Signal::SIGTERM)?;
    let output = first.finish()?.ended(143)?;
    ensure!(output.text() == "bye\n", "{output:?}");
    ensure!(status(home, &["-a"], "busy")?.as_deref() == Some("exited (143)"));
    home.lcow(&["rm", "busy"])?.well()?;
    Ok(())
}

/// A tmpfs that goes with the value.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where we may not mount.
    fn mount() -> Result<Option<Self>> {
        let directory = tempfile::tempdir()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=32m", "small"])
            .arg(directory.path())
            .output()
            .is_ok_and(|output| output.status.success());
        Ok(mounted.then(|| Self(directory)))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The directory below stays empty if this fails, and says so.
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

fn full_disk(home: &Home) -> Result<()> {
    let Some(disk) = SmallDisk::mount()? else {
        println!("skipped: mounting a small disk needs privileges");
        return Ok(());
    };
    // The same images, and a place for containers that is soon full.
    let small = home.elsewhere(disk.0.path())?;
    let script = "dd if=/dev/zero of=/large bs=1M count=64 conv=fsync 2>/dev/null || echo failed";
    let output = small.lcow(&["run", "--rm", "busybox", "sh", "-c", script])?.well()?;
    ensure!(output.text() == "failed\n", "{output:?}");
    std::fs::remove_dir_all(small.path().join("layers"))?;
    let filler = disk.0.path().join("filler");
    // Fails when the disk is full, which is what it is for.
    let _ = std::fs::write(&filler, vec![0; 32 << 20]);
    let output = small.lcow(&["run", "--rm", "busybox", "true"])?;
    ensure!(output.status == 125 && output.stderr.contains("No space left"), "{output:?}");
    std::fs::remove_file(filler)?;
    small.lcow(&["run", "--rm", "busybox", "true"])?.well()?;
    Ok(())
}

fn killed(home: &Home) -> Result<()> {
    let script = "echo ready; while true; do sleep 1; done";
    let mut lcow = home.background(&["run", "--name", "victim", "busybox", "sh", "-c", script])?;
    ensure!(lcow.line()? == "ready");
    let vms = children(lcow.pid().as_raw())?;
    ensure!(!vms.is_empty(), "lcow runs no VM");
    lcow.signal(Signal::SIGKILL)?;
    // QEMU holds the other end of these pipes' lock: wait for lcow, then for its children to be gone.
    ensure!(lcow.finish()?.status == -9);
    for vm in vms {
        while is_alive(vm) {
            std::thread::yield_now();
        }
    }
    let status = status(home, &["-a"], "victim")?.unwrap_or_default();
    ensure!(status.starts_with("dead"), "{status}");
    home.lcow(&["rm", "victim"])?.well()?;
    Ok(())
}

/// Processes whose parent is this one.
fn children(parent: i32) -> Result<Vec<i32>> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse::<i32>() else { continue };
        // A process may end while we look.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        if after_name.split_whitespace().nth(1).and_then(|word| word.parse::<i32>().ok()) == Some(parent) {
            children.push(pid);
        }
    }
    Ok(children)
}

/// Neither gone nor a zombie that nobody reaps.
fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}
