//! Directories that containers share, with what is in them at first: an image's files, or the image itself.

use std::io;

use lcow_oci::model::{Descriptor, Index, REF_NAME};
use lcow_oci::store::StoreError;
use lcow_oci::{Digest, Platform};

use super::config::Volume;
use super::images::Found;
use super::places::At;
use super::stream::{MADE, Origin, Stream};
use super::unpack::{Resolver, Unpack, UnpackError};

/// Why a volume cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// Its format is unknown.
    #[error("volume {name}: there is no format {format}, only filesystem and oci")]
    Format {
        /// Which.
        name: String,
        /// Its format.
        format: String,
    },
    /// An image is wanted, but none is named.
    #[error("volume {0}: a volume of the format oci needs an image")]
    NoImage(String),
    /// More of an image is wanted than is here.
    #[error("volume {name}: {asked} was asked for, but a build has images for {here} only")]
    Platform {
        /// Which.
        name: String,
        /// The platform that is not here.
        asked: String,
        /// The one that is.
        here: Box<Platform>,
    },
    /// The image's files.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The image itself.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stream cannot be written.
    #[error("cannot collect files in a temporary file in {}", std::env::temp_dir().display())]
    Write(#[from] io::Error),
}

/// Refuses what cannot be made for `here`, before anything takes time. Errors have their keys from the volume on.
pub fn check(volume: &Volume, here: &Platform) -> Result<(), At<VolumeError>> {
    let name = volume.name.clone();
    match volume.format.as_deref() {
        None | Some("filesystem") => Ok(()),
        Some("oci") if volume.image.is_none() => Err(At::new(&[&"format"], VolumeError::NoImage(name))),
        Some("oci") => match volume.platforms.iter().position(|asked| *asked != here.to_string()) {
            Some(at) => {
                let asked = volume.platforms[at].clone();
                let error = VolumeError::Platform { name, asked, here: Box::new(here.clone()) };
                Err(At::new(&[&"platforms", &at], error))
            }
            None => Ok(()),
        },
        Some(format) => Err(At::new(&[&"format"], VolumeError::Format { name, format: format.to_owned() })),
    }
}

/// Writes volume number `at` with the files of `image` to `out`.
pub fn add(at: usize, volume: &Volume, image: Option<&Found>, out: &mut Stream) -> Result<(), VolumeError> {
    let origin = Origin::new("linuxkit.volumes", "volumes", at);
    let path = format!("containers/volumes/{}", volume.name);
    let lower = format!("{path}/lower");
    out.parents(&origin, lower.as_bytes())?;
    out.directory(&origin, &lower)?;
    if let Some(image) = image {
        let prefix = format!("{lower}/");
        let origin = Origin::new(&image.name, "volumes", at);
        if volume.format.as_deref() == Some("oci") {
            layout(&origin, &prefix, image, out)?;
        } else {
            let resolver = Resolver::Machine;
            Unpack { image, prefix: &prefix, resolver, origin: &origin, packages: None }.run(out)?;
        }
    }
    if !volume.readonly {
        out.directory(&origin, &format!("{path}/tmp"))?;
    }
    Ok(out.directory(&origin, &format!("{path}/merged"))?)
}

/// The image as an OCI layout (`image-layout.md`).
fn layout(origin: &Origin, prefix: &str, found: &Found, out: &mut Stream) -> Result<(), VolumeError> {
    let image = &found.image;
    let mut descriptor = Descriptor::new(&image.media_type, image.digest, image.size);
    descriptor.platform = Some(image.config.platform.clone());
    descriptor.annotations.insert(REF_NAME.to_owned(), found.name.clone());
    let index = Index { manifests: vec![descriptor], ..Index::default() };
    let index = serde_json::to_vec(&index).map_err(io::Error::from)?;
    out.file(origin, &format!("{prefix}oci-layout"), 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    out.file(origin, &format!("{prefix}index.json"), 0o644, &index)?;
    out.directory(origin, &format!("{prefix}blobs"))?;
    out.directory(origin, &format!("{prefix}blobs/sha256"))?;
    let manifest = &image.manifest;
    let mut blobs: Vec<(Digest, u64)> =
        vec![(image.digest, image.size), (manifest.config.digest, manifest.config.size)];
    for layer in &manifest.layers {
        if blobs.iter().all(|(digest, _)| *digest != layer.digest) {
            blobs.push((layer.digest, layer.size));
        }
    }
    for (digest, size) in blobs {
        let path = format!("{prefix}blobs/sha256/{}", digest.hex());
        let mut entry = lcow_disk::tar::Entry::file(path, 0o644, size);
        entry.mtime.seconds = MADE;
        out.entry(origin, entry, found.blob(&digest)?)?;
    }
    Ok(())
}
