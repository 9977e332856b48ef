//! Machines whose root file system is on a read-only disk: everything works, and all state is in memory.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, ensure};
use host_bridge::uvm::{BootPlan, Root};
use lcow_tests::foreign::ForeignHost;
use lcow_tests::suite::Suite;
use lcow_tests::{Lab, boot_files};

use crate::storage::container_on_layers;

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    Suite::new("roots", lab)
        .test("containers_run_from_a_read_only_scsi_disk", |_| on(Root::Scsi))
        .test("containers_run_from_read_only_persistent_memory", pmem)
        .test("etc_and_var_are_writable_when_asked", |_| writable_overlays())
        .test("a_foreign_host_boots_from_a_disk", |_| foreign())
}

/// The disk that the boot files have, if their kernel can boot from one.
fn disk() -> Option<PathBuf> {
    let path = boot_files()?.join("rootfs.vhd");
    if path.is_file() {
        return Some(path);
    }
    println!(
        "skipped: the boot files have no rootfs.vhd; a kernel whose disk drivers are modules cannot boot from one"
    );
    None
}

/// Whether the kernel of the boot files shows its configuration and lacks `option` in it. The test is skipped then.
pub(crate) async fn kernel_lacks(lab: &Lab, option: &str) -> Result<bool> {
    let script = format!(
        "zcat /proc/config.gz 2>/dev/null | grep -q . && ! zcat /proc/config.gz | grep -q '^{option}=[ym]'"
    );
    let lacks = lab.try_shell(&script).await?.status == 0;
    if lacks {
        println!("skipped: the kernel of the boot files was built without {option}");
    }
    Ok(lacks)
}

async fn pmem(lab: Arc<Lab>) -> Result<()> {
    if kernel_lacks(&lab, "CONFIG_ND_CLAIM").await? {
        return Ok(());
    }
    on(Root::Pmem).await
}

async fn on(root: fn(PathBuf) -> Root) -> Result<()> {
    let Some(disk) = disk() else { return Ok(()) };
    let own = Lab::with_plan(BootPlan { root: root(disk), ..Lab::plan() })?;
    own.shell("grep ' / ext4 ro' /proc/mounts && ! touch /etc/x /var/x /x").await?;
    container_on_layers(Arc::clone(&own)).await?;
    // All that was written is in memory or on the container's own disk.
    let script = "grep -vE '^(proc|sysfs|dev|devpts|devtmpfs|tmpfs|run|tmp|shm|cgroup2?|/dev/[a-z0-9-]+) ' /proc/mounts; true";
    let output = own.shell(script).await?;
    ensure!(output.stdout.is_empty(), "{output:?}");
    Ok(())
}

async fn writable_overlays() -> Result<()> {
    let Some(disk) = disk() else { return Ok(()) };
    let init = "-e 1 -w /bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel info";
    let plan = BootPlan { root: Root::Scsi(disk), init_args: Some(init.to_owned()), ..Lab::plan() };
    let own = Lab::with_plan(plan)?;
    own.shell("echo x > /etc/made && echo x > /var/made && ! touch /made && grep -q root /etc/passwd")
        .await?;
    // Programs may be run from /var.
    let output = own.container().await?.script("echo from /var").run(&own).await?;
    ensure!(output.stdout == b"from /var\n", "{output:?}");
    Ok(())
}

async fn foreign() -> Result<()> {
    let Some(disk) = disk() else { return Ok(()) };
    let host = ForeignHost::boot(&["--root", &format!("scsi:{}", disk.display())]).await?;
    host.connect(0).await.map(drop)
}
