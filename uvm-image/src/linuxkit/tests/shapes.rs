//! Descriptions of the shapes that LinuxKit's examples have, each with images made for it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

/// Builds `text` and gives the documents of its containers by path.
fn documents(bench: &Bench, text: &str) -> BTreeMap<String, Value> {
    bench.build(text, &["tar"]).unwrap();
    let json = |(entry, data): (Entry, Vec<u8>)| {
        let path = String::from_utf8(entry.path).unwrap();
        (path.rsplit('.').next() == Some("json")).then(|| (path, serde_json::from_slice(&data).unwrap()))
    };
    entries(&bench.read("x.tar")).into_iter().filter_map(json).collect()
}

fn sources(document: &Value) -> Vec<&str> {
    document["mounts"].as_array().unwrap().iter().filter_map(|m| m["source"].as_str()).collect()
}

#[test]
fn a_console_with_devices_in_its_label() {
    let label = r#"{"devices": [{"path": "all", "type": "b"}], "pid": "host", "net": "host", "capabilities": ["all"]}"#;
    let bench = Bench::new(vec![image("getty", vec![files(&[("run", b"")])]).run_config(labelled(label))]);
    let all = documents(&bench, "services: [{name: getty, image: getty, env: [INSECURE=true]}]");
    let config = &all["containers/services/getty/config.json"];
    assert_eq!(config["linux"]["namespaces"], json!([{"type": "mount"}]));
    assert_eq!(config["process"]["capabilities"]["effective"].as_array().unwrap().len(), 41);
    assert_eq!(
        (&config["process"]["env"], &config["process"]["args"]),
        (&json!(["INSECURE=true"]), &json!(["/run"]))
    );
}

#[test]
fn a_tunnel_in_a_network_namespace() {
    let bench = Bench::new(vec![image("wg", vec![files(&[("run", b"")])])]);
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
    let all = documents(&bench, text);
    let runtime = &all["containers/onboot/000-wg0/runtime.json"];
    assert_eq!(runtime["interfaces"], json!([{"name": "wg0", "add": "wireguard", "createInRoot": true}]));
    assert_eq!((&runtime["bindNS"]["net"], &runtime["bindNS"]["uts"]), (&json!("/run/netns/wg"), &json!("")));
    let web = &all["containers/services/web/config.json"];
    assert_eq!(web["linux"]["namespaces"][0], json!({"type": "network", "path": "/run/netns/wg"}));
    let shared = &all["containers/services/web/runtime.json"]["mounts"][2]["options"][0];
    assert_eq!(*shared, "lowerdir=/containers/onboot/000-wg0/lower");
}

#[test]
fn directories_and_overlays_are_prepared_at_run_time() {
    let label =
        r#"{"binds": ["/dev:/dev"], "runtime": {"cgroups": ["docker"], "mkdir": ["/var/lib/docker"]}}"#;
    let bench = Bench::new(vec![image("docker", vec![files(&[("run", b"")])]).run_config(labelled(label))]);
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
    let all = documents(&bench, text);
    let runtime = &all["containers/services/docker/runtime.json"];
    assert_eq!((&runtime["mkdir"], &runtime["cgroups"]), (&json!(["/var/etc"]), &json!(["docker"])));
    assert_eq!(runtime["mounts"][0]["destination"], "writeable");
    let config = &all["containers/services/docker/config.json"];
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
