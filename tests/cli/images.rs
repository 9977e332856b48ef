//! `load` and `images`, and images that cannot be used.

use anyhow::{Context, Result, ensure};
use lcow_oci::Compression;
use lcow_oci::build::{LayerBuilder, write_layout};

use crate::home::{Home, foreign_image, image};
use crate::{Test, boots, plain};

pub(crate) const TESTS: &[Test] = &[
    plain("loaded_images_are_listed", listed),
    plain("an_unknown_image_names_the_known", unknown),
    plain("an_image_for_another_machine_names_its_platforms", wrong_platform),
    plain("names_come_and_go", names),
    plain("a_damaged_image_hides_no_other", damaged_document),
    plain("an_archive_goes_out_and_comes_back", saved),
    plain("a_root_file_system_becomes_an_image", imported),
    plain("what_is_known_about_an_image_is_shown", inspected),
    boots("a_damaged_layer_is_named_and_harms_nobody_else", damaged),
    boots("disks_stay_as_long_as_a_container_needs_them", kept),
    boots("more_layers_than_units_are_merged", many_layers),
];

fn listed(home: &Home) -> Result<()> {
    let home = home.empty()?;
    ensure!(home.lcow(&["images"])?.well()?.text().is_empty());
    let layout = tempfile::tempdir()?;
    let images = ["busybox", "ghcr.io/me/app:1"];
    let builders =
        images.map(|name| image(name).map(|image| image.layer(LayerBuilder::new(), Compression::Gzip)));
    let digests = write_layout(layout.path(), builders.into_iter().collect::<Result<_>>()?)?;
    let text = home.load_from(layout.path())?.well()?.text();
    let full = ["docker.io/library/busybox:latest", "ghcr.io/me/app:1"];
    ensure!(text == format!("Loaded image: {}\nLoaded image: {}\n", full[0], full[1]), "{text}");
    let list = home.lcow(&["images", "--digests"])?.well()?.text();
    let lines: Vec<Vec<&str>> = list.lines().map(|line| line.split('\t').collect()).collect();
    let names = [["busybox", "latest"], ["ghcr.io/me/app", "1"]];
    for (line, (name, digest)) in lines.iter().zip(names.iter().zip(&digests)) {
        ensure!(line[..2] == *name && line[2] == digest.to_string() && line[5].parse::<u64>()? > 0, "{list}");
    }
    ensure!(lines.len() == 2, "{list}");
    let nothing = tempfile::tempdir()?;
    home.load_from(nothing.path())?.refused(125, &["neither"])?;
    Ok(())
}

fn unknown(home: &Home) -> Result<()> {
    home.lcow(&["run", "--pull", "never", "nginx"])?
        .refused(125, &["docker.io/library/nginx:latest", "busybox"])?;
    home.empty()?.lcow(&["run", "--pull", "never", "nginx"])?.refused(125, &["no images"])?;
    Ok(())
}

fn wrong_platform(home: &Home) -> Result<()> {
    for (os, architecture) in [("windows", "amd64"), ("linux", "s390x")] {
        let layout = tempfile::tempdir()?;
        foreign_image("foreign", os, architecture)?.write_layout(layout.path())?;
        home.load_from(layout.path())?.refused(125, &[&format!("{os}/{architecture}")])?;
    }
    ensure!(!home.lcow(&["images"])?.well()?.text().contains("foreign"));
    Ok(())
}

fn damaged(home: &Home) -> Result<()> {
    // Its own: elsewhere other tests convert layers at the same time.
    let directory = tempfile::tempdir()?;
    let home = home.elsewhere(directory.path())?;
    let mut layer = LayerBuilder::new();
    layer.file("unlike-any-other", 0o644, b"content");
    home.load(image("damaged")?.layer(layer, Compression::None).cmd(["true"]))?;
    let blobs = home.files("images/blobs/sha256", "")?;
    let is_layer = |path: &&std::path::PathBuf| {
        std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"unlike-any-other"))
    };
    let blob = blobs.iter().find(is_layer).context("the layer's blob")?;
    let digest = blob.file_name().context("a name")?.to_string_lossy().into_owned();
    let mut bytes = std::fs::read(blob)?;
    bytes[512] ^= 1;
    for content in [&bytes[..], &bytes[..700]] {
        std::fs::write(blob, content)?;
        home.lcow(&["run", "--rm", "damaged"])?.refused(125, &[&digest])?;
    }
    ensure!(home.files("layers", ".tmp")?.is_empty(), "something half-written was left");
    ensure!(!home.lcow(&["ps", "-a"])?.well()?.text().contains("damaged"), "a container was left");
    home.lcow(&["run", "--rm", "busybox", "true"])?.well()?;
    Ok(())
}

fn damaged_document(home: &Home) -> Result<()> {
    let home = home.empty()?;
    for name in ["good", "bad"] {
        home.load(image(name)?.layer(LayerBuilder::new(), Compression::Gzip).cmd([name]))?;
    }
    let shown: serde_json::Value = serde_json::from_str(&home.lcow(&["inspect", "bad"])?.well()?.text())?;
    let digest = shown[0]["Descriptor"]["digest"].as_str().context("a digest")?.replace("sha256:", "");
    std::fs::write(home.path().join("images/blobs/sha256").join(digest), b"{}")?;
    let list = home.lcow(&["images"])?;
    ensure!(list.status == 0 && list.stderr.contains("bad:latest is damaged"), "{list:?}");
    ensure!(list.text().starts_with("good\tlatest\t") && list.text().lines().count() == 1, "{list:?}");
    home.lcow(&["rmi", "bad"])?.well()?;
    home.lcow(&["images"])?.well()?;
    home.lcow(&["inspect", "good"])?.well()?;
    Ok(())
}

fn names(home: &Home) -> Result<()> {
    let home = home.empty()?;
    home.load(image("busybox")?.layer(LayerBuilder::new(), Compression::Gzip))?;
    home.lcow(&["tag", "busybox", "localhost:5000/mine:v2"])?.well()?;
    let ids = home.lcow(&["images", "-q"])?.well()?.text();
    ensure!(ids.lines().count() == 1 && ids.trim().len() == 12, "{ids}");
    // An id serves as a name, if it is not too short.
    home.lcow(&["tag", ids.trim(), "third"])?.well()?;
    home.lcow(&["tag", &ids[..3], "fourth"])?.refused(125, &["no image"])?;
    ensure!(home.lcow(&["images", "third"])?.well()?.text().lines().count() == 1);
    let json = home.lcow(&["images", "--format", "json"])?.well()?.text();
    let tags: Vec<serde_json::Value> = json.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(tags.len() == 3 && tags[0]["ID"] == tags[2]["ID"], "{json}");
    let gone = home.lcow(&["rmi", "busybox", "nothing", "third"])?;
    ensure!(
        gone.status == 125 && gone.stderr.contains("nothing") && gone.text().lines().count() == 2,
        "{gone:?}"
    );
    ensure!(home.files("images/blobs/sha256", "")?.len() == 3, "one name is left");
    home.lcow(&["rmi", "localhost:5000/mine:v2"])?.well()?;
    ensure!(home.files("images/blobs/sha256", "")?.is_empty(), "no name is left");
    Ok(())
}

fn saved(home: &Home) -> Result<()> {
    let home = home.empty()?;
    let mut layer = LayerBuilder::new();
    layer.file("a", 0o644, b"content");
    home.load(image("busybox")?.layer(layer, Compression::Zstd).cmd(["sh"]))?;
    home.lcow(&["tag", "busybox", "me/app:2"])?.well()?;
    let list = home.lcow(&["images", "--digests"])?.well()?.text();
    let directory = tempfile::tempdir()?;
    for format in ["docker", "oci"] {
        let file = directory.path().join(format);
        let path = file.to_str().context("a path in UTF-8")?;
        home.lcow(&["save", "--format", format, "-o", path, "busybox", "me/app:2"])?.well()?;
        ensure!(
            home.lcow(&["save", "--format", format, "busybox", "me/app:2"])?.well()?.stdout
                == std::fs::read(&file)?
        );
        let back = home.empty()?;
        back.load_from(&file)?.well()?;
        ensure!(back.lcow(&["images", "--digests"])?.well()?.text() == list);
        let source = match format {
            "docker" => format!("docker-archive:{path}:busybox:latest"),
            _ => format!("oci-archive:{path}:latest"),
        };
        let Ok(judged) = std::process::Command::new("skopeo").args(["inspect", "--config", &source]).output()
        else {
            println!("skipped: skopeo is not installed");
            continue;
        };
        ensure!(judged.status.success(), "{source}: {}", String::from_utf8_lossy(&judged.stderr));
        ensure!(String::from_utf8_lossy(&judged.stdout).contains("\"sh\""));
    }
    home.lcow(&["save", "nothing"])?.refused(125, &["no image"])?;
    Ok(())
}

fn imported(home: &Home) -> Result<()> {
    let home = home.empty()?;
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o644);
    tar.append_data(&mut header, "etc/motd", &b"hi\n"[..])?;
    let words = ["import", "-c", "CMD [\"sh\"]", "-c", "ENV A=b", "-m", "by hand", "-", "mine:1"];
    let digest = crate::lcow::run(home.command(&words), &tar.into_inner()?)?.well()?.text();
    let shown = home.lcow(&["inspect", "mine:1"])?.well()?.text();
    let shown: serde_json::Value = serde_json::from_str(&shown)?;
    ensure!(shown[0]["Config"]["Cmd"][0] == "sh" && shown[0]["Config"]["Env"][0] == "A=b", "{shown}");
    ensure!(shown[0]["Descriptor"]["digest"] == digest.trim(), "{shown}");
    let history = home.lcow(&["history", "mine:1"])?.well()?.text();
    ensure!(history.contains("Imported from -") && history.contains("by hand"), "{history}");
    let bad = crate::lcow::run(home.command(&["import", "-", "bad"]), b"this is no tar")?;
    bad.refused(125, &["tar"])?;
    Ok(())
}

fn inspected(home: &Home) -> Result<()> {
    let text = home.lcow(&["inspect", "busybox"])?.well()?.text();
    let shown: serde_json::Value = serde_json::from_str(&text)?;
    ensure!(shown[0]["RepoTags"][0] == "busybox:latest" && shown[0]["Os"] == "linux", "{text}");
    ensure!(shown[0]["RootFS"]["Layers"].as_array().is_some_and(|layers| layers.len() == 1), "{text}");
    let id = shown[0]["Id"].as_str().context("an id")?;
    ensure!(home.lcow(&["inspect", &id[7..19]])?.well()?.text() == text);
    home.lcow(&["inspect", "nothing"])?.refused(125, &["no image"])?;
    Ok(())
}

fn kept(home: &Home) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let home = home.elsewhere(directory.path())?;
    home.lcow(&["run", "--name", "kept", "busybox", "true"])?.well()?;
    home.lcow(&["rmi", "busybox"])?.refused(125, &["container kept"])?;
    home.lcow(&["rmi", "-f", "busybox"])?.well()?;
    let disks = || Ok::<_, anyhow::Error>(home.files("layers", ".vhd")?.len());
    ensure!(
        home.files("images/blobs/sha256", "")?.is_empty() && disks()? == 1,
        "the container needs its disk"
    );
    let record = home.path().join("containers/kept/record.json");
    let text = std::fs::read(&record)?;
    std::fs::write(&record, b"{")?;
    let list = home.lcow(&["ps", "-a"])?;
    ensure!(list.status == 0 && list.stderr.contains("kept/record.json"), "{list:?}");
    let pruned = home.lcow(&["images", "prune"])?;
    ensure!(pruned.stderr.contains("all layer disks are kept") && disks()? == 1, "{pruned:?}");
    std::fs::write(&record, text)?;
    home.lcow(&["rm", "kept"])?.well()?;
    ensure!(disks()? == 0, "nobody needs it any more");
    Ok(())
}

fn many_layers(home: &Home) -> Result<()> {
    let home = home.empty()?;
    let mut builder = image("deep")?.layer(crate::home::busybox_root()?, Compression::Gzip);
    for number in 0..70 {
        let mut layer = LayerBuilder::new();
        layer.file(&format!("files/{number}"), 0o644, number.to_string().as_bytes());
        layer.file("last", 0o644, number.to_string().as_bytes());
        if number % 2 == 1 {
            layer.whiteout(&format!("files/{}", number - 1));
        }
        builder = builder.layer(layer, Compression::Zstd);
    }
    home.load(builder)?;
    let script = "ls /files | wc -l; cat /last /files/69; test ! -e /files/68";
    let text = home.script_in("deep", script)?.well()?.text();
    ensure!(text == "35\n6969", "{text}");
    ensure!(home.files("layers", ".vhd")?.len() == 1, "one disk for all");
    Ok(())
}
