//! Listings and documents as the rules of LinuxKit's output have them (specification, sections 2 and 3).

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

/// A listing as the rules of LinuxKit's output have it.
#[derive(Default)]
pub(super) struct Golden {
    pub(super) lines: Vec<String>,
    directories: Vec<String>,
}

impl Golden {
    pub(super) fn line(&mut self, line: &str) -> &mut Self {
        self.lines.push(line.to_owned());
        self
    }

    /// A directory and those above it that are not there.
    pub(super) fn directory(&mut self, path: &str) -> &mut Self {
        for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
            let path = path[..end].to_owned();
            if !self.directories.contains(&path) {
                self.lines.push(format!("d 0755 {path}"));
                self.directories.push(path);
            }
        }
        self
    }

    /// The files of a stub image below `prefix`, and what every root has.
    fn root(&mut self, image: &str, prefix: &str, machine: bool) -> &mut Self {
        self.directory(&format!("{prefix}bin")).line(&format!("- 0755 {prefix}bin/{image}"));
        let known = |name: &&str| format!("{prefix}{name}");
        self.directories.extend(["dev", "dev/pts", "dev/shm", "etc", "proc", "sys"].iter().map(known));
        for name in ["dev", "dev/pts", "dev/shm", "etc"] {
            self.line(&format!("d 0755 {prefix}{name}"));
        }
        self.line(&format!("- 0644 {prefix}etc/hosts"));
        self.line(&format!("l 0777 {prefix}etc/mtab -> /proc/mounts"));
        if machine {
            self.line(&format!("l 0777 {prefix}etc/resolv.conf -> /run/resolvconf/resolv.conf"));
        } else {
            self.line(&format!("- 0644 {prefix}etc/resolv.conf"));
        }
        self.line(&format!("d 0755 {prefix}proc")).line(&format!("d 0755 {prefix}sys"))
    }

    pub(super) fn init(&mut self, image: &str) -> &mut Self {
        self.root(image, "", true)
    }

    /// The volume `name` with the files of `image`, if it has one.
    pub(super) fn volume(&mut self, name: &str, image: Option<&str>, readonly: bool) -> &mut Self {
        let path = format!("containers/volumes/{name}");
        self.directory(&format!("{path}/lower"));
        if let Some(image) = image {
            self.root(image, &format!("{path}/lower/"), true);
        }
        if !readonly {
            self.directory(&format!("{path}/tmp"));
        }
        self.directory(&format!("{path}/merged"))
    }

    /// A container in the directory `path`; `image` unless an earlier one has its files.
    pub(super) fn container(&mut self, path: &str, image: Option<&str>, readonly: bool) -> &mut Self {
        let path = format!("containers/{path}");
        self.directory(&path);
        if let Some(image) = image {
            let files = format!("{path}/{}", if readonly { "rootfs" } else { "lower" });
            self.directory(&files).root(image, &format!("{files}/"), false);
        }
        if !readonly {
            self.directory(&format!("{path}/tmp"));
        }
        self.directory(&format!("{path}/rootfs"));
        self.line(&format!("- 0644 {path}/config.json")).line(&format!("- 0644 {path}/runtime.json"))
    }
}

/// An image with one program, which it runs, and this label.
pub(super) fn stub(name: &str, label: &str) -> ImageBuilder {
    let run = if label.is_empty() { RunConfig::default() } else { labelled(label) };
    let run = RunConfig { cmd: vec![format!("/bin/{name}")], ..run };
    image(name, vec![files(&[(&format!("bin/{name}"), b"#!")])]).run_config(run)
}

/// Builds `text`, compares the listing, gives the documents.
pub(super) fn documents(bench: &Bench, text: &str, golden: &Golden) -> BTreeMap<String, Value> {
    bench.build(text, &["tar"]).unwrap();
    let tar = bench.read("x.tar");
    assert_eq!(listing(&tar), golden.lines);
    let json = |(entry, data): (Entry, Vec<u8>)| {
        let path = String::from_utf8(entry.path).unwrap();
        let path = path.strip_prefix("containers/")?.strip_suffix(".json")?.to_owned();
        Some((path, serde_json::from_slice(&data).unwrap()))
    };
    entries(&tar).into_iter().filter_map(json).collect()
}

pub(super) fn binds(config: &Value) -> Vec<String> {
    let all = config["mounts"].as_array().unwrap().iter().filter(|mount| mount["type"] == "bind");
    all.map(|m| format!("{}:{}", m["source"].as_str().unwrap(), m["destination"].as_str().unwrap())).collect()
}

pub(super) const DHCP: &str =
    r#"{"binds": ["/etc/resolv.conf:/etc/resolv.conf"], "capabilities": ["CAP_NET_ADMIN"], "net": "host"}"#;
pub(super) const GETTY: &str = r#"{"binds": ["/etc:/hostroot/etc", "/dev:/dev"], "capabilities": ["all"], "net": "host", "pid": "host",
    "devices": [{"path": "all", "type": "b"}, {"path": "/dev/console", "type": "c", "major": 5, "minor": 1, "mode": "0666"}]}"#;
