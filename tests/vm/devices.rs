//! Persistent memory, shares and partitions: what lies below mounts, and that nothing of it is left behind.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use host_bridge::uvm::{BootPlan, Uvm};
use host_bridge::vmm::{Disk, Lun, Pmem};
use lcow_protocol::{HResult, ports};
use lcow_tests::suite::Suite;
use lcow_tests::{Lab, plan9, refusal};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::roots::kernel_lacks;
use crate::storage::{layer_disk, modify};
use crate::verity::verity_disk;

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    Suite::new("devices", lab)
        .test("layers_packed_in_persistent_memory_are_mounted", packed_pmem)
        .test("a_directory_of_the_host_is_shared", share)
        .test("a_share_that_the_server_refuses_leaves_nothing", refused_share)
        .test("partitions_are_mounted_by_number", partitions)
        .test("a_bundle_bound_to_its_scratch_is_let_go_of_without_a_container", bundle_bind)
        .test("one_layer_without_a_scratch_is_a_root_that_cannot_be_written", single_layer)
        .test("a_union_that_cannot_be_mounted_leaves_nothing", failed_union)
        .test("mount_paths_are_not_followed_through_links", links_on_the_way)
}

/// Fails if the mount point, what is mounted on it or a mapped device named like `device` is still there.
pub(crate) async fn gone(lab: &Lab, target: &str, device: &str) -> Result<()> {
    let script = format!(
        "test ! -e {target} && ! grep ' {target} ' /proc/mounts && ! ls /dev/mapper | grep -e '-{device}-' && \
         ! cat /sys/block/dm-*/dm/name 2>/dev/null | grep -e '-{device}-'"
    );
    lab.shell(&script).await.map(drop)
}

/// What is mounted and mapped in a VM.
async fn leftovers(lab: &Lab) -> Result<String> {
    let script = "grep -c . /proc/mounts; ls /sys/block | grep -c dm-; ls /dev/mapper 2>/dev/null | grep -v control; true";
    Ok(String::from_utf8(lab.shell(script).await?.stdout)?)
}

pub(crate) async fn plug(uvm: &Uvm, path: &Path, read_only: bool) -> Result<Lun> {
    Ok(uvm.attach_disk(&Disk::open(path, read_only)?).await?)
}

pub(crate) async fn pull(uvm: &Uvm, lun: Lun) -> Result<()> {
    modify(uvm, "Remove", "SCSIDevice", json!({"Lun": lun.get()})).await?;
    Ok(uvm.detach_disk(lun).await?)
}

/// Two layers behind each other in one file, the second with a hash tree; returns their sizes.
fn packed(path: &Path, directory: &Path) -> Result<[u64; 2]> {
    let (first, second) = (directory.join("first"), directory.join("second"));
    layer_disk(&first, &[("word", b"first")])?;
    verity_disk(&second)?;
    let mut bytes = Vec::new();
    let mut sizes = [0; 2];
    for (size, layer) in sizes.iter_mut().zip([first, second]) {
        let layer = fs::read(layer)?;
        *size = (layer.len() as u64).next_multiple_of(4096);
        bytes.extend(layer);
        bytes.resize(bytes.len().next_multiple_of(4096), 0);
    }
    // Firmware places persistent memory in units of 2 MiB.
    bytes.resize(bytes.len().next_multiple_of(2 << 20), 0);
    fs::write(path, bytes)?;
    Ok(sizes)
}

async fn packed_pmem(lab: Arc<Lab>) -> Result<()> {
    if kernel_lacks(&lab, "CONFIG_ND_CLAIM").await? {
        return Ok(());
    }
    let directory = TempDir::new()?;
    let path = directory.path().join("pmem");
    let [first, second] = packed(&path, directory.path())?;
    let whole = directory.path().join("whole");
    layer_disk(&whole, &[("word", b"whole")])?;
    File::options().write(true).open(&whole)?.set_len(8 << 20)?;
    let pmem = [path, whole].map(|path| Pmem { path, read_only: true }).to_vec();
    let own = Lab::with_plan(BootPlan { pmem, ..Lab::plan() })?;
    let result = packed_layers(&own, first, second).await;
    let words = own.last_words();
    drop(own);
    result.context(words)
}

async fn packed_layers(lab: &Lab, first: u64, second: u64) -> Result<()> {
    let uvm = lab.uvm().await?;
    let before = leftovers(lab).await?;
    let part = |offset: u64, size: u64| {
        json!({"MountPath": format!("/run/layers/p0-{offset}-{size}"),
            "MappingInfo": {"DeviceOffsetInBytes": offset, "DeviceSizeInBytes": size}})
    };
    let layers = [
        (part(0, first), format!("/dev/mapper/dm-linear-pmem0-0-{first}"), "word", "first"),
        (
            part(first, second),
            format!("/dev/mapper/dm-verity-pmem0-{first}-{second}-"),
            "etc/word",
            "verified",
        ),
        (json!({"DeviceNumber": 1, "MountPath": "/run/layers/p1"}), "/dev/pmem1".to_owned(), "word", "whole"),
    ];
    for (settings, source, file, word) in &layers {
        modify(&uvm, "Add", "VPMemDevice", settings.clone()).await?;
        let target = settings["MountPath"].as_str().unwrap_or_default();
        let script =
            format!("grep '^{source}[0-9a-f]* {target} ext4 ro' /proc/mounts >&2 && cat {target}/{file}");
        let output = lab.shell(&script).await?;
        ensure!(output.stdout == word.as_bytes(), "{output:?}");
    }
    // Three mounts on two devices can be joined like any other layers.
    let union = json!({"ContainerID": "u", "ContainerRootPath": "/run/union/rootfs",
        "Layers": layers.iter().map(|(settings, ..)| json!({"Path": settings["MountPath"]})).collect::<Vec<Value>>()});
    modify(&uvm, "Add", "CombinedLayers", union.clone()).await?;
    lab.shell("grep -q first /run/union/rootfs/word && ! touch /run/union/rootfs/new").await?;
    modify(&uvm, "Remove", "CombinedLayers", json!({"ContainerRootPath": "/run/union/rootfs"})).await?;
    for (settings, ..) in layers {
        modify(&uvm, "Remove", "VPMemDevice", settings).await?;
    }
    let after = leftovers(lab).await?;
    ensure!(before == after, "{before:?} {after:?}");
    for odd in [part(100, 4096), part(0, 0)] {
        ensure!(refusal(modify(&uvm, "Add", "VPMemDevice", odd).await) == Some(HResult::FAIL));
    }
    Ok(())
}

async fn share(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let directory = TempDir::new()?;
    fs::write(directory.path().join("greeting"), "hello from the host\n")?;
    let listener = uvm.guest().listen_on(ports::PLAN9)?;
    let server = tokio::spawn(plan9::serve(listener, directory.path().to_owned(), "7".to_owned()));
    let (writable, read_only) = (lab.unique("/run/mounts/plan9/w"), lab.unique("/run/mounts/plan9/r"));
    let settings = |path: &str, read_only: bool| json!({"MountPath": path, "Port": ports::PLAN9.0, "ShareName": "7", "ReadOnly": read_only});
    modify(&uvm, "Add", "MappedDirectory", settings(&writable, false)).await?;
    modify(&uvm, "Add", "MappedDirectory", settings(&read_only, true)).await?;
    let output = lab.shell(&format!("ls {writable} && cat {writable}/greeting")).await?;
    ensure!(output.stdout == b"greeting\nhello from the host\n", "{output:?}");
    lab.shell(&format!("echo from the guest > {writable}/answer")).await?;
    ensure!(fs::read_to_string(directory.path().join("answer"))? == "from the guest\n");
    let refused = lab.try_shell(&format!("echo x > {read_only}/more")).await?;
    ensure!(refused.status != 0 && !directory.path().join("more").exists(), "{refused:?}");
    for path in [&writable, &read_only] {
        modify(&uvm, "Remove", "MappedDirectory", json!({"MountPath": path, "Port": ports::PLAN9.0})).await?;
    }
    server.abort();
    gone(&lab, &writable, "none").await?;
    gone(&lab, &read_only, "none").await?;
    Ok(())
}

async fn refused_share(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let port = lcow_protocol::VsockPort(5640);
    let target = lab.unique("/run/mounts/plan9/x");
    let settings = json!({"MountPath": target, "Port": port.0, "ShareName": "other"});
    // Nobody listens.
    ensure!(refusal(modify(&uvm, "Add", "MappedDirectory", settings.clone()).await) == Some(HResult::FAIL));
    let directory = TempDir::new()?;
    let listener = uvm.guest().listen_on(port)?;
    let server = tokio::spawn(plan9::serve(listener, directory.path().to_owned(), "7".to_owned()));
    ensure!(refusal(modify(&uvm, "Add", "MappedDirectory", settings).await) == Some(HResult::FAIL));
    server.abort();
    gone(&lab, &target, "none").await?;
    Ok(())
}

/// A disk with a GPT whose second partition is a layer.
fn partitioned(path: &Path, layer: &Path) -> Result<()> {
    layer_disk(layer, &[("word", b"second")])?;
    let content = fs::read(layer)?;
    let sectors = content.len().div_ceil(512).next_multiple_of(2048);
    let disk = File::create(path)?;
    disk.set_len(((4096 + sectors + 2048) * 512) as u64)?;
    disk.write_all_at(&content, 4096 * 512)?;
    let output = Command::new("sgdisk")
        .args(["--new=1:2048:4095".to_owned(), format!("--new=2:4096:{}", 4096 + sectors - 1)])
        .arg(path)
        .output()
        .context("sgdisk of the gdisk package")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

async fn partitions(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let directory = TempDir::new()?;
    let [path, layer]: [PathBuf; 2] = ["disk", "layer"].map(|name| directory.path().join(name));
    partitioned(&path, &layer)?;
    let lun = plug(&uvm, &path, true).await?;
    let target = format!("/run/mounts/{}", lab.unique("part"));
    let settings = json!({"MountPath": target, "Lun": lun.get(), "Partition": 2, "ReadOnly": true,
        "Options": ["ro", "rshared"]});
    modify(&uvm, "Add", "MappedVirtualDisk", settings.clone()).await?;
    lab.shell(&format!("grep -q second {target}/word && grep ' {target} ro.* shared:' /proc/self/mountinfo"))
        .await?;
    modify(&uvm, "Remove", "MappedVirtualDisk", settings).await?;
    // An attached disk without a mount path is only waited for.
    modify(&uvm, "Add", "MappedVirtualDisk", json!({"Lun": lun.get(), "Partition": 1})).await?;
    modify(&uvm, "Remove", "MappedVirtualDisk", json!({"Lun": lun.get(), "Partition": 1})).await?;
    pull(&uvm, lun).await?;
    gone(&lab, &target, &format!("lun{}", lun.get())).await?;
    Ok(())
}

async fn bundle_bind(lab: Arc<Lab>) -> Result<()> {
    let id = lab.unique("bound");
    let (bundle, scratch, layer) =
        (format!("/run/gcs/pods/p/{id}"), format!("/run/scratch/{id}"), format!("/run/l/{id}"));
    // Overlays cannot have their upper directory below /run in every kernel, so it has a file system of its own.
    lab.shell(&format!(
        "mkdir -p {scratch} {layer} && mount -t tmpfs none {scratch} && echo x > {layer}/word"
    ))
    .await?;
    let uvm = lab.uvm().await?;
    let layers = json!({"ContainerID": id, "ContainerRootPath": format!("{bundle}/rootfs"), "ScratchPath": scratch,
        "Layers": [{"Path": layer}]});
    modify(&uvm, "Add", "CombinedLayers", layers).await?;
    lab.shell(&format!(
        "grep -q x {bundle}/rootfs/word && echo new > {bundle}/rootfs/new && test -e {scratch}/upper/new && \
                        touch {bundle}/file && test -e {scratch}/bundle/file"
    ))
    .await?;
    // One kind of host says no more than this.
    modify(&uvm, "Remove", "CombinedLayers", json!({"ContainerRootPath": format!("{bundle}/rootfs")}))
        .await?;
    lab.shell(&format!("! grep {bundle} /proc/mounts && test ! -e {bundle}")).await?;
    lab.shell(&format!("umount {scratch} && rmdir {scratch} && rm -r {layer}")).await?;
    Ok(())
}

async fn single_layer(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let id = lab.unique("single");
    lab.shell(&format!("mkdir -p /run/l/{id} && echo x > /run/l/{id}/word")).await?;
    let root = format!("/run/gcs/c/{id}/rootfs");
    let layers =
        json!({"ContainerID": id, "ContainerRootPath": root, "Layers": [{"Path": format!("/run/l/{id}")}]});
    modify(&uvm, "Add", "CombinedLayers", layers.clone()).await?;
    lab.shell(&format!("grep -q x {root}/word && ! touch {root}/new && touch /run/l/{id}/other")).await?;
    modify(&uvm, "Remove", "CombinedLayers", layers).await?;
    gone(&lab, &root, "none").await?;
    lab.shell(&format!("rm -r /run/l/{id} /run/gcs/c/{id}")).await?;
    Ok(())
}

async fn failed_union(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    lab.shell("mkdir -p /var/lab/failed/scratch").await?;
    let union = json!({"ContainerID": "f", "ContainerRootPath": "/var/lab/failed/c/rootfs",
        "Layers": [{"Path": "/no/such/layer"}], "ScratchPath": "/var/lab/failed/scratch"});
    ensure!(refusal(modify(&uvm, "Add", "CombinedLayers", union).await) == Some(HResult::FAIL));
    let left =
        lab.shell("cd /var/lab/failed && find . | sort; grep -c /var/lab/failed /proc/mounts; true").await?;
    ensure!(left.stdout == b".\n./scratch\n0\n", "{left:?}");
    Ok(())
}

async fn links_on_the_way(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let directory = TempDir::new()?;
    let path = directory.path().join("layer");
    layer_disk(&path, &[("word", b"x")])?;
    let lun = plug(&uvm, &path, true).await?;
    let base = lab.unique("/run/trap");
    lab.shell(&format!("mkdir -p {base}/victim && ln -s {base}/victim {base}/link")).await?;
    for target in [format!("{base}/link"), format!("{base}/link/below")] {
        for block in [false, true] {
            let settings =
                json!({"MountPath": target, "Lun": lun.get(), "ReadOnly": true, "BlockDev": block});
            let result = refusal(modify(&uvm, "Add", "MappedVirtualDisk", settings).await);
            ensure!(result == Some(HResult::FAIL), "{target} {block}: {result:?}");
        }
    }
    lab.shell(&format!("! grep {base} /proc/mounts && test -z \"$(ls {base}/victim)\" && rm -r {base}"))
        .await?;
    pull(&uvm, lun).await
}
