//! Whole boot files, from packages and programs that the tests make themselves.

use std::collections::BTreeSet;

use super::*;
use crate::compression::Compression;
use crate::formats::Format;
use crate::kernel::fragment::LCOW_CONFIG;
use crate::testing;

const CONFIG: &[u8] = b"CONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_LZ4=y\nCONFIG_BLK_DEV_SD=y\nCONFIG_OVERLAY_FS=y\n";

/// A directory with a cache that holds a kernel package, and an agent.
struct Bench {
    dir: tempfile::TempDir,
    cache: Cache,
    options: Options,
}

fn bench(config: &[u8]) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    fs::create_dir(&cache).unwrap();
    let package = testing::deb(&[
        ("boot/vmlinuz-6.1.0", &testing::xz_bzimage("6.1.0", &testing::vmlinux(true))),
        ("boot/config-6.1.0", config),
        ("lib/modules/6.1.0/kernel/fs/ext4.ko", &testing::module(&["softdep=pre: crypto-crc32c"])),
        ("lib/modules/6.1.0/kernel/crypto/crc32c_generic.ko", &testing::module(&["alias=crypto-crc32c"])),
        ("lib/modules/6.1.0/kernel/sound/snd.ko", &testing::module(&[])),
    ]);
    fs::write(cache.join("linux-image-6.1.0_6.1-1_amd64.deb"), package).unwrap();
    let agent = dir.path().join("guest-agent");
    fs::write(&agent, testing::static_program()).unwrap();
    let output = dir.path().join("boot");
    let write = write::Options::default();
    let options = Options {
        output,
        kernel: KernelSource::Debian,
        agent,
        debug: false,
        write,
        sbom: true,
        unfinished: Unfinished::default(),
        progress: Progress::default(),
    };
    Bench { cache: Cache::at(cache), options, dir }
}

#[test]
fn makes_all_boot_files_the_same_every_time() {
    let bench = bench(CONFIG);
    let read = |name: &str| fs::read(bench.options.output.join(name)).unwrap();
    default(&bench.options, &bench.cache).unwrap();
    assert_eq!(read("kernel"), read("bootx64.efi"));
    assert_eq!(read("vmlinux"), testing::vmlinux(true));
    let sums = String::from_utf8(read("SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), 6, "{sums}");
    assert!(String::from_utf8(read("versions.txt")).unwrap().contains("kernel-pvh=yes\nmodules=2\n"));
    let sbom: serde_json::Value = serde_json::from_slice(&read("sbom.spdx.json")).unwrap();
    let names: Vec<&str> =
        sbom["packages"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["linux", "guest-agent", "linux-image-6.1.0"]);
    assert_eq!(sbom["packages"][2]["versionInfo"], "6.1-1");
    let sum = sums.lines().find(|line| line.ends_with("  kernel")).unwrap().split(' ').next().unwrap();
    assert_eq!(sbom["packages"][0]["checksums"][0]["checksumValue"], sum);
    let first = read("initrd.img");
    let archive = Compression::Lz4Legacy.decompress(&first).unwrap();
    let has = |text: &str| archive.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("lib/modules/6.1.0/kernel/crypto/crc32c_generic.ko"));
    assert!(has("kernel/crypto/crc32c_generic.ko\nkernel/fs/ext4.ko\n"));
    assert!(!has("snd.ko"));

    // From the cache now, and then anew.
    default(&bench.options, &bench.cache).unwrap();
    assert!(read("initrd.img") == first);
    fs::remove_dir_all(bench.dir.path().join("cache/uvm-build")).unwrap();
    default(&bench.options, &bench.cache).unwrap();
    assert!(read("initrd.img") == first);
}

#[test]
fn bad_input_leaves_nothing() {
    let no_overlay = String::from_utf8_lossy(CONFIG).replace("CONFIG_OVERLAY_FS", "CONFIG_OTHER");
    let no_initrd = String::from_utf8_lossy(CONFIG).replace("CONFIG_RD_LZ4", "CONFIG_RD_XZ");
    for (config, expected) in [(no_overlay, "neither a module overlay"), (no_initrd, "CONFIG_RD_LZ4")] {
        let bench = bench(config.as_bytes());
        let error = anyhow::Error::from(default(&bench.options, &bench.cache).unwrap_err());
        assert!(format!("{error:#}").contains(expected), "{error:#}");
        assert!(!bench.options.output.exists());
    }
    let mut bench = bench(CONFIG);
    bench.options.kernel = KernelSource::Path(bench.dir.path().join("absent.deb"));
    let error = default(&bench.options, &bench.cache).unwrap_err().to_string();
    assert!(error.contains("cannot read the kernel") && error.contains("absent.deb"), "{error}");
    fs::write(&bench.options.agent, "#!/bin/sh\n").unwrap();
    let error = default(&bench.options, &bench.cache).unwrap_err().to_string();
    assert!(error.contains("cannot be the guest agent"), "{error}");
    assert!(!bench.options.output.exists());
}

/// The packages and relationships of `sbom.spdx.json`.
fn sbom(bench: &Bench) -> (Vec<String>, Vec<String>) {
    let text = fs::read(bench.options.output.join("sbom.spdx.json")).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let all = |list: &str, key: &str| -> Vec<String> {
        document[list].as_array().unwrap().iter().map(|one| one[key].as_str().unwrap().to_owned()).collect()
    };
    (all("packages", "name"), all("relationships", "relationshipType"))
}

#[test]
fn what_is_linked_into_the_agent_is_listed_or_its_absence_is_told() {
    let bench = bench(CONFIG);
    let warned =
        |report: &Report| report.warnings.iter().any(|one| one.contains("linked into the guest agent"));
    let list = bench.dir.path().join("guest-agent.linked.json");
    let write = |sha256: &str| {
        let text = format!(
            r#"{{"program_sha256": "{sha256}", "packages": [
                {{"name": "libcontainer", "version": "0.7.0", "license": "Apache-2.0", "url": "pkg:cargo/libcontainer@0.7.0"}},
                {{"name": "libc", "version": "0.2.1", "sha256": "aa"}}]}}"#
        );
        fs::write(&list, text).unwrap();
    };
    assert!(warned(&default(&bench.options, &bench.cache).unwrap()), "there is no list");
    write(&"0".repeat(64));
    assert!(warned(&default(&bench.options, &bench.cache).unwrap()), "the list of another agent");
    assert_eq!(sbom(&bench).0, ["linux", "guest-agent", "linux-image-6.1.0"]);
    write(&Agent::read(&bench.options.agent).unwrap().sha256());
    assert!(!warned(&default(&bench.options, &bench.cache).unwrap()));
    let (names, relations) = sbom(&bench);
    assert_eq!(names, ["linux", "guest-agent", "libcontainer", "libc", "linux-image-6.1.0"]);
    assert_eq!(relations, ["DESCRIBES", "DESCRIBES", "STATIC_LINK", "STATIC_LINK", "DESCRIBES"]);
}

#[test]
fn only_what_has_a_time_follows_source_date_epoch() {
    let mut bench = bench(format!("{LCOW_CONFIG}\nCONFIG_ND_CLAIM=y\n").as_bytes());
    let mut formats: BTreeSet<Format> = [Format::Lcow, Format::Vmlinux, Format::RootfsVhd].into();
    if bench.options.write.efi_stub.is_file() {
        formats.extend([Format::UvmVhdx, Format::UnifiedEfi]);
    } else {
        println!("skipped: uvm.vhdx and unified.efi; there is no EFI stub (package systemd-boot-efi)");
    }
    bench.options.write.formats = formats;
    let mut at = |epoch| {
        bench.options.write.epoch = epoch;
        default(&bench.options, &bench.cache).unwrap();
        let names = fs::read_dir(&bench.options.output).unwrap().map(|entry| entry.unwrap().path());
        names
            .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap()))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    let (early, late, none) = (at(Some(1000)), at(Some(1_700_000_000)), at(None));
    assert!(early == at(Some(1000)) && none == at(None));
    let differ = |a: &std::collections::BTreeMap<String, Vec<u8>>| -> Vec<String> {
        early.iter().filter(|(name, bytes)| a[*name] != **bytes).map(|(name, _)| name.clone()).collect()
    };
    let mut expected = vec!["SHA256SUMS", "rootfs.vhd", "sbom.spdx.json"];
    expected.extend(early.contains_key("uvm.vhdx").then_some("uvm.vhdx"));
    assert_eq!(differ(&late), expected);
    assert_eq!(differ(&none), expected);
}
