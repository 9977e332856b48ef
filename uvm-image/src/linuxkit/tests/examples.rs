//! The shapes of LinuxKit's examples (specification, section 11, tier 1): whole listings, and what is in the documents,
//! written from the rules.

use serde_json::json;

use super::golden::{DHCP, GETTY, Golden, binds, documents, stub};
use super::*;

#[test]
fn minimal_with_a_console() {
    let bench = Bench::new(vec![
        kernel(BOTH),
        stub("init", ""),
        stub("runc", ""),
        stub("dhcpcd", DHCP),
        stub("getty", GETTY),
    ]);
    let text = "
kernel: {image: k, cmdline: \"console=tty0 console=ttyS0\"}
init: [init, runc]
onboot: [{name: dhcpcd, image: dhcpcd, command: [/sbin/dhcpcd, \"-1\"]}]
services: [{name: getty, image: getty, env: [INSECURE=true]}]
";
    let mut golden = Golden::default();
    golden.line("d 0755 boot").line("- 0644 boot/cmdline").line("- 0755 boot/kernel");
    for module in ["net/hv_sock", "drivers/extra", "sound/snd"] {
        golden.line(&format!("- 0644 lib/modules/6.1.0/kernel/{module}.ko"));
    }
    golden.init("init").init("runc");
    golden.container("onboot/000-dhcpcd", Some("dhcpcd"), false);
    golden.container("services/getty", Some("getty"), false);
    let all = documents(&bench, text, &golden);
    // Every field of a document, once.
    let none = json!(["CAP_NET_ADMIN"]);
    assert_eq!(
        all["onboot/000-dhcpcd/config"],
        json!({
            "ociVersion": "1.2.1",
            "process": {
                "terminal": false, "user": {"uid": 0, "gid": 0}, "args": ["/sbin/dhcpcd", "-1"], "env": [], "cwd": "/",
                "capabilities": {"bounding": none, "effective": none, "inheritable": none, "permitted": none, "ambient": []},
                "noNewPrivileges": false,
            },
            "root": {"path": "rootfs", "readonly": false},
            "mounts": [
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                    "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
                {"destination": "/etc/resolv.conf", "type": "bind", "source": "/etc/resolv.conf", "options": ["rw", "rbind", "rshared"]},
                {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "nodev", "noexec", "relatime"]},
                {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev"]},
                {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                    "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
            ],
            "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]},
        })
    );
    let path = "/containers/onboot/000-dhcpcd";
    let lower = format!("lowerdir={path}/lower");
    let (upper, work) = (format!("upperdir={path}/tmp/upper"), format!("workdir={path}/tmp/work"));
    assert_eq!(
        all["onboot/000-dhcpcd/runtime"],
        json!({
            "mounts": [
                {"destination": format!("{path}/tmp"), "type": "tmpfs", "source": "tmpfs"},
                {"destination": format!("{path}/tmp"), "type": "none", "source": "none", "options": ["remount", "private"]},
                {"destination": format!("{path}/rootfs"), "type": "overlay", "source": "overlay", "options": [lower, upper, work]},
            ],
            "bindNS": {"cgroup": "", "ipc": "", "mnt": "", "net": "", "pid": "", "user": "", "uts": ""},
        })
    );
    let getty = &all["services/getty/config"];
    assert_eq!(getty["linux"]["devices"][0]["path"], "/dev/console");
    assert_eq!(getty["linux"]["resources"]["devices"].as_array().unwrap().len(), 2);
    assert_eq!(getty["process"]["args"], json!(["/bin/getty"]));
}

#[test]
fn binds_added_to_those_of_the_label() {
    let bench = Bench::new(vec![stub("getty", GETTY)]);
    let mut golden = Golden::default();
    golden.container("services/getty", Some("getty"), false);
    let text = "services: [{name: getty, image: getty, binds.add: [\"/var/x:/var/x:ro\"]}]";
    let all = documents(&bench, text, &golden);
    assert_eq!(binds(&all["services/getty/config"]), ["/dev:/dev", "/etc:/hostroot/etc", "/var/x:/var/x"]);
}

#[test]
fn steps_of_one_name_that_share_an_image() {
    // As in dm-crypt-loop and swap: the same program on several disks, then mounted twice.
    let mount = r#"{"binds": ["/dev:/dev", "/var:/var:rshared,rbind"], "capabilities": ["CAP_SYS_ADMIN"], "rootfsPropagation": "shared"}"#;
    let bench =
        Bench::new(vec![stub("format", ""), stub("mount", mount), stub("dm-crypt", mount), stub("swap", "")]);
    let text = "
onboot:
  - {name: format, image: format, command: [/bin/format, /dev/sda]}
  - {name: mount, image: mount, command: [/bin/mount, /dev/sda1, /var/external]}
  - {name: dm-crypt, image: dm-crypt, command: [/bin/crypto, crypt_loop_dev, /dev/loop0]}
  - {name: mount, image: mount, command: [/bin/mount, /dev/mapper/crypt_loop_dev, /var/secure]}
  - {name: swap, image: swap, readonly: true, command: [swap.sh, --path, /var/external/swap, --encrypt]}
files: [{path: etc/dm-crypt/key, contents: abc, mode: \"0400\"}]
";
    let mut golden = Golden::default();
    golden.container("onboot/000-format", Some("format"), false);
    golden.container("onboot/001-mount", Some("mount"), false);
    golden.container("onboot/002-dm-crypt", Some("dm-crypt"), false);
    golden.container("onboot/003-mount", None, false);
    golden.container("onboot/004-swap", Some("swap"), true);
    golden.directory("etc/dm-crypt").line("- 0400 etc/dm-crypt/key");
    let all = documents(&bench, text, &golden);
    let shared = &all["onboot/003-mount/runtime"]["mounts"][2];
    assert_eq!(shared["options"][0], "lowerdir=/containers/onboot/001-mount/lower");
    assert_eq!(shared["options"][1], "upperdir=/containers/onboot/003-mount/tmp/upper");
    let config = &all["onboot/003-mount/config"];
    assert_eq!(config["linux"]["rootfsPropagation"], "shared");
    let var =
        config["mounts"].as_array().unwrap().iter().find(|mount| mount["destination"] == "/var").unwrap();
    assert_eq!(var["options"], json!(["rshared", "rbind", "rbind"]));
    assert_eq!(all["onboot/004-swap/runtime"].get("mounts"), None);
}

#[test]
fn services_without_steps_or_labels() {
    // As in node_exporter and vsudd-containerd: somebody else's image, whose own user does not count.
    let run = RunConfig {
        user: "nobody".into(),
        working_dir: "/srv".into(),
        env: vec!["A=b".into()],
        ..RunConfig::default()
    };
    let exporter = image("node_exporter", vec![files(&[("bin/node_exporter", b"#!")])]).run_config(run);
    let bench = Bench::new(vec![stub("containerd", ""), exporter]);
    let text = "
init: [containerd]
services:
  - name: node_exporter
    image: node_exporter
    command: [/bin/node_exporter, --path.rootfs=/host]
    binds: [\"/proc:/host/proc:ro\", \"/:/rootfs:ro\"]
    capabilities: [CAP_SYS_TIME]
    pid: host
    maskedPaths: [/proc/kcore]
    oomScoreAdj: -500
    rlimits: [\"RLIMIT_NOFILE,100,unlimited\"]
    sysctl: {net.ipv4.ip_forward: \"1\"}
    annotations: {com.example: x}
";
    let mut golden = Golden::default();
    golden.init("containerd").container("services/node_exporter", Some("node_exporter"), false);
    let all = documents(&bench, text, &golden);
    let config = &all["services/node_exporter/config"];
    let process = &config["process"];
    assert_eq!((&process["cwd"], &process["env"]), (&json!("/srv"), &json!(["A=b"])));
    assert_eq!((&process["user"], &process["oomScoreAdj"]), (&json!({"uid": 0, "gid": 0}), &json!(-500)));
    assert_eq!(config["linux"]["namespaces"], json!([{"type": "mount"}]));
    assert_eq!(config["linux"]["sysctl"], json!({"net.ipv4.ip_forward": "1"}));
    assert_eq!(config["annotations"], json!({"com.example": "x"}));
    assert_eq!(binds(config), ["/proc:/host/proc", "/:/rootfs"]);
}

#[test]
fn the_file_for_another_board_changes_the_first() {
    // As in logging and the two files of platform-equinixmetal: the second takes the microcode away and adds a step.
    let bench = Bench::new(vec![
        kernel(BOTH),
        stub("memlogd", ""),
        stub("sysctl", ""),
        stub("firmware", ""),
        stub("logwrite", ""),
    ]);
    let first = "
kernel: {image: k, cmdline: console=ttyS1, ucode: ucode.cpio, tar: none}
init: [memlogd]
onboot: [{name: sysctl, image: sysctl}]
services: [{name: logwrite, image: logwrite, binds.add: [\"/var/log:/var/log\"]}]
";
    let second = "
kernel: {image: k, cmdline: console=ttyAMA0, ucode: \"\"}
onboot: [{name: firmware, image: firmware}]
";
    bench.build_files(&[first, second], &["tar", "kernel+initrd"]).unwrap();
    let mut golden = Golden::default();
    golden.line("d 0755 boot").line("- 0644 boot/cmdline").line("- 0755 boot/kernel").init("memlogd");
    golden.container("onboot/000-sysctl", Some("sysctl"), false);
    golden.container("onboot/001-firmware", Some("firmware"), false);
    golden.container("services/logwrite", Some("logwrite"), false);
    assert_eq!(listing(&bench.read("x.tar")), golden.lines);
    assert_eq!(bench.read("x-cmdline"), b"console=ttyAMA0");
    assert_eq!(&bench.read("x-initrd.img")[..2], b"\x1f\x8b", "no microcode");
}

#[test]
fn steps_at_the_end_and_named_users() {
    // As linuxkit-template.yml has them: numbers from 100 on through all three lists.
    let bench = Bench::new(vec![stub("poweroff", ""), stub("web", "")]);
    let text = "
onboot: [{name: setup, image: web, readonly: true}]
onshutdown: [{name: poweroff, image: poweroff, command: [/bin/sh, /poweroff.sh]}]
services: [{name: web, image: web, readonly: true, uid: web, gid: poweroff, additionalGids: [setup, 7]}]
files:
  - {path: var/www, directory: true, uid: web, mode: \"0750\"}
  - {path: var/www/index.html, contents: \"\", gid: web}
  - {path: /etc/link, symlink: /var/www}
";
    let mut golden = Golden::default();
    golden.container("onboot/000-setup", Some("web"), true);
    golden.container("onshutdown/000-poweroff", Some("poweroff"), false);
    golden.container("services/web", None, true);
    golden.directory("var").line("d 0750 var/www").line("- 0600 var/www/index.html");
    golden.directory("etc").line("l 0777 etc/link -> /var/www");
    let all = documents(&bench, text, &golden);
    assert_eq!(
        all["services/web/config"]["process"]["user"],
        json!({"uid": 102, "gid": 101, "additionalGids": [100, 7]})
    );
    let shared = &all["services/web/runtime"]["mounts"];
    let bind = json!([{
        "destination": "/containers/services/web/rootfs", "type": "bind",
        "source": "/containers/onboot/000-setup/rootfs", "options": ["bind"],
    }]);
    assert_eq!(*shared, bind);
    let owner = |path: &str| {
        let all = entries(&bench.read("x.tar"));
        all.iter()
            .find(|(entry, _)| entry.path == path.as_bytes())
            .map(|(entry, _)| (entry.uid, entry.gid))
            .unwrap()
    };
    assert_eq!((owner("var/www"), owner("var/www/index.html")), ((102, 0), (0, 102)));
}

#[test]
fn a_program_with_settings_beside_it() {
    // As in docker-for-mac: many services on one image, mounts over the usual ones, long commands.
    let bench = Bench::new(vec![stub("docker", ""), stub("vsudd", "")]);
    let text = "
services:
  - name: vsudd
    image: vsudd
    binds: [\"/var/run:/var/run\"]
    command: [/bin/vsudd, -inport, \"2376:unix:/var/run/docker.sock\"]
  - name: docker
    image: docker
    capabilities: [all]
    net: host
    mounts:
      - {type: cgroup, options: [rw, nosuid, noexec, nodev, relatime]}
      - {type: bind, source: /var/lib, destination: /var/lib, options: [rw, rbind]}
    binds: [\"/etc/resolv.conf:/etc/resolv.conf\", \"/lib/modules:/lib/modules\"]
    runtime: {mkdir: [/var/lib/docker], cgroups: [docker]}
    command: [/usr/local/bin/docker-init, /usr/local/bin/dockerd]
  - {name: again, image: docker, runtime: {mkdir: []}}
  - {name: third, image: docker, readonly: true}
";
    let mut golden = Golden::default();
    golden.container("services/vsudd", Some("vsudd"), false).container(
        "services/docker",
        Some("docker"),
        false,
    );
    golden.container("services/again", None, false).container("services/third", None, true);
    let all = documents(&bench, text, &golden);
    let config = &all["services/docker/config"];
    let cgroup =
        config["mounts"].as_array().unwrap().iter().find(|mount| mount["destination"] == "/sys/fs/cgroup");
    assert_eq!(cgroup.unwrap()["options"], json!(["rw", "nosuid", "noexec", "nodev", "relatime"]));
    assert_eq!(
        binds(config),
        ["/etc/resolv.conf:/etc/resolv.conf", "/lib/modules:/lib/modules", "/var/lib:/var/lib"]
    );
    assert_eq!(all["services/docker/runtime"]["mkdir"], json!(["/var/lib/docker"]));
    assert_eq!(all["services/third/runtime"]["mounts"][0]["source"], "/containers/services/docker/lower");
}
