//! Descriptions of the shapes that LinuxKit's examples have (specification, section 11, tier 1), each with images made for
//! it: the product's own, volumes, and what is prepared at run time. More of them are in `examples.rs`.

use serde_json::{Value, json};

use super::golden::{GETTY, Golden, documents, stub};
use super::*;

fn sources(document: &Value) -> Vec<&str> {
    document["mounts"].as_array().unwrap().iter().filter_map(|m| m["source"].as_str()).collect()
}

#[test]
fn the_products_own_description() {
    // As lcow.yml: two init images, no modules, the description itself as a file, a key of old times.
    let bench = Bench::new(vec![kernel(BOTH), stub("init-lcow", ""), stub("runc", "")]);
    let text = "
kernel: {image: k, cmdline: console=ttyS0, tar: none}
init: [init-lcow, runc]
files: [{path: etc/linuxkit.yml, metadata: yaml}]
trust: {org: [linuxkit]}
";
    let mut golden = Golden::default();
    golden.line("d 0755 boot").line("- 0644 boot/cmdline").line("- 0755 boot/kernel");
    golden.init("init-lcow").init("runc");
    // /etc is there and stays readable for all.
    golden.line("- 0600 etc/linuxkit.yml");
    assert!(documents(&bench, text, &golden).is_empty(), "no containers");
    let description = entries(&bench.read("x.tar")).pop().unwrap().1;
    let description = String::from_utf8(description).unwrap();
    let merged = crate::linuxkit::node::Node::parse("x", &description).unwrap().into_json();
    assert_eq!(
        merged,
        json!({
            "kernel": {"image": "docker.io/library/k:latest", "cmdline": "console=ttyS0", "tar": "none"},
            "init": ["docker.io/library/init-lcow:latest", "docker.io/library/runc:latest"],
            "files": [{"path": "etc/linuxkit.yml", "metadata": "yaml"}],
            "trust": {"org": ["linuxkit"]},
        })
    );
    let report = bench.build(text, &["kernel+initrd"]).unwrap();
    assert!(report.warnings.iter().any(|one| one.contains("trust is ignored")), "{:?}", report.warnings);
}

#[test]
fn volumes_with_and_without_an_image() {
    let bench = Bench::new(vec![stub("data", ""), stub("web", "")]);
    let text = "
volumes: [{name: blank}, {name: filled, image: data}, {name: fixed, image: data, readonly: true}]
services: [{name: web, image: web, binds: [\"blank:/blank\", \"filled:/filled:rw\", \"fixed:/fixed:ro\"]}]
";
    let mut golden = Golden::default();
    golden.volume("blank", None, false).volume("filled", Some("data"), false);
    golden.volume("fixed", Some("data"), true).container("services/web", Some("web"), false);
    let all = documents(&bench, text, &golden);
    let mounts = all["services/web/config"]["mounts"].as_array().unwrap();
    let volume = |name: &str, options: &[&str]| {
        json!({
            "destination": format!("/{name}"), "type": "bind",
            "source": format!("/containers/volumes/{name}/merged"), "options": options,
        })
    };
    for expected in [
        volume("blank", &["rw", "rbind", "rshared"]),
        volume("filled", &["rw", "rbind"]),
        volume("fixed", &["ro", "rbind"]),
    ] {
        assert!(mounts.contains(&expected), "{expected} is not in {mounts:#?}");
    }
}

#[test]
fn a_console_with_devices_in_its_label() {
    let bench = Bench::new(vec![stub("getty", GETTY)]);
    let mut golden = Golden::default();
    golden.container("services/getty", Some("getty"), false);
    let text = "services: [{name: getty, image: getty, env: [INSECURE=true]}]";
    let config = &documents(&bench, text, &golden)["services/getty/config"];
    assert_eq!(config["linux"]["namespaces"], json!([{"type": "mount"}]));
    assert_eq!(config["process"]["capabilities"]["effective"].as_array().unwrap().len(), 41);
    assert_eq!(
        (&config["process"]["env"], &config["process"]["args"]),
        (&json!(["INSECURE=true"]), &json!(["/bin/getty"]))
    );
}

#[test]
fn a_tunnel_in_a_network_namespace() {
    let bench = Bench::new(vec![stub("wg", "")]);
    let text = "
onboot:
  - name: wg0
    image: wg
    net: new
    runtime:
      interfaces: [{name: wg0, add: wireguard, createInRoot: true}]
      bindNS: {net: /run/netns/wg}
services:
  - {name: web, image: wg, net: /run/netns/wg, mounts: [{type: tmpfs, source: tmpfs, destination: /t, options: [rw]}]}
";
    let mut golden = Golden::default();
    golden.container("onboot/000-wg0", Some("wg"), false).container("services/web", None, false);
    let all = documents(&bench, text, &golden);
    let runtime = &all["onboot/000-wg0/runtime"];
    assert_eq!(runtime["interfaces"], json!([{"name": "wg0", "add": "wireguard", "createInRoot": true}]));
    assert_eq!((&runtime["bindNS"]["net"], &runtime["bindNS"]["uts"]), (&json!("/run/netns/wg"), &json!("")));
    assert_eq!(all["onboot/000-wg0/config"]["linux"]["namespaces"][0], json!({"type": "network"}));
    let web = &all["services/web/config"];
    assert_eq!(web["linux"]["namespaces"][0], json!({"type": "network", "path": "/run/netns/wg"}));
    let tmpfs = json!({"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": ["rw"]});
    assert!(web["mounts"].as_array().unwrap().contains(&tmpfs), "{web:#}");
    let shared = &all["services/web/runtime"]["mounts"][2]["options"][0];
    assert_eq!(*shared, "lowerdir=/containers/onboot/000-wg0/lower");
}

#[test]
fn directories_and_overlays_are_prepared_at_run_time() {
    // As docker and hostmount-writeable-overlay.
    let label =
        r#"{"binds": ["/dev:/dev"], "runtime": {"cgroups": ["docker"], "mkdir": ["/var/lib/docker"]}}"#;
    let bench = Bench::new(vec![stub("docker", label)]);
    let text = "
services:
  - name: docker
    image: docker
    readonly: true
    binds.add: [\"/etc/resolv.conf:/etc/resolv.conf\"]
    mounts: [{type: cgroup, options: [rw, nosuid]}]
    runtime:
      mkdir: [/var/etc]
      mounts:
        - {type: overlay, source: overlay, destination: writeable, options: [lowerdir=/a, upperdir=/b, workdir=/c]}
";
    let mut golden = Golden::default();
    golden.container("services/docker", Some("docker"), true);
    let all = documents(&bench, text, &golden);
    let runtime = &all["services/docker/runtime"];
    assert_eq!((&runtime["mkdir"], &runtime["cgroups"]), (&json!(["/var/etc"]), &json!(["docker"])));
    let overlay = json!([{
        "destination": "writeable", "type": "overlay", "source": "overlay",
        "options": ["lowerdir=/a", "upperdir=/b", "workdir=/c"],
    }]);
    assert_eq!(runtime["mounts"], overlay);
    let config = &all["services/docker/config"];
    assert!(sources(config).contains(&"/dev") && sources(config).contains(&"/etc/resolv.conf"));
    assert_eq!(config["root"], json!({"path": "rootfs", "readonly": true}));
}

#[test]
fn bad_indentation_is_told_with_its_line() {
    let bench = Bench::new(vec![]);
    let text = "onboot:\n  - name: ip\n    image: ip\n    binds:\n      - /a:/b\n     command: [\"x\"]\n";
    let error = bench.fails(text, &["tar"]);
    assert!(error.contains("x.yml:6:") || error.contains("x.yml:5:"), "{error}");
}

#[test]
fn package_lists_of_init_images_are_joined() {
    let package = |name: &str| files(&[("lib/apk/db/installed", format!("P:{name}\n\n").as_bytes())]);
    let bench = Bench::new(vec![image("a", vec![package("a")]), image("b", vec![package("b")])]);
    bench.build("init: [a, b]", &["tar"]).unwrap();
    let lists: Vec<_> =
        entries(&bench.read("x.tar")).into_iter().filter(|(e, _)| e.path.ends_with(b"installed")).collect();
    assert_eq!(lists.len(), 1);
    assert_eq!(lists[0].1, b"P:a\n\nP:b\n\n");
}
