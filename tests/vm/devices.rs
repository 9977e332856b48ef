//! Mapped devices, persistent memory and shares: what lies below mounts, and that nothing of it is left behind.

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

use crate::storage::{layer_disk, modify};

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    Suite::new("devices", lab)
        .test("a_layer_with_a_hash_tree_is_opened_through_dm_verity", verity)
        .test("a_layer_with_one_flipped_byte_fails_closed", flipped_byte)
        .test("an_encrypted_disk_shows_nothing_outside_the_vm", encrypted)
        .test("layers_packed_in_persistent_memory_are_mounted", packed_pmem)
        .test("a_directory_of_the_host_is_shared", share)
        .test("a_share_that_the_server_refuses_leaves_nothing", refused_share)
        .test("partitions_are_mounted_by_number", partitions)
}

/// Fails if the mount point, what is mounted on it or a mapped device named like `device` is still there.
async fn gone(lab: &Lab, target: &str, device: &str) -> Result<()> {
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

async fn plug(uvm: &Uvm, path: &Path, read_only: bool) -> Result<Lun> {
    Ok(uvm.attach_disk(&Disk::open(path, read_only)?).await?)
}

async fn pull(uvm: &Uvm, lun: Lun) -> Result<()> {
    modify(uvm, "Remove", "SCSIDevice", json!({"Lun": lun.get()})).await?;
    Ok(uvm.detach_disk(lun).await?)
}

/// A layer with a hash tree made by `veritysetup`; returns the root hash and where the tree begins.
fn verity_disk(path: &Path) -> Result<(String, u64)> {
    layer_disk(path, &[("etc/", b""), ("etc/word", b"verified"), ("big", &vec![0x42; 3 << 20])])?;
    let mut superblock = [0; 1024];
    let file = File::options().read(true).write(true).open(path)?;
    file.read_exact_at(&mut superblock, 1024)?;
    let blocks = u32::from_le_bytes(*superblock[4..].first_chunk().context("a superblock")?);
    let size = u64::from(blocks) * 4096;
    // Without the footer of the VHD.
    file.set_len(size)?;
    let output = Command::new("veritysetup")
        .args(["format", "--data-block-size=4096", "--hash-block-size=4096"])
        .args([format!("--data-blocks={blocks}"), format!("--hash-offset={size}")])
        .args([path, path])
        .output()
        .context("veritysetup of the cryptsetup-bin package")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let root = text.lines().find_map(|line| line.strip_prefix("Root hash:")).context("a root hash")?;
    Ok((root.trim().to_owned(), size))
}

async fn verity(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let directory = TempDir::new()?;
    let path = directory.path().join("layer");
    let (root, _) = verity_disk(&path)?;
    let lun = plug(&uvm, &path, true).await?;
    let target = format!("/run/mounts/{}", lab.unique("verity"));
    let settings = json!({"MountPath": target, "Lun": lun.get(), "ReadOnly": true});
    modify(&uvm, "Add", "MappedVirtualDisk", settings.clone()).await?;
    let name = format!("/dev/mapper/dm-verity-scsi-contr0-lun{}-p0-{root}", lun.get());
    let script =
        format!("test -b {name} && grep '^{name} {target} ext4 ro' /proc/mounts && cat {target}/etc/word");
    let output = lab.shell(&script).await?;
    ensure!(output.stdout.ends_with(b"verified"), "{output:?}");
    modify(&uvm, "Remove", "MappedVirtualDisk", settings).await?;
    pull(&uvm, lun).await?;
    gone(&lab, &target, &format!("lun{}", lun.get())).await?;
    Ok(())
}

async fn flipped_byte(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let directory = TempDir::new()?;
    let path = directory.path().join("layer");
    let (_, size) = verity_disk(&path)?;
    let bytes = fs::read(&path)?;
    let at =
        bytes.windows(4096).position(|window| window.iter().all(|byte| *byte == 0x42)).context("the file")?;
    ensure!((at as u64) < size);
    File::options().write(true).open(&path)?.write_all_at(&[0x43], at as u64 + 100_000)?;
    let lun = plug(&uvm, &path, true).await?;
    let target = format!("/run/mounts/{}", lab.unique("flipped"));
    let settings = json!({"MountPath": target, "Lun": lun.get(), "ReadOnly": true});
    modify(&uvm, "Add", "MappedVirtualDisk", settings.clone()).await?;
    // What was not touched is still good; what was is an error and never wrong bytes.
    lab.shell(&format!("grep -q verified {target}/etc/word")).await?;
    let read = lab.try_shell(&format!("cat {target}/big > /dev/null")).await?;
    ensure!(read.status != 0, "a changed file was read");
    ensure!(String::from_utf8_lossy(&read.stderr).contains("Input/output error"), "{read:?}");
    modify(&uvm, "Remove", "MappedVirtualDisk", settings).await?;
    pull(&uvm, lun).await?;

    // A superblock that is damaged where it matters is no reason to mount without it.
    File::options().write(true).open(&path)?.write_all_at(b"x", size + 32)?;
    let lun = plug(&uvm, &path, true).await?;
    let settings = json!({"MountPath": target, "Lun": lun.get(), "ReadOnly": true});
    ensure!(refusal(modify(&uvm, "Add", "MappedVirtualDisk", settings).await) == Some(HResult::FAIL));
    pull(&uvm, lun).await?;
    gone(&lab, &target, &format!("lun{}", lun.get())).await?;
    Ok(())
}

async fn encrypted(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let directory = TempDir::new()?;
    let path = directory.path().join("scratch.img");
    File::create(&path)?.set_len(64 << 20)?;
    let lun = plug(&uvm, &path, false).await?;
    let target = format!("/run/mounts/{}", lab.unique("secret"));
    let settings = json!({"MountPath": target, "Lun": lun.get(), "Encrypted": true, "EnsureFilesystem": true,
        "Filesystem": "xfs"});
    modify(&uvm, "Add", "MappedVirtualDisk", settings).await?;
    let word = "a word that nobody outside may read";
    lab.shell(&format!("echo '{word}' > {target}/secret && sync && grep -q '{word}' {target}/secret"))
        .await?;
    lab.shell(&format!("test -b /dev/mapper/dm-crypt-scsi-contr0-lun{}-p0", lun.get())).await?;
    // One kind of host does not say again that the disk was encrypted.
    let forgetful = json!({"MountPath": target, "Lun": lun.get()});
    modify(&uvm, "Remove", "MappedVirtualDisk", forgetful).await?;
    pull(&uvm, lun).await?;
    gone(&lab, &target, &format!("lun{}", lun.get())).await?;
    let bytes = fs::read(&path)?;
    ensure!(!bytes.windows(word.len()).any(|window| window == word.as_bytes()), "the word is on the disk");
    ensure!(bytes.iter().any(|byte| *byte != 0), "nothing was written at all");
    Ok(())
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

async fn packed_pmem(_: Arc<Lab>) -> Result<()> {
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
