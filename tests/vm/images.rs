//! Containers of images on the shared VM: their layers are hot-plugged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use host_bridge::guest::{Output, Process, Stdio};
use host_bridge::layers::{LayerCache, RootFs, RootFsError, create_scratch};
use host_bridge::vmm::Disk;
use lcow_oci::build::{ImageBuilder, LayerBuilder};
use lcow_oci::spec::{ContainerOptions, generate};
use lcow_oci::store::{Image, Store};
use lcow_oci::{Compression, Reference, load};
use lcow_protocol::ContainerId;
use lcow_tests::Lab;
use lcow_tests::debian;
use lcow_tests::suite::Suite;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    Suite::new("images", lab)
        .test("a_container_of_an_image_leaves_nothing", one_container)
        .test("containers_of_one_image_share_its_layers", shared_layers)
        .test("a_damaged_layer_leaves_nothing", damaged_blob)
        .test("a_layer_disk_that_cannot_be_mounted_leaves_nothing", damaged_disk)
        .test("layers_that_cannot_be_combined_leave_nothing", not_combined)
        .test("debian_runs_beside_busybox", debian_root)
}

/// Images and their layers in a directory of their own.
struct Images {
    directory: TempDir,
    store: Store,
    cache: LayerCache,
}

impl Images {
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let store = Store::open(directory.path().join("images"))?;
        let cache = LayerCache::new(directory.path().join("layers"));
        Ok(Self { directory, store, cache })
    }

    /// Loads an image of these layers.
    fn load(&self, name: &str, layers: Vec<LayerBuilder>) -> Result<Image> {
        let reference: Reference = name.parse()?;
        let image = ImageBuilder::new(reference.clone());
        let image = layers.into_iter().fold(image, |image, layer| image.layer(layer, Compression::Zstd));
        let layout = self.directory.path().join(format!("{name}.layout"));
        image.write_layout(&layout)?;
        load::load(&self.store, &layout, &load::Options::default())?;
        std::fs::remove_dir_all(&layout)?;
        Ok(self.store.get(&reference)?)
    }

    /// The disks of an image's layers.
    fn disks(&self, image: &Image) -> Result<Vec<PathBuf>> {
        Ok(self.cache.disks(&self.store, image)?)
    }
}

/// A container in the shared VM.
struct Container {
    id: ContainerId,
    root: RootFs,
    scratch: PathBuf,
    process: Process,
}

impl Container {
    async fn start(lab: &Lab, images: &Images, image: &Image, script: &str) -> Result<Self> {
        let layers = images.disks(image)?;
        let id = ContainerId(lab.unique("image"));
        let scratch = images.directory.path().join(&id.0);
        let root = hot_plug(lab, &id, &layers, &scratch).await?;
        let options = ContainerOptions {
            command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            hostname: "lab".into(),
            ..ContainerOptions::default()
        };
        let spec = generate(&image.config.config, &options, &root.path())?;
        let uvm = lab.uvm().await?;
        uvm.container_create(&id, &root.bundle(), spec, Some(&root.scratch_path())).await?;
        let process = uvm.container_start(&id, Stdio::ALL).await?;
        Ok(Self { id, root, scratch, process })
    }

    /// Waits for the container's end and takes everything of it down.
    async fn finish(self, lab: &Lab) -> Result<Output> {
        let output = self.process.output().await?;
        self.root.release().await?;
        lab.uvm().await?.container_delete(&self.id).await?;
        gone(lab, &self.id, &[&self.scratch]).await?;
        let check = std::process::Command::new("e2fsck").args(["-fn"]).arg(&self.scratch).output()?;
        ensure!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
        Ok(output)
    }
}

async fn hot_plug(lab: &Lab, id: &ContainerId, layers: &[PathBuf], scratch: &Path) -> Result<RootFs> {
    create_scratch(scratch, 64 << 20)?;
    let layers = layers.iter().map(|path| Disk::open(path, true)).collect::<Result<_, _>>()?;
    Ok(RootFs::hot_plug(&lab.layers().await?, id, layers, Disk::open(scratch, false)?).await?)
}

/// Checks that nothing of a container is mounted, and that these disks are in no VM.
async fn gone(lab: &Lab, id: &ContainerId, disks: &[&Path]) -> Result<()> {
    lab.shell(&format!("! grep {id} /proc/mounts && test ! -e /run/gcs/c/{id}")).await?;
    for disk in disks {
        ensure!(!is_open(disk)?, "{} is still attached", disk.display());
    }
    Ok(())
}

/// Whether a process, be it ours or QEMU, has the file open.
fn is_open(file: &Path) -> Result<bool> {
    let file = file.canonicalize()?;
    let processes = std::fs::read_dir("/proc")?.flatten();
    // Processes and their descriptors come and go meanwhile, and other users' cannot be looked at.
    let mut descriptors =
        processes.filter_map(|entry| std::fs::read_dir(entry.path().join("fd")).ok()).flatten();
    Ok(descriptors
        .any(|entry| entry.and_then(|entry| std::fs::read_link(entry.path())).is_ok_and(|path| path == file)))
}

/// How many disks of the VM have these words at their beginning, and how many layers with a file called so are mounted.
async fn attached(lab: &Lab, marker: &str) -> Result<(usize, usize)> {
    // Disks of other tests come and go.
    let script = format!(
        "for disk in /dev/sd*; do head -c 8388608 $disk 2>/dev/null | grep -q {marker} && echo disk; done; \
         for file in /run/mounts/scsi/*/{marker}; do test -e $file && echo mount; done; true"
    );
    let output = lab.shell(&script).await?;
    let text = String::from_utf8(output.stdout)?;
    let count = |word| text.lines().filter(|line| *line == word).count();
    Ok((count("disk"), count("mount")))
}

/// Two layers: `BusyBox` and a file `low` below, a file `high` and a changed one above, each with a marker.
fn layers(markers: &[String; 2]) -> Result<Vec<LayerBuilder>> {
    let busybox = std::fs::read("/bin/busybox").context("the package busybox-static is needed")?;
    let (mut low, mut high) = (LayerBuilder::new(), LayerBuilder::new());
    for directory in ["bin", "dev", "etc", "proc", "sys"] {
        low.directory(directory, 0o755);
    }
    low.file("bin/busybox", 0o755, &busybox).file("low", 0o644, b"low\n").file("changed", 0o644, b"low\n");
    for name in ["sh", "cat", "echo"] {
        low.symlink(&format!("bin/{name}"), "busybox");
    }
    high.file("high", 0o644, b"high\n").file("changed", 0o644, b"high\n");
    for (layer, marker) in [&mut low, &mut high].into_iter().zip(markers) {
        layer.file(marker, 0o644, format!("{marker}\n").repeat(100).as_bytes());
    }
    Ok(vec![low, high])
}

fn markers(lab: &Lab) -> [String; 2] {
    // Numbers would be the beginnings of others.
    ["low", "high"].map(|level| format!("{}-{level}-layer", lab.unique("marker")))
}

async fn one_container(lab: Arc<Lab>) -> Result<()> {
    let images = Images::new()?;
    let markers = markers(&lab);
    let image = images.load("two", layers(&markers)?)?;
    let script = "cat /low /high /changed; echo own > /own; cat /own; echo x > /dev/stderr; exit 7";
    let container = Container::start(&lab, &images, &image, script).await?;
    let output = container.finish(&lab).await?;
    ensure!((output.status, &output.stdout[..]) == (7, b"low\nhigh\nhigh\nown\n"), "{output:?}");
    ensure!(output.stderr == b"x\n", "{output:?}");
    for disk in images.disks(&image)? {
        ensure!(!is_open(&disk)?, "{} is still attached", disk.display());
    }
    for marker in &markers {
        ensure!(attached(&lab, marker).await? == (0, 0), "{marker}");
    }
    Ok(())
}

async fn shared_layers(lab: Arc<Lab>) -> Result<()> {
    let images = Images::new()?;
    let markers = markers(&lab);
    let image = images.load("shared", layers(&markers)?)?;
    images.disks(&image)?;
    let script = "echo up; read word; echo $word > /own; cat /own /changed";
    let (first, second) = tokio::join!(
        Container::start(&lab, &images, &image, script),
        Container::start(&lab, &images, &image, script),
    );
    let mut containers = [first?, second?];
    for container in &mut containers {
        let mut up = [0; 3];
        container.process.stdout.as_mut().context("stdout")?.read_exact(&mut up).await?;
        ensure!(&up == b"up\n", "{up:?}");
    }
    for marker in &markers {
        let found = attached(&lab, marker).await?;
        ensure!(found == (1, 1), "{marker}: {found:?}");
    }
    for (at, mut container) in containers.into_iter().enumerate() {
        // The second has its layers still when the first is gone.
        let word = format!("word{at}\n");
        container.process.stdin.take().context("stdin")?.write_all(word.as_bytes()).await?;
        let output = container.finish(&lab).await?;
        let expected = format!("{word}high\n");
        ensure!(output.status == 0 && output.stdout == expected.as_bytes(), "{output:?}");
        let left = 1 - at;
        for marker in &markers {
            let found = attached(&lab, marker).await?;
            ensure!(found == (left, left), "{marker} after {at}: {found:?}");
        }
    }
    for disk in images.disks(&image)? {
        ensure!(!is_open(&disk)?, "{} is still attached", disk.display());
    }
    Ok(())
}

async fn damaged_blob(lab: Arc<Lab>) -> Result<()> {
    let images = Images::new()?;
    let image = images.load("damaged", layers(&markers(&lab))?)?;
    let layer = image.manifest.layers[1].digest;
    let blob = images.store.root().join("blobs/sha256").join(layer.hex());
    let mut bytes = std::fs::read(&blob)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&blob, &bytes)?;
    let Err(error) = Container::start(&lab, &images, &image, "true").await else {
        bail!("a damaged layer was used");
    };
    ensure!(format!("{error:#}").contains(&layer.to_string()), "{error:#}");
    // The layer below is whole and may be of use to others; it is in no VM.
    for entry in std::fs::read_dir(images.directory.path().join("layers"))? {
        let path = entry?.path();
        ensure!(path.extension().is_none_or(|extension| extension != "tmp"), "{}", path.display());
        ensure!(!is_open(&path)?, "{} is attached", path.display());
    }
    Ok(())
}

async fn damaged_disk(lab: Arc<Lab>) -> Result<()> {
    let images = Images::new()?;
    let markers = markers(&lab);
    let image = images.load("rubbish", layers(&markers)?)?;
    let mut disks = images.disks(&image)?;
    let rubbish = images.directory.path().join("rubbish.img");
    std::fs::write(&rubbish, vec![0x5a; 1 << 20])?;
    let scratch = images.directory.path().join("scratch");
    // Beside it another container uses the layers that are whole.
    let user = Container::start(&lab, &images, &image, "read word; cat /high").await?;
    disks.push(rubbish.clone());
    let id = ContainerId(lab.unique("rubbish"));
    let error = hot_plug(&lab, &id, &disks, &scratch).await.err().context("rubbish was mounted")?;
    let RootFsError::Layer(layer) = error.downcast_ref().context("a root's error")? else {
        bail!("{error:#}");
    };
    ensure!(layer.path == rubbish.canonicalize()?, "{error:#}");
    gone(&lab, &id, &[&rubbish, &scratch]).await?;
    let output = user.finish(&lab).await?;
    ensure!(output.stdout == b"high\n", "{output:?}");
    for marker in &markers {
        ensure!(attached(&lab, marker).await? == (0, 0), "{marker}");
    }
    Ok(())
}

async fn not_combined(lab: Arc<Lab>) -> Result<()> {
    let images = Images::new()?;
    let scratch = images.directory.path().join("scratch");
    let id = ContainerId(lab.unique("layerless"));
    let error = hot_plug(&lab, &id, &[], &scratch).await.err().context("a root without layers")?;
    ensure!(matches!(error.downcast_ref(), Some(RootFsError::Combine(_))), "{error:#}");
    gone(&lab, &id, &[&scratch]).await?;
    // One that was made before and is made again: what was taken down can be put up.
    let image = images.load("again", layers(&markers(&lab))?)?;
    let disks = images.disks(&image)?;
    for _ in 0..2 {
        std::fs::remove_file(&scratch)?;
        let root = hot_plug(&lab, &id, &disks, &scratch).await?;
        lab.shell(&format!("cat {path}/low && echo x > {path}/own", path = root.path())).await?;
        root.release().await?;
        gone(&lab, &id, &[&scratch, &disks[0], &disks[1]]).await?;
    }
    Ok(())
}

async fn debian_root(lab: Arc<Lab>) -> Result<()> {
    let tar = match tokio::task::spawn_blocking(debian::root).await?? {
        debian::Root::Tar(tar) => tar,
        debian::Root::Missing(reason) => {
            println!("skipped: {reason}");
            return Ok(());
        }
    };
    let images = Arc::new(Images::new()?);
    let loading = images.clone();
    let image = tokio::task::spawn_blocking(move || -> Result<Image> {
        let mut root = LayerBuilder::new();
        root.archive(std::fs::File::open(tar)?);
        let image = loading.load("debian", vec![root])?;
        loading.disks(&image)?;
        Ok(image)
    })
    .await??;
    let script = "exec /bin/bash -c '
        set -e
        [[ $(ldd --version) == *\"GNU libc\"* || $(ldd --version) == *GLIBC* ]]
        getent hosts localhost
        getent passwd root | cut -d: -f 6
        id -un
        perl -e \"print 6 * 7, qq(\\n)\"
        dpkg-query -W -f \"\\${Package}\\n\" bash
        hostname
        echo written > /root/file
        cat /root/file
        exit 42'";
    let debian = Container::start(&lab, &images, &image, script).await?;
    let busybox = images.load("busybox", layers(&markers(&lab))?)?;
    let beside = Container::start(&lab, &images, &busybox, "cat /low").await?;
    let output = beside.finish(&lab).await?;
    ensure!(output.stdout == b"low\n", "{output:?}");
    let output = debian.finish(&lab).await?;
    let text = String::from_utf8(output.stdout)?;
    let lines: Vec<&str> = text.lines().collect();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status == 42 && said.is_empty(), "{}: {text:?} {said:?}", output.status);
    ensure!(lines[0].ends_with("localhost"), "{text:?}");
    ensure!(lines[1..] == ["/root", "root", "42", "bash", "lab", "written"], "{text:?}");
    for disk in images.disks(&image)? {
        ensure!(!is_open(&disk)?, "{} is still attached", disk.display());
    }
    Ok(())
}
