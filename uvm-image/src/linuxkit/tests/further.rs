//! The shapes of LinuxKit's other examples (specification, section 11, tier 2): for each the whole listing, and what counts
//! of it in `config.json` and `runtime.json`, from the rules of sections 1 and 2.

use serde_json::Value;

use super::golden::{DHCP, GETTY, Golden, documents, stub};
use super::*;

/// A description of one shape and what must come of it.
struct Shape {
    name: &'static str,
    /// Names and labels of its images.
    images: &'static [(&'static str, &'static str)],
    text: &'static str,
    listing: fn(&mut Golden),
    /// A document, a place in it (RFC 6901), and what stands there; `null`: nothing.
    facts: &'static [(&'static str, &'static str, &'static str)],
}

/// As of programs that talk to the machine they run on.
const HOST: &str = r#"{"binds": ["/dev:/dev", "/var/run:/var/run"], "capabilities": ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"],
    "net": "host", "pid": "host"}"#;

const SHAPES: &[Shape] = &[
    Shape {
        name: "cadvisor: the whole machine seen from a service",
        images: &[("cadvisor", "")],
        text: "
services:
  - name: cadvisor
    image: cadvisor
    capabilities: [CAP_SYS_ADMIN]
    command: [/usr/bin/cadvisor, --logtostderr]
    binds: [\"/:/rootfs:ro\", \"/var/run:/var/run:rw\", \"/dev/disk:/dev/disk:ro\"]
",
        listing: |golden| {
            golden.container("services/cadvisor", Some("cadvisor"), false);
        },
        facts: &[
            ("services/cadvisor/config", "/process/args", r#"["/usr/bin/cadvisor", "--logtostderr"]"#),
            ("services/cadvisor/config", "/process/capabilities/permitted", r#"["CAP_SYS_ADMIN"]"#),
            // Sorted by destination: /dev, /dev/disk, /dev/pts, /proc, /rootfs, …
            ("services/cadvisor/config", "/mounts/1/destination", r#""/dev/disk""#),
            ("services/cadvisor/config", "/mounts/4/destination", r#""/rootfs""#),
            ("services/cadvisor/config", "/mounts/4/options", r#"["ro", "rbind"]"#),
            ("services/cadvisor/config", "/mounts/7/options", r#"["rw", "rbind"]"#),
        ],
    },
    Shape {
        name: "dm-crypt: a disk is opened with a key from the description",
        images: &[("dm-crypt", r#"{"binds": ["/dev:/dev", "/etc/dm-crypt:/etc/dm-crypt"], "capabilities": ["CAP_SYS_ADMIN"]}"#), ("mount", "")],
        text: "
onboot:
  - {name: dm-crypt, image: dm-crypt, command: [/usr/bin/crypto, dm_crypt_vol, /dev/sda1]}
  - {name: mount, image: mount, command: [/usr/bin/mountie, /dev/mapper/dm_crypt_vol, /var/secure_storage]}
files: [{path: etc/dm-crypt/key, contents: \"abcdef\", mode: \"0400\"}]
",
        listing: |golden| {
            golden.container("onboot/000-dm-crypt", Some("dm-crypt"), false);
            golden.container("onboot/001-mount", Some("mount"), false);
            golden.directory("etc/dm-crypt").line("- 0400 etc/dm-crypt/key");
        },
        facts: &[
            ("onboot/000-dm-crypt/config", "/process/args/1", r#""dm_crypt_vol""#),
            ("onboot/000-dm-crypt/config", "/mounts/2/source", r#""/etc/dm-crypt""#),
            ("onboot/000-dm-crypt/config", "/mounts/2/options", r#"["rw", "rbind", "rshared"]"#),
            ("onboot/001-mount/config", "/process/capabilities/bounding", "[]"),
        ],
    },
    Shape {
        name: "getty with a password from the description",
        images: &[("getty", GETTY)],
        text: "
services: [{name: getty, image: getty, binds.add: [\"/etc/getty.shadow:/etc/getty.shadow\"]}]
files: [{path: etc/getty.shadow, contents: \"root:x:\", mode: \"0600\"}]
",
        listing: |golden| {
            golden.container("services/getty", Some("getty"), false);
            golden.directory("etc").line("- 0600 etc/getty.shadow");
        },
        facts: &[
            ("services/getty/config", "/mounts/0/source", r#""/dev""#),
            ("services/getty/config", "/mounts/2/destination", r#""/etc/getty.shadow""#),
            ("services/getty/config", "/linux/namespaces", r#"[{"type": "mount"}]"#),
            ("services/getty/config", "/linux/devices", r#"[{"path": "/dev/console", "type": "c", "major": 5, "minor": 1, "fileMode": 438}]"#),
            ("services/getty/config", "/linux/resources/devices", r#"[{"allow": true, "type": "b", "access": "rwm"},
                {"allow": true, "type": "c", "major": 5, "minor": 1, "access": "rwm"}]"#),
        ],
    },
    Shape {
        name: "influxdb-os: services in a network namespace of their own",
        images: &[("influxdb", ""), ("kapacitor", "")],
        text: "
services:
  - {name: influxdb, image: influxdb, net: new, hostname: db, uts: new, runtime: {bindNS: {net: /run/netns/db}}}
  - name: kapacitor
    image: kapacitor
    net: /run/netns/db
    ipc: new
    env: [KAPACITOR_INFLUXDB_0_URLS_0=http://db:8086]
    rlimits: [\"nofile,1024,unlimited\", \"RLIMIT_CORE,0,0\"]
",
        listing: |golden| {
            golden.container("services/influxdb", Some("influxdb"), false);
            golden.container("services/kapacitor", Some("kapacitor"), false);
        },
        facts: &[
            ("services/influxdb/config", "/hostname", r#""db""#),
            ("services/influxdb/config", "/linux/namespaces", r#"[{"type": "network"}, {"type": "uts"}, {"type": "pid"}, {"type": "mount"}]"#),
            ("services/influxdb/runtime", "/bindNS/net", r#""/run/netns/db""#),
            ("services/influxdb/runtime", "/bindNS/uts", r#""""#),
            ("services/kapacitor/config", "/linux/namespaces", r#"[{"type": "network", "path": "/run/netns/db"}, {"type": "ipc"}, {"type": "pid"}, {"type": "mount"}]"#),
            ("services/kapacitor/config", "/process/env", r#"["KAPACITOR_INFLUXDB_0_URLS_0=http://db:8086"]"#),
            ("services/kapacitor/config", "/process/rlimits", r#"[{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 18446744073709551615},
                {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]"#),
            ("services/kapacitor/config", "/hostname", "null"),
        ],
    },
    Shape {
        name: "the clouds' examples: metadata on boot, keys for sshd from it",
        images: &[("sysctl", r#"{"pid": "host", "readonly": true, "capabilities": ["CAP_SYS_ADMIN"]}"#), ("dhcpcd", DHCP), ("metadata", HOST), ("sshd", ""), ("rngd", r#"{"capabilities": ["CAP_SYS_ADMIN"], "oomScoreAdj": -800}"#)],
        text: "
onboot:
  - {name: sysctl, image: sysctl, binds: [\"/etc/sysctl.d/01-cloud.conf:/etc/sysctl.d/01-cloud.conf\"]}
  - {name: rngd1, image: rngd, command: [/sbin/rngd, \"-1\"]}
  - {name: dhcpcd, image: dhcpcd, command: [/sbin/dhcpcd, --nobackground, -f, /dhcpcd.conf, \"-1\"]}
  - {name: metadata, image: metadata, command: [/usr/bin/metadata, cloud]}
services:
  - {name: rngd, image: rngd}
  - {name: sshd, image: sshd, binds.add: [\"/run/config/ssh/authorized_keys:/root/.ssh/authorized_keys\"]}
files: [{path: etc/sysctl.d/01-cloud.conf, contents: \"fs.file-max=100000\\n\", mode: \"0644\"}]
",
        listing: |golden| {
            golden.container("onboot/000-sysctl", Some("sysctl"), true);
            golden.container("onboot/001-rngd1", Some("rngd"), false);
            golden.container("onboot/002-dhcpcd", Some("dhcpcd"), false);
            golden.container("onboot/003-metadata", Some("metadata"), false);
            golden.container("services/rngd", None, false);
            golden.container("services/sshd", Some("sshd"), false);
            golden.directory("etc/sysctl.d").line("- 0644 etc/sysctl.d/01-cloud.conf");
        },
        facts: &[
            ("onboot/000-sysctl/config", "/root", r#"{"path": "rootfs", "readonly": true}"#),
            // Read-only with the root: /dev and /sys.
            ("onboot/000-sysctl/config", "/mounts/0/options/4", r#""ro""#),
            ("onboot/000-sysctl/config", "/mounts/4/options/3", r#""ro""#),
            ("onboot/000-sysctl/config", "/mounts/2/destination", r#""/etc/sysctl.d/01-cloud.conf""#),
            ("onboot/000-sysctl/runtime", "/mounts", "null"),
            ("onboot/001-rngd1/config", "/process/oomScoreAdj", "-800"),
            ("onboot/003-metadata/config", "/process/args", r#"["/usr/bin/metadata", "cloud"]"#),
            ("onboot/003-metadata/config", "/linux/namespaces", r#"[{"type": "mount"}]"#),
            ("onboot/003-metadata/config", "/process/capabilities/effective", r#"["CAP_SYS_ADMIN", "CAP_NET_ADMIN"]"#),
            ("services/rngd/runtime", "/mounts/2/options/0", r#""lowerdir=/containers/onboot/001-rngd1/lower""#),
            ("services/rngd/config", "/process/args", r#"["/bin/rngd"]"#),
            ("services/sshd/config", "/mounts/3/destination", r#""/root/.ssh/authorized_keys""#),
        ],
    },
    Shape {
        name: "platform-vmware: tools that act on the machine",
        images: &[("open-vm-tools", HOST)],
        text: "
services:
  - {name: open-vm-tools, image: open-vm-tools, capabilities: [ALL], ambient: [CAP_KILL], pid: root, noNewPrivileges: true, cgroupsPath: /vmware}
",
        listing: |golden| {
            golden.container("services/open-vm-tools", Some("open-vm-tools"), false);
        },
        facts: &[
            ("services/open-vm-tools/config", "/process/capabilities/ambient", r#"["CAP_KILL"]"#),
            ("services/open-vm-tools/config", "/process/capabilities/bounding/40", r#""CAP_CHECKPOINT_RESTORE""#),
            ("services/open-vm-tools/config", "/process/noNewPrivileges", "true"),
            ("services/open-vm-tools/config", "/linux/cgroupsPath", r#""/vmware""#),
            ("services/open-vm-tools/config", "/linux/namespaces", r#"[{"type": "mount"}]"#),
        ],
    },
    Shape {
        name: "platform-rt-for-vmware: limits of real time, whose long names must not be lost",
        images: &[("rt", "")],
        text: "
services:
  - name: rt
    image: rt
    resources:
      cpu: {realtimeRuntime: 95000, realtimePeriod: 100000, cpus: \"1\"}
      memory: {limit: 5000000, kernelTCP: 7, swappiness: 10, disableOOMKiller: true}
      pids: {limit: 9}
      blockio: {weight: 3, throttleWriteBpsDevice: [{major: 8, minor: 0, rate: 4}]}
      hugepageLimits: [{pageSize: 2MB, limit: 1}]
      network: {classID: 2, priorities: [{name: eth0, priority: 1}]}
",
        listing: |golden| {
            golden.container("services/rt", Some("rt"), false);
        },
        facts: &[
            ("services/rt/config", "/linux/resources/cpu", r#"{"realtimeRuntime": 95000, "realtimePeriod": 100000, "cpus": "1"}"#),
            ("services/rt/config", "/linux/resources/memory", r#"{"limit": 5000000, "kernelTCP": 7, "swappiness": 10, "disableOOMKiller": true}"#),
            ("services/rt/config", "/linux/resources/pids", r#"{"limit": 9}"#),
            ("services/rt/config", "/linux/resources/blockIO", r#"{"weight": 3, "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 4}]}"#),
            ("services/rt/config", "/linux/resources/hugepageLimits", r#"[{"pageSize": "2MB", "limit": 1}]"#),
            ("services/rt/config", "/linux/resources/network", r#"{"classID": 2, "priorities": [{"name": "eth0", "priority": 1}]}"#),
        ],
    },
    Shape {
        name: "redis-os: one service, nothing else, that writes to memory only",
        images: &[("redis", "")],
        text: "
services:
  - name: redis
    image: redis
    readonly: true
    net: host
    cwd: /data
    capabilities: [CAP_NET_BIND_SERVICE, CAP_CHOWN, CAP_SETUID, CAP_SETGID, CAP_DAC_OVERRIDE]
    tmpfs: [\"/data:size=64m,mode=0700\", /run]
    sysctl: {net.core.somaxconn: \"511\"}
    maskedPaths: [/proc/kcore]
    readonlyPaths: [/proc/sys]
",
        listing: |golden| {
            golden.container("services/redis", Some("redis"), true);
        },
        facts: &[
            ("services/redis/config", "/process/cwd", r#""/data""#),
            ("services/redis/config", "/mounts/0", r#"{"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["size=64m", "mode=0700"]}"#),
            ("services/redis/config", "/mounts/4", r#"{"destination": "/run", "type": "tmpfs", "source": "tmpfs"}"#),
            ("services/redis/config", "/linux/sysctl", r#"{"net.core.somaxconn": "511"}"#),
            ("services/redis/config", "/linux/maskedPaths", r#"["/proc/kcore"]"#),
            ("services/redis/config", "/linux/readonlyPaths", r#"["/proc/sys"]"#),
            ("services/redis/runtime", "", r#"{"bindNS": {"cgroup": "", "ipc": "", "mnt": "", "net": "", "pid": "", "user": "", "uts": ""}}"#),
        ],
    },
    Shape {
        name: "tpm: a device node for a step, and a service beside it",
        images: &[("tss", "")],
        text: "
onboot:
  - {name: tss, image: tss, devices: [{path: /dev/tpm0, type: c, major: 10, minor: 224, mode: \"0600\"}]}
services:
  - {name: tcsd, image: tss, binds: [\"/dev/tpm0:/dev/tpm0\"]}
",
        listing: |golden| {
            golden.container("onboot/000-tss", Some("tss"), false);
            golden.container("services/tcsd", None, false);
        },
        facts: &[
            ("onboot/000-tss/config", "/linux/devices", r#"[{"path": "/dev/tpm0", "type": "c", "major": 10, "minor": 224, "fileMode": 384}]"#),
            ("onboot/000-tss/config", "/linux/resources", r#"{"devices": [{"allow": true, "type": "c", "major": 10, "minor": 224, "access": "rwm"}]}"#),
            ("services/tcsd/config", "/linux/resources", "null"),
            ("services/tcsd/runtime", "/mounts/2/options/0", r#""lowerdir=/containers/onboot/000-tss/lower""#),
        ],
    },
    Shape {
        name: "vpnkit-forwarder: namespaces kept by files, links moved between them",
        images: &[("vpnkit", r#"{"runtime": {"mkdir": ["/var/vpnkit"], "cgroups": ["vpnkit"], "bindNS": {"net": "/run/netns/a"}}}"#)],
        text: "
services:
  - name: vpnkit
    image: vpnkit
    net: new
    capabilities: [none]
    runtime:
      bindNS: {mnt: /run/ns/mnt}
      namespace: services.linuxkit
      interfaces:
        - {name: vethin-a, peer: veth-a}
        - {name: wg0, add: wireguard, createInRoot: true}
        - {name: eth1}
      mounts: [{type: bind, source: /port, destination: port, options: [rw, rbind]}]
",
        listing: |golden| {
            golden.container("services/vpnkit", Some("vpnkit"), false);
        },
        facts: &[
            // Each field of `runtime` is replaced on its own.
            ("services/vpnkit/runtime", "/mkdir", r#"["/var/vpnkit"]"#),
            ("services/vpnkit/runtime", "/cgroups", r#"["vpnkit"]"#),
            ("services/vpnkit/runtime", "/bindNS/mnt", r#""/run/ns/mnt""#),
            ("services/vpnkit/runtime", "/namespace", r#""services.linuxkit""#),
            ("services/vpnkit/runtime", "/interfaces", r#"[{"name": "vethin-a", "peer": "veth-a"},
                {"name": "wg0", "add": "wireguard", "createInRoot": true}, {"name": "eth1"}]"#),
            ("services/vpnkit/runtime", "/mounts/3", r#"{"destination": "port", "type": "bind", "source": "/port", "options": ["rw", "rbind"]}"#),
            ("services/vpnkit/config", "/process/capabilities/effective", "[]"),
        ],
    },
    Shape {
        name: "user namespaces, with both kinds of mappings",
        images: &[("u", "")],
        text: "
services:
  - name: u
    image: u
    userns: new
    uidMappings: [{hostID: 5, containerID: 0, size: 7}]
    gidMappings: [{hostID: 6, containerID: 1, size: 8}]
    rootfsPropagation: slave
    uid: u
    additionalGids: [3]
",
        listing: |golden| {
            golden.container("services/u", Some("u"), false);
        },
        facts: &[
            ("services/u/config", "/linux/namespaces", r#"[{"type": "user"}, {"type": "pid"}, {"type": "mount"}]"#),
            ("services/u/config", "/linux/uidMappings", r#"[{"hostID": 5, "containerID": 0, "size": 7}]"#),
            ("services/u/config", "/linux/gidMappings", r#"[{"hostID": 6, "containerID": 1, "size": 8}]"#),
            ("services/u/config", "/linux/rootfsPropagation", r#""slave""#),
            ("services/u/config", "/process/user", r#"{"uid": 100, "gid": 0, "additionalGids": [3]}"#),
        ],
    },
];

#[test]
fn every_further_shape_comes_out_by_the_rules() {
    for Shape { name, images, text, listing, facts } in SHAPES {
        println!("{name}");
        let bench = Bench::new(images.iter().map(|(name, label)| stub(name, label)).collect());
        let mut golden = Golden::default();
        listing(&mut golden);
        let all = documents(&bench, text, &golden);
        for (document, place, expected) in *facts {
            let expected: Value = serde_json::from_str(expected).unwrap();
            let found = all[*document].pointer(place).unwrap_or(&Value::Null);
            assert_eq!(*found, expected, "{document} {place} in {:#}", all[*document]);
        }
    }
}
