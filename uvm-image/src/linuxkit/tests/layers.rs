//! Several layers become one list of files.

use std::collections::BTreeMap;

use lcow_oci::build::LayerBuilder;

use super::*;

/// What an image of `layers`, the lowest first, has in a root: lines without the usual ones, and the files' content.
fn root(layers: Vec<LayerBuilder>) -> (Vec<String>, BTreeMap<String, Vec<u8>>) {
    let bench = Bench::new(vec![image("i", layers)]);
    bench.build("init: [i]\n", &["tar"]).unwrap();
    let tar = bench.read("x.tar");
    let lines = listing(&tar);
    // Behind these comes what every root has.
    let end = lines.iter().position(|line| line == "d 0755 dev").unwrap();
    let content = entries(&tar).into_iter().take(end);
    let content = content.map(|(entry, data)| (String::from_utf8(entry.path).unwrap(), data)).collect();
    (lines[..end].to_vec(), content)
}

#[test]
fn the_top_layer_comes_first_and_hides_what_it_replaces() {
    let mut low = LayerBuilder::new();
    low.directory("a", 0o755).file("a/one", 0o644, b"low").file("a/two", 0o644, b"low");
    low.file("gone/deep/x", 0o644, b"").file("was/dir/x", 0o644, b"").file("opq/low", 0o644, b"");
    low.file("link/x", 0o644, b"");
    let mut middle = LayerBuilder::new();
    middle.whiteout("gone").file("gone/new", 0o644, b"").file("opq/.wh..wh..opq", 0, b"");
    middle.file("opq/middle", 0o644, b"").file(".wh..wh.plnk", 0, b"");
    let mut top = LayerBuilder::new();
    top.directory("a", 0o700).file("a/one", 0o644, b"top").file("was/dir", 0o644, b"").symlink("link", "a");
    let (lines, content) = root(vec![low, middle, top]);
    assert_eq!(
        lines,
        [
            "d 0700 a",
            "- 0644 a/one",
            // Directories that an image has no entries for.
            "d 0755 was",
            "- 0644 was/dir",
            "l 0777 link -> a",
            "d 0755 gone",
            "- 0644 gone/new",
            "d 0755 opq",
            "- 0644 opq/middle",
            "- 0644 a/two",
        ]
    );
    assert_eq!((&content["a/one"][..], &content["a/two"][..]), (&b"top"[..], &b"low"[..]));
}

#[test]
fn links_follow_their_file_into_lower_layers_and_out_of_hiding() {
    let mut low = LayerBuilder::new();
    low.file("kept", 0o644, b"kept").file("hidden", 0o600, b"hidden").hard_link("same", "hidden");
    low.hard_link("again", "same");
    let mut top = LayerBuilder::new();
    top.hard_link("early", "kept").whiteout("hidden").hard_link("late", "hidden");
    let (lines, content) = root(vec![low, top]);
    assert_eq!(
        lines,
        [
            "- 0644 kept",
            // The target is below, so these could not come first.
            "h 0644 early -> kept",
            "- 0600 same",
            "h 0644 again -> same",
            "h 0644 late -> same",
        ]
    );
    assert_eq!(content["same"], b"hidden");
}

#[test]
fn a_link_to_a_file_that_is_left_out_has_its_content() {
    let mut low = LayerBuilder::new();
    low.file("etc/hostname", 0o640, b"host");
    let mut top = LayerBuilder::new();
    top.hard_link("name", "etc/hostname").hard_link("other", "name");
    let (lines, content) = root(vec![low, top]);
    assert_eq!((&lines[0][..], lines.len()), ("- 0640 name", 2));
    assert!(lines[1].starts_with("h ") && lines[1].ends_with(" other -> name"), "{lines:?}");
    assert_eq!(content["name"], b"host");
}

#[test]
fn a_link_to_nothing_and_a_way_out_are_refused() {
    for (path, target, expected) in [
        ("a", "absent", "a is a hard link to absent, which is in no layer"),
        ("a", "../x", "cannot be in a root"),
        ("a", "a", "a is a hard link to a, which is in no layer"),
    ] {
        let mut layer = LayerBuilder::new();
        layer.hard_link(path, target);
        let error = Bench::new(vec![image("i", vec![layer])]).fails("init: [i]\n", &["tar"]);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn one_layer_cannot_have_a_file_and_something_below_it() {
    let fills: [fn(&mut LayerBuilder); 2] = [
        |layer| {
            layer.file("a", 0o644, b"").file("a/b", 0o644, b"");
        },
        |layer| {
            layer.file("a/b", 0o644, b"").symlink("a", "x");
        },
    ];
    for fill in fills {
        for format in ["tar", "kernel+initrd"] {
            let mut layer = LayerBuilder::new();
            fill(&mut layer);
            let error = Bench::new(vec![image("i", vec![layer])]).fails("init: [i]\n", &[format]);
            assert!(error.contains("a is no directory in the layer that has a"), "{error}");
        }
    }
}

#[test]
fn names_need_not_be_text() {
    let mut tar = lcow_disk::tar::Writer::new(Vec::new());
    tar.append(&Entry::file(&b"a\xff\xfe"[..], 0o644, 1), &b"x"[..]).unwrap();
    let bench = Bench::new(Vec::new());
    fs::write(bench.dir.path().join("raw.tar"), tar.finish().unwrap()).unwrap();
    let text = format!("init: [\"tar:{}\"]\n", bench.dir.path().join("raw.tar").display());
    bench.build(&text, &["tar", "kernel+initrd"]).unwrap();
    assert!(entries(&bench.read("x.tar")).iter().any(|(entry, _)| entry.path == b"a\xff\xfe"));
}
