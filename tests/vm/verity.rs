//! Layers that are checked by hash, and disks that are encrypted.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use host_bridge::uvm::BootPlan;
use lcow_protocol::HResult;
use lcow_tests::suite::Suite;
use lcow_tests::{Lab, refusal};
use serde_json::json;
use tempfile::TempDir;

use crate::devices::{gone, plug, pull};
use crate::storage::{layer_disk, modify};

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    Suite::new("verity", lab)
        .test("a_layer_with_a_hash_tree_is_opened_through_dm_verity", verity)
        .test("a_layer_with_one_flipped_byte_fails_closed", flipped_byte)
        .test("an_agent_that_demands_hash_trees_takes_nothing_else", demanded_verity)
        .test("what_fails_after_a_device_was_mapped_takes_it_down_again", undone)
        .test("an_encrypted_disk_shows_nothing_outside_the_vm", encrypted)
}

/// A layer with a hash tree made by `veritysetup`; returns the root hash and where the tree begins.
pub(crate) fn verity_disk(path: &Path) -> Result<(String, u64)> {
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

async fn demanded_verity(_: Arc<Lab>) -> Result<()> {
    let directory = TempDir::new()?;
    let [lower, upper, other, plain] =
        ["lower", "upper", "other", "plain"].map(|name| directory.path().join(name));
    // `veritysetup` salts at random, so equal contents have different roots.
    let roots = [verity_disk(&lower)?.0, verity_disk(&upper)?.0];
    verity_disk(&other)?;
    layer_disk(&plain, &[("word", b"x")])?;
    let init = format!(
        "-e 1 /bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel info -require-verity -verity-root {} -verity-root {}",
        roots[0], roots[1]
    );
    let own = Lab::with_plan(BootPlan { init_args: Some(init), ..Lab::plan() })?;
    let uvm = own.uvm().await?;
    for (path, expected) in
        [(&lower, None), (&upper, None), (&other, Some(HResult::FAIL)), (&plain, Some(HResult::FAIL))]
    {
        let lun = plug(&uvm, path, true).await?;
        let target = format!("/run/mounts/scsi/m{}", lun.get());
        let settings = json!({"MountPath": target, "Lun": lun.get(), "ReadOnly": true});
        let result = refusal(modify(&uvm, "Add", "MappedVirtualDisk", settings).await);
        ensure!(result == expected, "{}: {result:?}", path.display());
    }
    // What is mounted in another way cannot become part of a root.
    own.shell("mkdir /run/loose").await?;
    for (second, expected) in [("/run/mounts/scsi/m1", None), ("/run/loose", Some(HResult::FAIL))] {
        let layers = json!([{"Path": "/run/mounts/scsi/m0"}, {"Path": second}]);
        let settings =
            json!({"ContainerID": "u", "ContainerRootPath": "/run/union/rootfs", "Layers": layers});
        let result = refusal(modify(&uvm, "Add", "CombinedLayers", settings).await);
        ensure!(result == expected, "{second}: {result:?}");
    }
    Ok(())
}

async fn undone(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let directory = TempDir::new()?;
    let [layer, scratch] = ["layer", "scratch"].map(|name| directory.path().join(name));
    verity_disk(&layer)?;
    File::create(&scratch)?.set_len(16 << 20)?;
    let target = format!("/run/mounts/{}", lab.unique("undone"));
    let cases = [
        // The mount fails.
        (&layer, true, json!({"ReadOnly": true, "Filesystem": "ramdiskfs"})),
        // Formatting fails.
        (&scratch, false, json!({"Encrypted": true, "EnsureFilesystem": true, "Filesystem": "btrfs"})),
        // An encrypted disk has no file system until it is made.
        (&scratch, false, json!({"Encrypted": true})),
    ];
    for (path, read_only, mut settings) in cases {
        let lun = plug(&uvm, path, read_only).await?;
        settings["MountPath"] = json!(target);
        settings["Lun"] = json!(lun.get());
        let result = refusal(modify(&uvm, "Add", "MappedVirtualDisk", settings.clone()).await);
        ensure!(result == Some(HResult::FAIL), "{settings}: {result:?}");
        gone(&lab, &target, &format!("lun{}", lun.get())).await?;
        pull(&uvm, lun).await?;
    }
    Ok(())
}
