//! Pulling from a real registry, interrupted and crowded.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lcow_oci::build::{ImageBuilder, LayerBuilder};
use lcow_oci::model::{Index, media};
use lcow_oci::{Compression, Digest};
use nix::sys::signal::Signal;

use crate::home::{Home, image};
use crate::hub::{Hub, noise};
use crate::server::{Fault, Server};
use crate::{Test, boots, plain};

pub(crate) const TESTS: &[Test] = &[
    plain("a_pulled_image_has_its_disks", pulled),
    plain("pulls_that_are_killed_leave_nothing_in_the_way", killed),
    plain("conversions_that_are_killed_leave_nothing_in_the_way", killed_converting),
    plain("several_pulls_of_one_image_agree", together),
    plain("nothing_is_deleted_that_a_pull_brings", collected),
    plain("what_cannot_be_pulled_is_explained", refused),
    plain("an_image_for_another_machine_is_pulled_by_its_name", platforms),
    plain("what_is_tried_again_is_said", retries),
    plain("certificates_are_checked", certificates),
    boots("run_pulls_what_is_missing", run_pulls),
];

/// Interrupted pulls; each is killed a little later than the one before.
const KILLS: u32 = 24;

/// Six layers of two megabytes in all packings, half of it in files of a kilobyte.
fn large(name: &str, seed: u64) -> Result<ImageBuilder> {
    let packings = [Compression::Gzip, Compression::Zstd, Compression::None];
    (0..6).zip(packings.into_iter().cycle()).try_fold(image(name)?, |image, (number, packing)| {
        let bytes = noise(2 << 20, seed * 100 + number);
        let mut layer = LayerBuilder::new();
        layer.file(&format!("large-{number}"), 0o644, &bytes[..1 << 20]);
        for (at, piece) in bytes[1 << 20..].chunks(1024).enumerate() {
            layer.file(&format!("small-{number}/{at}"), 0o644, piece);
        }
        Ok(image.layer(layer, packing))
    })
}

fn push(hub: &Hub, image: ImageBuilder, name: &str) -> Result<()> {
    let layout = tempfile::tempdir()?;
    image.write_layout(layout.path())?;
    hub.push(layout.path(), "latest", name);
    Ok(())
}

/// Digests of the files of a part of a home, by name; locks have none.
pub(crate) fn digests(home: &Home, part: &str, end: &str) -> Result<BTreeMap<String, String>> {
    let mut digests = BTreeMap::new();
    for path in home.files(part, end)? {
        digests.insert(name(&path), Digest::of(&std::fs::read(&path)?).hex());
    }
    Ok(digests)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// All blobs are what their names say, nothing half-done is left, and the disks are those of an undisturbed pull.
fn check(home: &Home, disks: &BTreeMap<String, String>) -> Result<()> {
    let blobs = digests(home, "images/blobs/sha256", "")?;
    ensure!(blobs.len() == 8, "{} blobs", blobs.len());
    for (name, digest) in &blobs {
        ensure!(name == digest, "blob {name} has the content {digest}");
    }
    ensure!(home.files("images/tmp", "")?.is_empty(), "temporary blobs are left");
    ensure!(home.files("layers", ".tmp")?.is_empty(), "temporary disks are left");
    ensure!(digests(home, "layers", ".vhd")? == *disks, "the disks differ from an undisturbed pull's");
    Ok(())
}

fn pulled(home: &Home) -> Result<()> {
    let Some(hub) = Hub::start(false) else { return Ok(()) };
    let home = home.empty()?;
    push(&hub, large("large", 1)?, "me/large:v1")?;
    let name = hub.name("me/large:v1");
    let text = home.lcow(&["pull", &name])?.well()?.text();
    ensure!(text.contains("Downloaded newer image") && text.ends_with(&format!("{name}\n")), "{text}");
    let disks = digests(&home, "layers", ".vhd")?;
    ensure!(disks.len() == 6, "{} disks", disks.len());
    for disk in home.files("layers", ".vhd")? {
        let checked = std::process::Command::new("e2fsck").arg("-fn").arg(&disk).output()?;
        ensure!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
    check(&home, &disks)?;
    let text = home.lcow(&["pull", &name])?.well()?.text();
    ensure!(text.contains("up to date"), "{text}");
    // Disks that have gone are made of the blobs that are there.
    for disk in home.files("layers", ".vhd")?.iter().take(3) {
        std::fs::remove_file(disk)?;
    }
    ensure!(home.lcow(&["pull", "-q", &name])?.well()?.text() == format!("{name}\n"));
    check(&home, &disks)
}

fn killed(home: &Home) -> Result<()> {
    let Some(hub) = Hub::start(false) else { return Ok(()) };
    push(&hub, large("large", 2)?, "me/large:v1")?;
    let name = hub.name("me/large:v1");
    let undisturbed = home.empty()?;
    let start = Instant::now();
    undisturbed.lcow(&["pull", &name])?.well()?;
    let whole = start.elapsed();
    let disks = digests(&undisturbed, "layers", ".vhd")?;
    let mut home = home.empty()?;
    let mut unfinished = 0;
    for kill in 0..KILLS {
        // Sometimes on top of what is there, sometimes anew.
        if kill % 4 == 0 {
            home = home.empty()?;
        }
        let pull = home.background(&["pull", &name])?;
        // The moment to kill it, spread over the time it takes.
        thread::sleep(whole * (2 * kill + 1) / (2 * KILLS) + Duration::from_millis(u64::from(kill % 3)));
        pull.signal(Signal::SIGKILL)?;
        unfinished += u32::from(pull.finish()?.status == -9);
        let list = home.lcow(&["images"])?.well()?.text();
        // Listed means whole: everything can be read and has its digest.
        if list.contains("me/large") {
            let saved = home.lcow(&["save", &name])?.well()?;
            ensure!(saved.stdout.len() > 10 << 20);
        }
        if kill % 4 == 3 {
            home.lcow(&["pull", &name])?.well()?;
            check(&home, &disks)?;
        }
    }
    ensure!(unfinished > KILLS / 4, "only {unfinished} of {KILLS} pulls were interrupted");
    Ok(())
}

fn killed_converting(home: &Home) -> Result<()> {
    let Some(hub) = Hub::start(false) else { return Ok(()) };
    push(&hub, large("large", 8)?, "me/large:v1")?;
    let name = hub.name("me/large:v1");
    let home = home.empty()?;
    home.lcow(&["pull", &name])?.well()?;
    let disks = digests(&home, "layers", ".vhd")?;
    // With all blobs here, what a pull does is conversion.
    let forget =
        || home.files("layers", ".vhd")?.iter().try_for_each(std::fs::remove_file).context("removing");
    forget()?;
    let start = Instant::now();
    home.lcow(&["pull", &name])?.well()?;
    let mut whole = start.elapsed();
    let mut unfinished = 0;
    for kill in 0..KILLS {
        if kill % 4 == 0 {
            forget()?;
        }
        let pull = home.background(&["pull", &name])?;
        thread::sleep(whole * (kill % 8) / 8);
        pull.signal(Signal::SIGKILL)?;
        if pull.finish()?.status == -9 {
            unfinished += 1;
        } else {
            // The machine has less to do than when this was measured.
            whole = whole * 3 / 4;
        }
        for disk in home.files("layers", ".vhd")? {
            let found = Digest::of(&std::fs::read(&disk)?).hex();
            ensure!(disks[&self::name(&disk)] == found, "a disk with a name is not whole");
        }
    }
    ensure!(unfinished > KILLS / 4, "only {unfinished} of {KILLS} conversions were interrupted");
    home.lcow(&["pull", &name])?.well()?;
    check(&home, &disks)
}

fn together(home: &Home) -> Result<()> {
    let Some(hub) = Hub::start(false) else { return Ok(()) };
    push(&hub, large("large", 3)?, "me/large:v1")?;
    let name = hub.name("me/large:v1");
    let home = home.empty()?;
    let pulls = (0..3).map(|_| home.background(&["pull", &name])).collect::<Result<Vec<_>>>()?;
    for pull in pulls {
        pull.finish()?.well()?;
    }
    let alone = home.empty()?;
    alone.lcow(&["pull", &name])?.well()?;
    check(&home, &digests(&alone, "layers", ".vhd")?)
}

fn collected(home: &Home) -> Result<()> {
    let Some(hub) = Hub::start(false) else { return Ok(()) };
    push(&hub, large("large", 4)?, "me/large:v1")?;
    push(&hub, large("other", 5)?, "me/other:v1")?;
    let (name, other) = (hub.name("me/large:v1"), hub.name("me/other:v1"));
    let home = home.empty()?;
    home.lcow(&["pull", &other])?.well()?;
    let pull = home.background(&["pull", &name])?;
    home.lcow(&["rmi", &other])?.well()?;
    let done = thread::scope(|scope| {
        let pull = scope.spawn(|| pull.finish());
        while !pull.is_finished() {
            home.lcow(&["images", "prune"])?.well()?;
        }
        pull.join().map_err(|_| anyhow::anyhow!("the thread failed"))?
    })?;
    done.well()?;
    home.lcow(&["images", "prune"])?.well()?;
    let alone = home.empty()?;
    alone.lcow(&["pull", &name])?.well()?;
    check(&home, &digests(&alone, "layers", ".vhd")?)?;
    let text = home.lcow(&["rmi", &name])?.well()?.text();
    ensure!(text == format!("Untagged: {name}\n"), "{text}");
    let left = (home.files("images/blobs/sha256", "")?.len(), home.files("layers", ".vhd")?.len());
    ensure!(left == (0, 0), "{left:?} are left");
    Ok(())
}

fn refused(home: &Home) -> Result<()> {
    let Some(hub) = Hub::start(true) else { return Ok(()) };
    let home = home.empty()?;
    push(&hub, large("large", 6)?, "me/large:v1")?;
    let name = hub.name("me/large:v1");
    home.lcow(&["pull", &name])?.refused(125, &["denies", "docker login"])?;
    home.lcow(&["pull", "127.0.0.1:1/x"])?.refused(125, &["127.0.0.1:1"])?;
    home.lcow(&["pull", "--mirror", "nonsense", "x"])?.refused(125, &["is no mirror"])?;
    home.lcow(&["run", "--pull", "never", "--rm", &name])?.refused(125, &["no images"])?;
    // A helper program, found like any other.
    let directory = tempfile::tempdir()?;
    let helper = directory.path().join("docker-credential-test");
    let answer = format!(
        r#"{{"ServerURL":"","Username":"{}","Secret":"{}"}}"#,
        crate::hub::USER,
        crate::hub::PASSWORD
    );
    std::fs::write(
        &helper,
        format!("#!/bin/sh\nread key; [ \"$1 $key\" = \"get {}\" ] && echo '{answer}'\n", hub.address()),
    )?;
    std::fs::set_permissions(&helper, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    std::fs::write(directory.path().join("config.json"), r#"{"credsStore":"test"}"#)?;
    let mut command = home.command(&["pull", "-q", &name]);
    let path = std::env::var("PATH").context("PATH")?;
    command
        .env("DOCKER_CONFIG", directory.path())
        .env("PATH", format!("{}:{path}", directory.path().display()));
    crate::lcow::run(command, &[])?.well()?;
    Ok(())
}

fn platforms(home: &Home) -> Result<()> {
    let home = home.empty()?;
    let images = ["linux/amd64", "linux/arm/v6", "linux/arm/v7"].map(|platform| {
        let mut layer = LayerBuilder::new();
        layer.file("platform", 0o644, platform.as_bytes());
        Ok(image("many")?.layer(layer, Compression::Gzip).platform(platform.parse()?))
    });
    let layout = tempfile::tempdir()?;
    lcow_oci::build::write_layout(layout.path(), images.into_iter().collect::<Result<_>>()?)?;
    // A tag that leads to an index, as those of most public images do.
    let server = Server::start(layout.path());
    let index = std::fs::read(layout.path().join("index.json"))?;
    for manifest in &serde_json::from_slice::<Index>(&index)?.manifests {
        let path = format!("/v2/app/manifests/{}", manifest.digest);
        let bytes = std::fs::read(layout.path().join("blobs/sha256").join(manifest.digest.hex()))?;
        server.replace(&path, &manifest.media_type, &bytes);
    }
    server.replace("/v2/app/manifests/v1", media::INDEX, &index);
    let name = server.name();
    home.lcow(&["pull", "-q", "--platform", "linux/arm/v7", &name])?.well()?;
    let disks = home.files("layers", ".vhd")?;
    let [disk] = &disks[..] else { anyhow::bail!("{disks:?}") };
    let file = std::process::Command::new("debugfs").args(["-R", "cat /platform"]).arg(disk).output()?.stdout;
    ensure!(file == b"linux/arm/v7", "{}", String::from_utf8_lossy(&file));
    let there = ["is not for linux/riscv64, only for linux/amd64, linux/arm/v6, linux/arm/v7"];
    home.lcow(&["pull", "--platform", "linux/riscv64", &name])?.refused(125, &there)?;
    home.lcow(&["pull", "--platform", "linux", &name])?.refused(125, &["is no platform"])?;
    Ok(())
}

/// A layout of a small image in `directory`.
fn one_layer(directory: &Path) -> Result<std::path::PathBuf> {
    let mut layer = LayerBuilder::new();
    layer.file("a", 0o644, b"a");
    let layout = directory.join("layout");
    image("app")?.layer(layer, Compression::Gzip).write_layout(&layout)?;
    Ok(layout)
}

fn retries(home: &Home) -> Result<()> {
    let home = home.empty()?;
    let layout = tempfile::tempdir()?;
    let server = Server::start(&one_layer(layout.path())?);
    server.faults("manifests", [Fault::Status(429)]);
    let output = home.lcow(&["pull", &server.name()])?;
    let told = output.stderr.contains("429 (not now); trying again in");
    ensure!(output.status == 0 && told && output.stderr.lines().count() == 1, "{output:?}");
    // Whoever wants the name alone gets nothing else.
    server.faults("manifests", [Fault::Status(500)]);
    home.lcow(&["pull", "-q", &server.name()])?.well()?;
    Ok(())
}

fn certificates(home: &Home) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let Some(hub) = Hub::start_with_certificate(directory.path()) else { return Ok(()) };
    let home = home.empty()?;
    push(&hub, large("large", 7)?, "me/large:v1")?;
    let port = hub.address().rsplit(':').next().context("a port")?;
    let pull = |host: &str, trusted: bool| {
        // A mirror's address says how it is asked; at the registry itself nobody listens.
        let mirror = format!("https://{host}:{port}");
        let mut command = home.command(&["pull", "-q", "--mirror", &mirror, "127.0.0.1:1/me/large:v1"]);
        if trusted {
            command.env("SSL_CERT_FILE", directory.path().join("authority.pem"));
        }
        crate::lcow::run(command, &[])
    };
    pull("localhost", false)?.refused(125, &["certificate"])?;
    // The certificate has another name.
    pull("127.0.0.1", true)?.refused(125, &["certificate"])?;
    pull("localhost", true)?.well()?;
    // Where nobody is trusted at all, that is said, whoever is asked.
    let server = Server::start(&one_layer(directory.path())?);
    let trusting_nobody = |words: &[&str]| {
        let mut command = home.command(words);
        command.env("SSL_CERT_FILE", "/dev/null").env("SSL_CERT_DIR", directory.path().join("none"));
        crate::lcow::run(command, &[])
    };
    for name in ["r.invalid/x", &server.name()] {
        trusting_nobody(&["pull", name])?.refused(125, &["No CA certificates", "ca-certificates"])?;
    }
    Ok(())
}

fn run_pulls(home: &Home) -> Result<()> {
    let Some(hub) = Hub::start(false) else { return Ok(()) };
    push(
        &hub,
        image("tools")?.layer(crate::home::busybox_root()?, Compression::Zstd).cmd(["sh"]),
        "tools:v1",
    )?;
    let (home, name) = (home.empty()?, hub.name("tools:v1"));
    for policy in ["missing", "always", "never"] {
        let text = home.lcow(&["run", "--rm", "--pull", policy, &name, "echo", policy])?.well()?.text();
        ensure!(text == format!("{policy}\n"), "{text}");
    }
    Ok(())
}
