//! All images and files of a description in one stream, in LinuxKit's order.

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;
use serde_json::Value;

use super::config::Description;
use super::container::ContainerError;
use super::files::{self, FileError};
use super::ids::Ids;
use super::images::{Found, ImageError, Images};
use super::kernel::{KernelError, KernelFiles};
use super::load::Loaded;
use super::places::{At, Key, Spot};
use super::ready::{self, Ready, image_of};
use super::runtime::{Root, runtime};
use super::spec::SpecError;
use super::stream::{Origin, Stream};
use super::unpack::{Resolver, Unpack, UnpackError};
use super::volumes::{self, VolumeError};
use crate::sbom::{self, Part};

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// Something of the description or of a label.
    #[error("{at}")]
    At {
        /// Where it stands.
        at: Spot,
        /// What is wrong.
        source: Box<AssembleError>,
    },
    /// An image is not to be had.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// A container's specification.
    #[error("container {name}")]
    Spec {
        /// Which.
        name: String,
        /// Why.
        source: SpecError,
    },
    /// An image's files.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The description's files.
    #[error(transparent)]
    File(#[from] FileError),
    /// A volume that cannot be made.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The stream cannot be written.
    #[error("cannot collect files in a temporary file in {}", std::env::temp_dir().display())]
    Write(#[from] io::Error),
}

impl AssembleError {
    /// The same with the place of what is wrong.
    #[must_use]
    pub(super) fn at(self, at: Spot) -> Self {
        Self::At { at, source: Box::new(self) }
    }
}

/// A description with all its images.
pub struct Assembly {
    /// The description.
    pub loaded: Loaded,
    /// The kernel, if it has one.
    pub kernel: Option<KernelFiles>,
    images: BTreeMap<String, Found>,
    ids: Ids,
    containers: Vec<Ready>,
}

/// What goes into a stream besides the images.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// The kernel.
    pub kernel: bool,
    /// A Dockerfile.
    pub dockerfile: bool,
    /// The list of what is in it.
    pub sbom: bool,
    /// The user's `SOURCE_DATE_EPOCH`, for that list.
    pub epoch: Option<i64>,
}

const DOCKERFILE: &str = "FROM scratch\nCOPY . ./\nENTRYPOINT [\"/bin/rc.init\"]\n";

impl Assembly {
    /// Gets all images that `loaded` names, and refuses what cannot be made.
    pub fn new(loaded: Loaded, from: &Images) -> Result<Self, AssembleError> {
        let description = &loaded.description;
        let get = |key: &Key, name: &str| {
            from.get(name).map_err(|error| AssembleError::from(error).at(loaded.places.of(key)))
        };
        let mut images = BTreeMap::new();
        for (key, name) in named(description) {
            if !images.contains_key(name) {
                images.insert(name.to_owned(), get(&key, name)?);
            }
        }
        let key = Key::new(&[&"kernel", &"image"]);
        let named = description.kernel.as_ref().and_then(|kernel| Some((kernel, kernel.image.as_ref()?)));
        let kernel = named.map(|(kernel, image)| {
            let read = KernelFiles::read(kernel, &get(&key, image)?);
            read.map_err(|error| AssembleError::from(error).at(loaded.places.of(&key)))
        });
        let kernel = kernel.transpose()?;
        let ids = Ids::of(description);
        for (at, volume) in description.volumes.iter().enumerate() {
            let here = Key::new(&[&"volumes", &at]);
            volumes::check(volume, &from.platform).map_err(|fault| located(&loaded, &here, fault))?;
        }
        for (at, file) in description.files.iter().enumerate() {
            let here = Key::new(&[&"files", &at]);
            files::check(file, &ids).map_err(|fault| located(&loaded, &here, fault))?;
        }
        let volumes = description.volumes.iter().map(|v| (v.name.clone(), v.readonly)).collect();
        let containers = ready::all(&loaded, &|name| &images[name], &ids, &volumes)?;
        Ok(Self { loaded, kernel, images, ids, containers })
    }

    /// All images, each once, that of the kernel first.
    pub fn parts(&self) -> Vec<Part> {
        let kernel = self.kernel.as_ref();
        let others = self.images().filter(|found| kernel.is_none_or(|kernel| kernel.image != found.name));
        kernel.map(|kernel| kernel.part.clone()).into_iter().chain(others.map(Found::part)).collect()
    }

    /// The images, by the names the description has for them.
    pub fn images(&self) -> impl Iterator<Item = &Found> {
        self.images.values()
    }

    /// Writes everything to `out`.
    pub fn write(&self, wanted: Wanted, out: &mut Stream) -> Result<(), AssembleError> {
        if let Some(kernel) = self.kernel.as_ref().filter(|_| wanted.kernel) {
            kernel.write(out)?;
        }
        self.init(out)?;
        for (at, volume) in self.loaded.description.volumes.iter().enumerate() {
            let image = volume.image.as_ref().map(|name| &self.images[name]);
            volumes::add(at, volume, image, out)?;
        }
        let mut seen = BTreeMap::new();
        for ready in &self.containers {
            self.container(ready, &mut seen, out)?;
        }
        for (at, file) in self.loaded.description.files.iter().enumerate() {
            let here = Key::new(&[&"files", &at]);
            files::add(at, file, &self.ids, &self.loaded.document, out)
                .map_err(|fault| located(&self.loaded, &here, fault))?;
        }
        let origin = |name: &str| Origin { source: "linuxkit.files".to_owned(), location: name.to_owned() };
        if wanted.dockerfile {
            out.file(&origin("docker"), "Dockerfile", 0o644, DOCKERFILE.as_bytes())?;
        }
        if wanted.sbom {
            let text = sbom::text(&self.parts(), wanted.epoch);
            out.file(&origin("sbom"), "sbom.spdx.json", 0o644, text.as_bytes())?;
        }
        Ok(())
    }

    fn init(&self, out: &mut Stream) -> Result<(), AssembleError> {
        let mut packages = Vec::new();
        let mut last = None;
        for (at, name) in self.loaded.description.init.iter().enumerate() {
            let origin = Origin::new(name, "init", at);
            Unpack {
                image: &self.images[name],
                prefix: "",
                resolver: Resolver::Machine,
                origin: &origin,
                packages: Some(&mut packages),
            }
            .run(out)?;
            last = Some(origin);
        }
        if let Some(origin) = last.filter(|_| !packages.is_empty()) {
            out.parents(&origin, b"lib/apk/db/installed")?;
            out.file(&origin, "lib/apk/db/installed", 0o644, &packages)?;
        }
        Ok(())
    }

    /// A container's directory; `seen` has the place of each image's files.
    fn container(
        &self,
        ready: &Ready,
        seen: &mut BTreeMap<String, String>,
        out: &mut Stream,
    ) -> Result<(), AssembleError> {
        let Ready { origin, path, container, config } = ready;
        let found = &self.images[&origin.source];
        out.parents(origin, format!("{path}/config.json").as_bytes())?;
        let own = format!("{path}/{}", if container.readonly { "rootfs" } else { "lower" });
        let root = match seen.get(&found.name) {
            Some(other) => Root::Shared(other.clone()),
            None => Root::Own,
        };
        if root == Root::Own {
            out.directory(origin, &own)?;
            let prefix = format!("{own}/");
            let resolver = Resolver::Container;
            Unpack { image: found, prefix: &prefix, resolver, origin, packages: None }.run(out)?;
            seen.insert(found.name.clone(), own);
        }
        if !container.readonly {
            out.directory(origin, &format!("{path}/tmp"))?;
        }
        if !container.readonly || root != Root::Own {
            out.directory(origin, &format!("{path}/rootfs"))?;
        }
        out.file(origin, &format!("{path}/config.json"), 0o644, &pretty(config))?;
        let runtime = runtime(container, path, &root);
        Ok(out.file(origin, &format!("{path}/runtime.json"), 0o644, &pretty(&runtime))?)
    }
}

/// A fault of what stands at `here`, with its place.
fn located<E>(loaded: &Loaded, here: &Key, fault: At<E>) -> AssembleError
where
    AssembleError: From<E>,
{
    AssembleError::from(*fault.error).at(loaded.places.of(&here.below(&fault.key)))
}

/// The images of `description` but for the kernel's, and where each is named.
fn named(description: &Description) -> impl Iterator<Item = (Key, &str)> {
    let init = description.init.iter().enumerate();
    let init = init.map(|(at, name)| (Key::new(&[&"init", &at]), name.as_str()));
    let items = description.containers().into_iter().flat_map(|(list, items)| {
        let items = items.iter().enumerate();
        items.map(move |(at, item)| (Key::new(&[&list, &at, &"image"]), image_of(item)))
    });
    let volumes =
        description.volumes.iter().enumerate().filter_map(|(at, volume)| {
            Some((Key::new(&[&"volumes", &at, &"image"]), volume.image.as_deref()?))
        });
    init.chain(items).chain(volumes)
}

/// JSON with LinuxKit's indentation.
fn pretty(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut writer = serde_json::Serializer::with_formatter(&mut bytes, format);
    // Values of this type, written to memory, always succeed.
    let _ = value.serialize(&mut writer);
    bytes
}
