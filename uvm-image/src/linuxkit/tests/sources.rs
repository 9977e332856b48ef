//! Where images come from, and what is said when they do not.

use super::*;

#[test]
fn three_reasons_are_three_messages() {
    let windows = Platform { os: "windows".into(), architecture: "amd64".into(), variant: None };
    let bench = Bench::new(vec![
        image("arm", vec![]).platform(linux("arm64")),
        image("win", vec![]).platform(windows),
    ]);
    for (name, expected) in [
        ("arm", "is not for linux/amd64, only for linux/arm64"),
        ("win", "is for Windows (windows/amd64)"),
        ("none", "there is no image docker.io/library/none:latest here (nor in"),
    ] {
        let error = bench.fails(&format!("init: [{name}]\n"), &["tar"]);
        assert!(error.contains(expected), "{error}");
    }
    let bench = Bench { platform: linux("arm64"), ..bench };
    bench.build("init: [arm]\n", &["tar"]).unwrap();
}

#[test]
fn directories_and_archives_of_files_are_images() {
    let bench = Bench::new(vec![]);
    let root = bench.dir.path().join("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::write(root.join("bin/x"), "x").unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_dir_all(".", &root).unwrap();
    fs::write(bench.dir.path().join("root.tar"), tar.into_inner().unwrap()).unwrap();
    for kind in ["dir", "tar"] {
        let path = if kind == "dir" { root.clone() } else { root.with_extension("tar") };
        bench.build(&format!("init: [\"{kind}:{}\"]\n", path.display()), &["tar"]).unwrap();
        assert!(listing(&bench.read("x.tar")).iter().any(|line| line == "- 0644 bin/x"), "{kind}");
    }
}

#[test]
fn what_a_kernel_image_lacks_is_said() {
    let bench = Bench::new(vec![kernel(BOTH), image("empty", vec![files(&[("a", b"")])])]);
    for (kernel, expected) in [
        ("{image: empty, tar: none}", "did not find kernel in kernel image docker.io/library/empty:latest"),
        ("{image: k, tar: other.tar}", "did not find kernel tar in kernel image"),
        ("{image: k, ucode: absent.cpio}", "did not find microcode in kernel image"),
    ] {
        let error = bench.fails(&format!("kernel: {kernel}\n"), &["kernel+initrd"]);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn mistakes_in_files_and_volumes_are_named() {
    let bench = Bench::new(vec![image("i", vec![])]);
    for (text, expected) in [
        ("files: [{contents: x}]", "did not specify path for file"),
        ("files: [{path: a, directory: true, contents: x}]", "directory with contents not allowed"),
        ("files: [{path: a, source: /nonexistent/file}]", "cannot read its source /nonexistent/file"),
        ("files: [{path: a, contents: x, uid: who}]", "cannot find id: who"),
        ("files: [{path: a, contents: x, mode: \"9\"}]", "is not an octal number"),
        ("volumes: [{name: v, image: i, format: tar}]", "there is no format tar"),
        ("volumes: [{name: v, format: oci}]", "a volume of the format oci needs an image"),
        (
            "volumes: [{name: v, image: i, format: oci, platforms: [linux/s390x]}]",
            "linux/s390x was asked for",
        ),
        ("onboot: [{name: a, image: i, binds: [\"zz:/z\"]}]", "volume zz not found"),
    ] {
        let error = bench.fails(text, &["tar"]);
        assert!(error.contains(expected), "{text}: {error}");
    }
    bench.build("files: [{path: a, source: /nonexistent/file, optional: true}]", &["tar"]).unwrap();
    assert_eq!(listing(&bench.read("x.tar")), [""; 0]);
}

#[test]
fn volumes_hold_files_or_whole_images() {
    let bench = Bench::new(vec![image("i", vec![files(&[("a", b"a")])])]);
    let text = "volumes: [{name: f, image: i, readonly: true}, {name: o, image: i, format: oci, platforms: [linux/amd64]}]";
    bench.build(text, &["tar"]).unwrap();
    let list = listing(&bench.read("x.tar"));
    let has = |line: &str| list.iter().any(|found| found == line);
    assert!(has("- 0755 containers/volumes/f/lower/a") && has("d 0755 containers/volumes/f/merged"));
    assert!(!has("d 0755 containers/volumes/f/tmp") && has("d 0755 containers/volumes/o/tmp"));
    // What is in the volume is a layout that can be loaded.
    let layout = bench.dir.path().join("layout");
    fs::create_dir(&layout).unwrap();
    for (entry, data) in entries(&bench.read("x.tar")) {
        let path = String::from_utf8(entry.path).unwrap();
        let Some(path) = path.strip_prefix("containers/volumes/o/lower/") else { continue };
        match entry.kind {
            Kind::Directory => fs::create_dir_all(layout.join(path)).unwrap(),
            _ => fs::write(layout.join(path), data).unwrap(),
        }
    }
    let store = Store::open(bench.dir.path().join("other")).unwrap();
    let options = lcow_oci::load::Options { platform: linux("amd64"), ..lcow_oci::load::Options::default() };
    let loaded = lcow_oci::load::load(&store, &layout, &options).unwrap();
    assert_eq!(loaded.names[0].to_string(), "docker.io/library/i:latest");
}
