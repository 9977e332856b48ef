//! Disks that are plugged into the running VM, and roots made of them.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use host_bridge::guest::{GuestError, Stdio};
use host_bridge::uvm::Uvm;
use host_bridge::vmm::Disk;
use lcow_disk::ext4::{layer, mkfs};
use lcow_protocol::messages::{ModifyRequest, ModifySettings};
use lcow_protocol::{ContainerId, HResult};
use lcow_tests::suite::Suite;
use lcow_tests::{Lab, LabContainer, refusal};
use serde_json::{Value, json};

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    Suite::new("storage", lab)
        .test("a_container_on_layers_and_a_scratch_disk", container_on_layers)
        .test("an_empty_disk_is_formatted_when_asked", ensure_filesystem)
        .test("a_disk_with_xfs_keeps_it", xfs)
        .test("a_disk_without_a_file_system_is_refused", unknown_filesystem)
        .test("a_block_device_is_linked", block_device)
        .test("settings_that_make_no_sense_are_refused", bad_settings)
}

pub(crate) async fn modify(uvm: &Uvm, verb: &str, resource: &str, settings: Value) -> Result<(), GuestError> {
    let request = ModifyRequest { request_type: verb.into(), resource_type: resource.into(), settings };
    uvm.guest().call(&ContainerId::null(), ModifySettings { request }).await.map(drop)
}

/// A layer with these files; a name that ends with a slash is a directory.
pub(crate) fn layer_disk(path: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        if name.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        archive.append_data(&mut header, name, *content)?;
    }
    let archive = archive.into_inner()?;
    let file = std::fs::File::create(path)?;
    layer::convert(&archive[..], file, &layer::Options { vhd_footer: true, ..layer::Options::default() })?;
    Ok(())
}

pub(crate) async fn container_on_layers(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let directory = tempfile::tempdir()?;
    let busybox = std::fs::read("/bin/busybox").context("the busybox-static package")?;
    let lower = directory.path().join("lower.vhd");
    let upper = directory.path().join("upper.vhd");
    layer_disk(
        &lower,
        &[
            ("bin/", b""),
            ("bin/sh", &busybox),
            ("gone", b"x"),
            ("etc/", b""),
            ("etc/a", b"lower"),
            ("proc/", b""),
            ("dev/", b""),
            ("sys/", b""),
        ],
    )?;
    layer_disk(&upper, &[(".wh.gone", b""), ("etc/", b""), ("etc/a", b"upper")])?;
    let scratch = directory.path().join("scratch.img");
    mkfs::create(&scratch, 1 << 30, &mkfs::Options::default())?;

    let id = lab.unique("layered");
    let bundle = format!("/run/gcs/c/{id}");
    let mut mounted = Vec::new();
    for (disk, read_only, path) in [
        (&lower, true, format!("/run/mounts/scsi/{id}-0")),
        (&upper, true, format!("/run/mounts/scsi/{id}-1")),
        (&scratch, false, bundle.clone()),
    ] {
        let lun = uvm.attach_disk(&Disk::open(disk, read_only)?).await?;
        let settings = json!({"MountPath": path, "Lun": lun.get(), "ReadOnly": read_only});
        modify(&uvm, "Add", "MappedVirtualDisk", settings.clone()).await?;
        mounted.push((lun, settings));
    }
    let scratch_path = format!("{bundle}/scratch/{id}");
    let layers = json!({"ContainerID": id, "ContainerRootPath": format!("{bundle}/rootfs"), "ScratchPath": scratch_path,
        "Layers": [{"Path": format!("/run/mounts/scsi/{id}-1")}, {"Path": format!("/run/mounts/scsi/{id}-0")}]});
    modify(&uvm, "Add", "CombinedLayers", layers.clone()).await?;

    let mut container = LabContainer::at(id.clone(), bundle.clone()).script(
        "cat /etc/a; test -e /gone || echo gone; echo new > /new; echo x > /dev/stdout; cat /etc/hostname",
    );
    container.spec["process"]["cwd"] = json!("/made/for/it");
    uvm.container_create(&container.id, &bundle, container.spec.clone(), Some(&scratch_path)).await?;
    let output = uvm.container_start(&container.id, Stdio::OUTPUT).await?.output().await?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(text == "uppergone\nx\nlab\n", "{text:?} {:?}", String::from_utf8(output.stderr));
    lab.shell(&format!("grep -q new {scratch_path}/upper/new")).await?;

    modify(&uvm, "Remove", "CombinedLayers", layers).await?;
    uvm.container_delete(&container.id).await?;
    lab.shell(&format!("test ! -e {scratch_path}")).await?;
    for (lun, settings) in mounted.into_iter().rev() {
        modify(&uvm, "Remove", "MappedVirtualDisk", settings).await?;
        modify(&uvm, "Remove", "SCSIDevice", json!({"Lun": lun.get()})).await?;
        uvm.detach_disk(lun).await?;
    }
    lab.shell(&format!("! grep {id} /proc/mounts && test ! -e {bundle}")).await?;
    let check = std::process::Command::new("e2fsck").args(["-fn"]).arg(&scratch).output()?;
    ensure!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    Ok(())
}

async fn ensure_filesystem(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("empty.img");
    std::fs::File::create(&path)?.set_len(64 << 20)?;
    let lun = uvm.attach_disk(&Disk::open(&path, false)?).await?;
    let target = format!("/run/mounts/{}", lab.unique("fresh"));
    let settings =
        json!({"MountPath": target, "Lun": lun.get(), "EnsureFilesystem": true, "Filesystem": "ext4"});
    modify(&uvm, "Add", "MappedVirtualDisk", settings.clone()).await?;
    lab.shell(&format!("echo kept > {target}/file")).await?;
    // Twice at one place stacks; what is there already is not formatted again.
    modify(&uvm, "Remove", "MappedVirtualDisk", settings.clone()).await?;
    modify(&uvm, "Add", "MappedVirtualDisk", settings.clone()).await?;
    lab.shell(&format!("grep -q kept {target}/file")).await?;
    modify(&uvm, "Remove", "MappedVirtualDisk", settings).await?;
    let btrfs =
        json!({"MountPath": target, "Lun": lun.get(), "EnsureFilesystem": true, "Filesystem": "btrfs"});
    ensure!(refusal(modify(&uvm, "Add", "MappedVirtualDisk", btrfs).await) == Some(HResult::FAIL));
    let xfs = json!({"MountPath": target, "Lun": lun.get(), "EnsureFilesystem": true, "Filesystem": "xfs"});
    modify(&uvm, "Add", "MappedVirtualDisk", xfs.clone()).await?;
    // What it has serves, and is not formatted for a name.
    lab.shell(&format!("grep -q kept {target}/file && grep -q ' {target} ext4 ' /proc/mounts")).await?;
    modify(&uvm, "Remove", "MappedVirtualDisk", xfs).await?;
    modify(&uvm, "Remove", "SCSIDevice", json!({"Lun": lun.get()})).await?;
    uvm.detach_disk(lun).await?;
    let check = std::process::Command::new("e2fsck").args(["-fn"]).arg(&path).output()?;
    ensure!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    Ok(())
}

async fn xfs(lab: Arc<Lab>) -> Result<()> {
    if lab.shell("grep -qw xfs /proc/filesystems").await.is_err() {
        println!("skipped: the kernel of this image has no xfs built in");
        return Ok(());
    }
    let uvm = lab.uvm().await?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("xfs.img");
    // Less is refused by mkfs.xfs.
    std::fs::File::create(&path)?.set_len(320 << 20)?;
    let made = std::process::Command::new("mkfs.xfs").arg("-q").arg(&path).status();
    ensure!(made.context("the xfsprogs package")?.success());
    let lun = uvm.attach_disk(&Disk::open(&path, false)?).await?;
    let target = format!("/run/mounts/{}", lab.unique("xfs"));
    let uses = [
        (json!({"MountPath": target, "Lun": lun.get()}), "echo kept > file"),
        (
            json!({"MountPath": target, "Lun": lun.get(), "EnsureFilesystem": true, "Filesystem": "xfs"}),
            "touch file",
        ),
        (json!({"MountPath": target, "Lun": lun.get(), "ReadOnly": true}), "! touch file"),
    ];
    for (settings, command) in uses {
        modify(&uvm, "Add", "MappedVirtualDisk", settings.clone()).await?;
        lab.shell(&format!(
            "grep -q ' {target} xfs ' /proc/mounts && cd {target} && {command} && grep -q kept file"
        ))
        .await?;
        modify(&uvm, "Remove", "MappedVirtualDisk", settings).await?;
    }
    modify(&uvm, "Remove", "SCSIDevice", json!({"Lun": lun.get()})).await?;
    uvm.detach_disk(lun).await?;
    Ok(())
}

async fn unknown_filesystem(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("rubbish.img");
    std::fs::File::create(&path)?.write_all(&vec![0x5a; 1 << 20])?;
    let lun = uvm.attach_disk(&Disk::open(&path, true)?).await?;
    let target = format!("/run/mounts/{}", lab.unique("rubbish"));
    let settings = json!({"MountPath": target, "Lun": lun.get(), "ReadOnly": true});
    ensure!(refusal(modify(&uvm, "Add", "MappedVirtualDisk", settings).await) == Some(HResult::FAIL));
    lab.shell(&format!("test ! -e {target}")).await?;
    modify(&uvm, "Remove", "SCSIDevice", json!({"Lun": lun.get()})).await?;
    uvm.detach_disk(lun).await?;
    Ok(())
}

async fn block_device(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("block.img");
    std::fs::File::create(&path)?.write_all(&b"block device\n".repeat(1 << 14)[..128 << 10])?;
    let lun = uvm.attach_disk(&Disk::open(&path, false)?).await?;
    let target = format!("/run/mounts/{}/dev", lab.unique("block"));
    let settings = json!({"MountPath": target, "Lun": lun.get(), "BlockDev": true});
    modify(&uvm, "Add", "MappedVirtualDisk", settings.clone()).await?;
    let output = lab.shell(&format!("test -b {target} && head -c 12 {target}")).await?;
    ensure!(output.stdout == b"block device", "{output:?}");
    // What was set up is remembered, even if the host forgets to say it again.
    let forgetful = json!({"MountPath": target, "Lun": lun.get()});
    modify(&uvm, "Remove", "MappedVirtualDisk", forgetful).await?;
    lab.shell(&format!("test ! -e {target}")).await?;
    modify(&uvm, "Remove", "SCSIDevice", json!({"Lun": lun.get()})).await?;
    uvm.detach_disk(lun).await?;
    Ok(())
}

async fn bad_settings(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    for (verb, resource, settings, expected) in [
        ("Add", "MappedVirtualDisk", Value::Null, HResult::INVALID_JSON),
        ("Add", "MappedVirtualDisk", json!({"Lun": "one"}), HResult::INVALID_JSON),
        ("Update", "MappedVirtualDisk", json!({}), HResult::FAIL),
        ("Add", "MappedVirtualDisk", json!({"Controller": 9}), HResult::FAIL),
        ("Add", "SCSIDevice", json!({}), HResult::FAIL),
        ("Add", "Nonsense", json!({}), HResult::FAIL),
        ("PreAdd", "Network", json!({}), HResult::FAIL),
        ("Add", "CombinedLayers", json!({"ContainerRootPath": "x"}), HResult::FAIL),
        ("Add", "SecurityPolicyFragment", json!({"Fragment": "AA=="}), HResult::FAIL),
        ("Remove", "VPCIDevice", json!({"VMBusGUID": "x"}), HResult::FAIL),
        ("Add", "VPCIDevice", json!({"VMBusGUID": "../x"}), HResult::FAIL),
        ("Add", "MappedDirectory", json!({"MountPath": "/run/x", "Port": -1}), HResult::FAIL),
        ("Add", "MappedDirectory", json!({"MountPath": "/run/../x", "Port": 564}), HResult::FAIL),
        ("Add", "VPMemDevice", Value::Null, HResult::INVALID_JSON),
        ("Add", "SecurityPolicy", json!({"EncodedSecurityPolicy": "cGFja2FnZQ=="}), HResult::FAIL),
    ] {
        let result = refusal(modify(&uvm, verb, resource, settings.clone()).await);
        ensure!(result == Some(expected), "{verb} {resource} {settings}: {result:?}");
    }
    modify(&uvm, "Add", "SecurityPolicy", json!({"EnforcerType": "open_door"})).await?;
    modify(&uvm, "Update", "PodCgroupMemoryLimit", Value::Null).await?;
    Ok(())
}
