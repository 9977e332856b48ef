use crate::model::{ImageConfig, Manifest};
use crate::{Compression, Digest, Platform};

/// Why an image that is there is of no use here, wherever it comes from.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The image is for other machines.
    #[error("{name} is not for {wanted}, only for {}", found.join(", "))]
    Platform {
        /// Name of the image.
        name: String,
        /// What was wanted.
        wanted: Box<Platform>,
        /// What is there.
        found: Vec<String>,
    },
    /// A layer that only other systems can use, or whose content is kept elsewhere.
    #[error("layer {digest} has the media type {media_type:?}, which is not a Linux layer")]
    ForeignLayer {
        /// Which.
        digest: Digest,
        /// Its media type.
        media_type: String,
    },
    /// Layers and digests of their content do not pair up.
    #[error("the image has {layers} layers but {ids} content digests")]
    Layers {
        /// Layers in the manifest.
        layers: usize,
        /// `diff_ids` in the configuration.
        ids: usize,
    },
    /// Indexes within indexes without end.
    #[error("the image's indexes are nested too deeply")]
    Nesting,
}

/// Whether all layers can be used here, before anything large is read.
pub(crate) fn check_layers(manifest: &Manifest, config: &ImageConfig) -> Result<(), Unfit> {
    let foreign = |media_type: &str| Compression::of_layer(media_type).is_none();
    if let Some(layer) = manifest.layers.iter().find(|layer| foreign(&layer.media_type)) {
        return Err(Unfit::ForeignLayer { digest: layer.digest, media_type: layer.media_type.clone() });
    }
    let (layers, ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
    if layers == ids { Ok(()) } else { Err(Unfit::Layers { layers, ids }) }
}
