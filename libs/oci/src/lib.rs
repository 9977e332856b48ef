//! Images: references, layout store, layer streams, image config to runtime spec.
//!
//! * [`Reference`]: what people call an image
//! * [`store::Store`]: images on this machine, as an OCI image layout
//! * [`load`]: images from an OCI layout or a `docker save` archive into the store
//! * [`registry`]: images from registries into the store
//! * [`save`]: images from the store into an archive
//! * [`layer`]: a layer as the tar stream that its image promises
//! * [`merge`]: all layers of an image as one tar stream
//! * [`attestation`]: what is said of an image beside it
//! * [`build`]: small images made from files
//! * [`spec`]: image config and command line → OCI runtime spec
#![forbid(unsafe_code)]

pub mod attestation;
pub mod build;
mod compression;
mod digest;
pub mod fuzz;
pub mod layer;
pub mod load;
pub mod merge;
pub mod model;
mod pipe;
mod platform;
mod reference;
pub mod registry;
pub mod save;
mod select;
pub mod spec;
pub mod store;
mod unfit;

pub use compression::Compression;
pub use digest::{Digest, DigestError};
pub use platform::{BadPlatform, Platform};
pub use reference::{Reference, ReferenceError};
pub use unfit::Unfit;
