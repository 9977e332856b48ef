//! Our own outputs of descriptions.

use super::*;
use crate::compression::Compression;

const LCOW: &str = "
kernel: {image: k}
init: [i]
services: [{name: web, image: i}]
files: [{path: etc/linuxkit.yml, metadata: yaml}]
trust: {org: [linuxkit]}
";

fn bench(config: &str, init: &str) -> Bench {
    Bench::new(vec![kernel(config), image("i", vec![files(&[(init, b"#!"), ("etc/passwd", b"mine")])])])
}

fn modular() -> String {
    format!("{BOTH}CONFIG_MODULES=y\nCONFIG_HYPERV_VSOCKETS=m\n")
}

fn initrd(bench: &Bench) -> String {
    let archive = Compression::Gzip.decompress(&bench.read("initrd.img")).unwrap();
    String::from_utf8_lossy(&archive).into_owned()
}

#[test]
fn the_agent_comes_where_no_init_is() {
    let bench = bench(&modular(), "opt/x");
    let report = bench.build(LCOW, &["lcow"]).unwrap();
    let warnings = report.warnings.join("\n");
    assert!(
        warnings.contains("services web is in the root, but guest-agent will not start it"),
        "{warnings}"
    );
    assert!(warnings.contains("trust is ignored"), "{warnings}");
    assert_eq!(bench.read("kernel"), bench.read("bootx64.efi"));
    let initrd = initrd(&bench);
    for there in [
        "bin/gcs\0",
        "/bin/gcs",
        "init\0",
        "hv_sock.ko\0",
        "load-connect",
        "mine",
        "opt/x\0",
        "etc/linuxkit.yml",
    ] {
        assert!(initrd.contains(there), "{there}");
    }
    for absent in ["snd.ko", "extra.ko", "boot/kernel", "root:x:0:0"] {
        assert!(!initrd.contains(absent), "{absent}");
    }
    let versions = String::from_utf8(bench.read("versions.txt")).unwrap();
    assert!(
        versions.contains("kernel=6.1.0\n") && versions.contains("image=docker.io/library/i:latest sha256:")
    );
    assert!(!versions.contains("kernel-pvh"), "nobody has looked");
    let first = bench.read("SHA256SUMS");
    bench.build(LCOW, &["lcow"]).unwrap();
    assert_eq!(bench.read("SHA256SUMS"), first);
}

#[test]
fn an_init_of_its_own_is_left_alone() {
    let bench = bench(&modular(), "init");
    let report = bench.build(LCOW, &["lcow"]).unwrap();
    assert!(!report.warnings.iter().any(|warning| warning.contains("web")), "{:?}", report.warnings);
    let initrd = initrd(&bench);
    // All modules, as LinuxKit has them, for it is not our init that loads them.
    assert!(initrd.contains("snd.ko") && !initrd.contains("bin/gcs\0"));
    let error = Bench::fails(
        &self::bench(&modular(), "opt/x"),
        &format!("{LCOW}lcow: {{agent: false}}\n"),
        &["lcow"],
    );
    assert!(error.contains("nothing would start"), "{error}");
}

#[test]
fn further_modules_are_taken_or_missed() {
    let bench = bench(&modular(), "opt/x");
    let error = bench.fails(&format!("{LCOW}lcow: {{modules: [absent]}}\n"), &["lcow"]);
    assert!(error.contains("absent") && error.contains("lcow.modules"), "{error}");
    bench.build(&format!("{LCOW}lcow: {{modules: [extra]}}\n"), &["lcow"]).unwrap();
    assert!(initrd(&bench).contains("extra.ko\0"));
}

#[test]
fn kernels_that_could_not_start_are_refused() {
    let without = LCOW.replace("image: k}", "image: k, tar: none}");
    let error = bench(&modular(), "opt/x").fails(&without, &["lcow"]);
    assert!(error.contains("`tar: none`") && error.contains("hv_sock is a module"), "{error}");
    bench(BOTH, "opt/x").build(&without, &["lcow"]).unwrap();
    // LinuxKit's own output may be for another machine.
    let report = bench(&modular(), "opt/x").build(&without, &["kernel+initrd"]).unwrap();
    assert!(
        report.warnings.iter().any(|warning| warning.contains("hv_sock is a module")),
        "{:?}",
        report.warnings
    );
    let error = bench(&modular(), "opt/x").fails(LCOW, &["rootfs-vhd"]);
    assert!(error.contains("rootfs.vhd was asked for") && error.contains("CONFIG_BLK_DEV_PMEM"), "{error}");
    let error = bench(BOTH, "opt/x").fails("init: [i]\n", &["lcow"]);
    assert!(error.contains("has no kernel image"), "{error}");
}

#[test]
fn the_root_disk_is_a_clean_file_system() {
    let config = format!(
        "{BOTH}CONFIG_DEVTMPFS=y\nCONFIG_DEVTMPFS_MOUNT=y\nCONFIG_HYPERV_STORAGE=y\nCONFIG_BLK_DEV_PMEM=y\nCONFIG_ND_CLAIM=y\nCONFIG_ACPI_NFIT=y\n\
         CONFIG_DM_VERITY=y\nCONFIG_DM_INIT=y\n"
    );
    let bench = bench(&config, "opt/x");
    bench.build(&format!("{LCOW}lcow: {{verity: true}}\n"), &["rootfs-vhd", "vmlinux"]).unwrap();
    assert_eq!(bench.read("vmlinux"), testing::vmlinux(true));
    assert!(String::from_utf8(bench.read("versions.txt")).unwrap().contains("kernel-pvh=yes\n"));
    assert!(String::from_utf8(bench.read("rootfs.cmdline")).unwrap().contains("dm-mod.create="));
    let Ok(check) = std::process::Command::new("e2fsck").arg("-fn").arg(bench.path("rootfs.vhd")).output()
    else {
        println!("skipped: e2fsck is not installed");
        return;
    };
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    let run = |what: &str| {
        let out = std::process::Command::new("debugfs")
            .args(["-R", what])
            .arg(bench.path("rootfs.vhd"))
            .output()
            .unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    assert!(run("stat /etc").contains("Mode:  0755"), "{}", run("stat /etc"));
    assert!(run("stat /bin/gcs").contains("Type: regular"));
}
