//! Whatever is wrong in a description is said with the file, the place in it, and the key.

use super::*;

/// The first file of two; nothing is wrong with it.
const FIRST: &str = "\
init: [i]
services: [{name: first, image: i}]
files: [{path: first, contents: x}]
volumes: [{name: first}, {name: ro, readonly: true}]
";

/// The second file with a mark where the error is, and what is said of it: the key, and the message.
const IN_THE_SECOND: &[(&str, &str)] = &[
    ("files:\n  - {path: a, contents: x, mode: §\"9\"}", "files.0.mode: a: the mode \"9\" is not an octal"),
    ("files:\n  - {path: a, contents: x, uid: §-1}", "files.0.uid: -1 is out of range: 0 to 4294967295"),
    ("files:\n  - {path: a, contents: x, gid: §who}", "files.0.gid: cannot find id: who"),
    ("files:\n  - §{path: a}", "files.0: a: one of directory, symlink, contents"),
    ("files:\n  - {path: §/, contents: x}", "files.0.path: did not specify path"),
    ("files:\n  - {path: a, metadata: §xml}", "files.0.metadata: a: there is no metadata"),
    ("files:\n  - {path: a, source: §/absent/x}", "files.0.source: a: cannot read its source"),
    ("files:\n  - {path: §../../x, contents: x}", "files.0.path: the path \"../../x\" cannot be in a root"),
    (
        "services:\n  - {name: a, image: i, capabilities: [CAP_KILL, §NET_ADMIN]}",
        "services.0.capabilities.1: container a: unknown capability: NET_ADMIN",
    ),
    (
        "services:\n  - {name: a, image: i, ambient: [§X]}",
        "services.0.ambient.0: container a: unknown capability: X",
    ),
    (
        "services:\n  - {name: a, image: i, uid: §nobody}",
        "services.0.uid: container a: cannot find id: nobody",
    ),
    ("services:\n  - {name: a, image: i, gid: §4294967296}", "services.0.gid: 4294967296 is out of range"),
    (
        "onboot:\n  - {name: a, image: i, additionalGids: [1, §x]}",
        "onboot.0.additionalGids.1: container a: cannot find id: x",
    ),
    (
        "services:\n  - {name: a, image: i, rlimits: [§\"nofile,1\"]}",
        "services.0.rlimits.0: container a: \"nofile,1\" is not",
    ),
    (
        "services:\n  - {name: a, image: i, binds: [§x]}",
        "services.0.binds.0: container a: \"x\" is not a bind",
    ),
    (
        "services:\n  - {name: a, image: i, binds: [\"/a:/a\", §\"zz:/z\"]}",
        "services.0.binds.1: container a: volume zz not found",
    ),
    (
        "services:\n  - {name: a, image: i, binds.add: [§\"ro:/z\"]}",
        "services.0.binds.add.0: container a: volume ro is read-only",
    ),
    (
        "services:\n  - {name: a, image: i, tmpfs: [§\"\"]}",
        "services.0.tmpfs.0: container a: \"\" is no file system in memory",
    ),
    (
        "services:\n  - {name: a, image: i, devices: [{path: /dev/x, mode: §rw}]}",
        "services.0.devices.0.mode: container a: device /dev/x: the mode \"rw\"",
    ),
    (
        "services:\n  - {name: a, image: i, mounts: [§{destination: /x}]}",
        "services.0.mounts.0: container a: mount for destination /x is missing type",
    ),
    (
        "services:\n  - {name: a, image: i, oomScoreAdj: §99999999999}",
        "services.0.oomScoreAdj: 99999999999 is out of range: -1000 to 1000",
    ),
    (
        "services:\n  - {name: a, image: i, resources: {cpu: {shares: §-1}}}",
        "services.0.resources.cpu.shares: -1 is out of range",
    ),
    ("services:\n  - {name: §first, image: i}", "services.0.name: duplicate service name: first"),
    ("services:\n  - {name: §a/../../b, image: i}", "services.0.name: the name \"a/../../b\" cannot be"),
    ("onboot:\n  - {name: §\"..\", image: i}", "onboot.0.name: the name \"..\" cannot be"),
    ("onshutdown:\n  - {name: §\"\", image: i}", "onshutdown.0.name: the name is empty"),
    ("volumes:\n  - {name: §first}", "volumes.0.name: duplicate volume name: first"),
    ("volumes:\n  - {name: §\"\"}", "volumes.0.name: the name is empty"),
    ("volumes:\n  - {name: v, format: §zip}", "volumes.0.format: volume v: there is no format zip"),
    (
        "volumes:\n  - {name: v, format: oci, image: i, platforms: [linux/amd64, §linux/arm64]}",
        "volumes.0.platforms.1: volume v: linux/arm64 was asked for",
    ),
    ("services:\n  - {name: a, image: §Foo Bar}", "services.0.image: \"Foo Bar\" is not"),
    ("init:\n  - §absent", "init.0: there is no image docker.io/library/absent:latest here"),
    ("volumes:\n  - {name: v, image: §absent}", "volumes.0.image: there is no image"),
    ("kernel:\n  image: §absent", "kernel.image: there is no image"),
    ("kernel:\n  image: §i", "kernel.image: did not find kernel tar in kernel image"),
    ("services:\n  - {name: a, image: §\"@pkg:nowhere\"}", "services.0.image: @pkg:"),
];

/// A label, the service's further settings, and what the error begins with.
const IN_A_LABEL: &[(&str, &str, &str)] = &[
    (
        r#"{"capabilities": ["CAP_KILL", "SYS_ADMIN"]}"#,
        "",
        "label: capabilities.1: container a: unknown capability: SYS_ADMIN",
    ),
    (
        r#"{"capabilities": ["CAP_KILL"]}"#,
        ", capabilities.add: [§X]",
        "x.yml:§: services.0.capabilities.add.0: container a: unknown",
    ),
    (
        r#"{"capabilities": ["X"]}"#,
        ", capabilities: [§Y]",
        "x.yml:§: services.0.capabilities.0: container a: unknown capability: Y",
    ),
    (r#"{"binds": ["x"]}"#, ", binds.add: [\"/a:/a\"]", "label: binds.0: container a: \"x\" is not a bind"),
    (r#"{"uid": "nobody"}"#, ", gid: 1", "label: uid: container a: cannot find id: nobody"),
    (
        r#"{"uid": -1}"#,
        "",
        "The org.mobyproject.config label of docker.io/library/l:latest is invalid:\n  services.0.uid: -1 is out of range",
    ),
    (
        r#"{"resources": {"cpu": {"shares": -1}}}"#,
        "",
        "The org.mobyproject.config label of docker.io/library/l:latest is invalid:\n  services.0.resources.cpu.shares: -1 is out",
    ),
    (
        r#"{"uid": 1, "uid": 2}"#,
        "",
        "the org.mobyproject.config label of docker.io/library/l:latest is no JSON: the key uid comes twice",
    ),
];

/// The text without its mark, and the mark's line and column.
fn marked(text: &str) -> (String, String) {
    let before = text.split('§').next().unwrap();
    let column = before.lines().next_back().map_or(0, str::len) + 1;
    (text.replace('§', ""), format!("{}:{column}", before.lines().count()))
}

#[test]
fn late_errors_have_file_line_and_key() {
    for (second, expected) in IN_THE_SECOND {
        let bench = Bench::new(vec![image("i", vec![files(&[("a", b"a")])])]);
        let (text, place) = marked(second);
        let error = format!("{:#}", bench.build_files(&[FIRST, &text], &["tar"]).unwrap_err());
        let file = bench.dir.path().join("x1.yml").display().to_string();
        assert!(error.contains(&format!("{file}:{place}: {expected}")), "{second}\n{error}\n{expected}");
        assert!(!error.contains("x.yml:"), "{error}");
    }
}

#[test]
fn what_a_label_says_is_told_from_what_the_description_says() {
    for (label, further, expected) in IN_A_LABEL {
        let image = image("l", vec![files(&[("a", b"a")])]).run_config(labelled(label));
        let bench = Bench::new(vec![image]);
        let (text, place) = marked(&format!("services: [{{name: a, image: l{further}}}]\n"));
        let error = bench.fails(&text, &["tar"]).replace(&format!("{}/", bench.dir.path().display()), "");
        let expected = expected
            .replace("label: ", "image docker.io/library/l:latest, label org.mobyproject.config: ")
            .replace('§', &place);
        assert!(error.starts_with(&expected), "{label}\n{error}\n{expected}");
    }
}
