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
            "- 0644 was/dir",
            "l 0777 link -> a",
            "- 0644 gone/new",
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
fn a_link_to_nothing_and_a_way_out_are_refused() {
    for (path, target, expected) in [
        ("a", "absent", "a is a hard link to absent, which is in no layer"),
        ("a", "../x", "leads out of the root"),
    ] {
        let mut layer = LayerBuilder::new();
        layer.hard_link(path, target);
        let error = Bench::new(vec![image("i", vec![layer])]).fails("init: [i]\n", &["tar"]);
        assert!(error.contains(expected), "{error}");
    }
}
