//! All images and files of a description in one stream, in LinuxKit's order.

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;
use serde_json::Value;

use super::config::Item;
use super::container::{Container, ContainerError, LABEL_NAME};
use super::files::{self, FileError};
use super::ids::Ids;
use super::images::{Found, ImageError, Images};
use super::kernel::{KernelError, KernelFiles};
use super::load::Loaded;
use super::mounts::Volumes;
use super::runtime::{Root, runtime};
use super::spec::{self, SpecError};
use super::stream::{Origin, Stream};
use super::unpack::{Resolver, Unpack, UnpackError};
use super::volumes::{self, VolumeError};
use crate::sbom::{self, Part};

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
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

/// A description with all its images.
pub struct Assembly {
    /// The description.
    pub loaded: Loaded,
    /// The kernel, if it has one.
    pub kernel: Option<KernelFiles>,
    images: BTreeMap<String, Found>,
    ids: Ids,
    volumes: Volumes,
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
    /// Gets all images that `loaded` names.
    pub fn new(loaded: Loaded, from: &Images) -> Result<Self, AssembleError> {
        let description = &loaded.description;
        let mut images = BTreeMap::new();
        let items = description.onboot.iter().chain(&description.onshutdown).chain(&description.services);
        let names = description.init.iter().map(String::as_str);
        let names = names
            .chain(items.map(image_of))
            .chain(description.volumes.iter().filter_map(|v| v.image.as_deref()));
        for name in names {
            if !images.contains_key(name) {
                images.insert(name.to_owned(), from.get(name)?);
            }
        }
        let kernel = match description.kernel.as_ref() {
            Some(kernel) => match &kernel.image {
                Some(image) => Some(KernelFiles::read(kernel, &from.get(image)?)?),
                None => None,
            },
            None => None,
        };
        let ids = Ids::of(description);
        let volumes = description.volumes.iter().map(|v| (v.name.clone(), v.readonly)).collect();
        for volume in &description.volumes {
            volumes::check(volume, &from.platform)?;
        }
        Ok(Self { loaded, kernel, images, ids, volumes })
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
        let description = &self.loaded.description;
        let lists = [
            ("onboot", &description.onboot, true),
            ("onshutdown", &description.onshutdown, true),
            ("services", &description.services, false),
        ];
        for (list, items, numbered) in lists {
            for (at, item) in items.iter().enumerate() {
                let name = item["name"].as_str().unwrap_or_default();
                let name = if numbered { format!("{at:03}-{name}") } else { name.to_owned() };
                let path = format!("containers/{list}/{name}");
                self.container(&Origin::new(image_of(item), list, at), item, &path, &mut seen, out)?;
            }
        }
        for (at, file) in description.files.iter().enumerate() {
            files::add(at, file, &self.ids, &self.loaded.document, out)?;
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
            out.parents(&origin, "lib/apk/db/installed")?;
            out.file(&origin, "lib/apk/db/installed", 0o644, &packages)?;
        }
        Ok(())
    }

    /// A container's directory; `seen` has the place of each image's files.
    fn container(
        &self,
        origin: &Origin,
        item: &Item,
        path: &str,
        seen: &mut BTreeMap<String, String>,
        out: &mut Stream,
    ) -> Result<(), AssembleError> {
        let found = &self.images[image_of(item)];
        let container = Container::merged(item, found.label(LABEL_NAME))?;
        let run = &found.image.config.config;
        let fault = |source| AssembleError::Spec { name: container.name.clone(), source };
        let config = spec::config(&container, run, &self.ids, &self.volumes).map_err(fault)?;
        out.parents(origin, &format!("{path}/config.json"))?;
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
        out.file(origin, &format!("{path}/config.json"), 0o644, &pretty(&config))?;
        let runtime = runtime(&container, path, &root);
        Ok(out.file(origin, &format!("{path}/runtime.json"), 0o644, &pretty(&runtime))?)
    }
}

fn image_of(item: &Item) -> &str {
    item["image"].as_str().unwrap_or_default()
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
