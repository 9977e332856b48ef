//! Root file systems of all kinds.

use anyhow::{Result, ensure};
use lcow_oci::Compression;
use lcow_oci::build::LayerBuilder;

use crate::home::{Home, busybox, image, run_config};
use crate::{Test, boots};

pub(crate) const TESTS: &[Test] =
    &[boots("one_static_binary_is_enough", one_binary), boots("upper_layers_replace_and_remove", whiteouts)];

fn one_binary(home: &Home) -> Result<()> {
    let mut root = LayerBuilder::new();
    root.file("busybox", 0o755, &busybox()?);
    let config = run_config(&["/busybox", "echo", "alone"]);
    home.load(image("alone")?.layer(root, Compression::Zstd).run_config(config))?;
    let text = home.lcow(&["run", "--rm", "alone", "indeed"])?.well()?.text();
    ensure!(text == "alone indeed\n", "{text}");
    Ok(())
}

fn whiteouts(home: &Home) -> Result<()> {
    let (mut low, mut middle, mut top) = (LayerBuilder::new(), LayerBuilder::new(), LayerBuilder::new());
    low.directory("bin", 0o755).file("bin/busybox", 0o755, &busybox()?);
    low.directory("data", 0o755);
    for name in ["kept", "changed", "removed", "back"] {
        low.file(&format!("data/{name}"), 0o644, b"low");
    }
    low.directory("hidden", 0o755).file("hidden/old", 0o644, b"low");
    middle.whiteout("data/removed").whiteout("data/back").file("data/changed", 0o644, b"middle");
    middle.directory("hidden", 0o755).file("hidden/.wh..wh..opq", 0, b"").file(
        "hidden/new",
        0o644,
        b"middle",
    );
    top.file("data/back", 0o644, b"top");
    let config = run_config(&["/bin/busybox", "sh", "-c"]);
    home.load(
        image("layered")?
            .layer(low, Compression::Gzip)
            .layer(middle, Compression::None)
            .layer(top, Compression::Zstd)
            .run_config(config),
    )?;
    let script = "/bin/busybox head -n 9 /data/* /hidden/* 2>&1 | /bin/busybox grep -v '^$'; \
        echo more >> /data/kept && /bin/busybox rm /data/back && /bin/busybox rm -r /hidden && echo writable";
    let text = home.lcow(&["run", "--rm", "layered", script])?.well()?.text();
    let expected = "==> /data/back <==\ntop\n==> /data/changed <==\nmiddle\n==> /data/kept <==\nlow\n\
        ==> /hidden/new <==\nmiddle\nwritable\n";
    // `head` adds no newline of its own to files without one.
    ensure!(text.replace('\n', "") == expected.replace('\n', ""), "{text}");
    Ok(())
}
