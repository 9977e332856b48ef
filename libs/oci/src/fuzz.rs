//! Entry points for fuzzing: whatever the bytes, no panic and no endless loop.
use std::io::Read;

use crate::layer::LayerReader;
use crate::model::{Descriptor, ImageConfig, Index, Manifest};
use crate::registry::DockerConfig;
use crate::{Compression, Digest, Reference};

/// Reads bytes as each document of the image-spec, and as docker's configuration; what can be read can be written.
pub fn documents(bytes: &[u8]) {
    fn one<T: serde::de::DeserializeOwned + serde::Serialize>(bytes: &[u8]) {
        if let Ok(document) = serde_json::from_slice::<T>(bytes) {
            let written = serde_json::to_vec(&document).expect("what was read can be written");
            assert!(serde_json::from_slice::<T>(&written).is_ok(), "what was written can be read");
        }
    }
    one::<Index>(bytes);
    one::<Manifest>(bytes);
    one::<Descriptor>(bytes);
    one::<ImageConfig>(bytes);
    if let Ok(config) = serde_json::from_slice::<DockerConfig>(bytes) {
        config.accounts();
    }
}

/// Reads text as the name of an image; a name is the same when it is read again.
pub fn names(text: &str) {
    if let Ok(name) = text.parse::<Reference>() {
        assert_eq!(name.to_string().parse::<Reference>().as_ref(), Ok(&name));
        assert_eq!(name.familiar().parse::<Reference>().as_ref(), Ok(&name));
    }
    if let Ok(mirror) = text.parse::<crate::registry::Mirror>() {
        assert_eq!(mirror.to_string().parse().as_ref(), Ok(&mirror));
    }
}

/// Unpacks bytes as a layer; at most the first 16 MiB, for a small input may become a large one.
pub fn layer(bytes: &[u8]) {
    let digest = Digest::of(bytes);
    let source = std::io::Cursor::new(bytes.to_vec());
    if let Ok(layer) = LayerReader::new(source, Compression::detect(bytes), digest, digest) {
        // Damage is what is expected here.
        let _ = std::io::copy(&mut layer.take(16 << 20), &mut std::io::sink());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Text with the words of the documents in it, which random bytes never have.
    fn jsonish() -> impl Strategy<Value = String> {
        let words = [
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "null",
            "0",
            "-1",
            "1e99",
            "2",
            "\"\"",
            "\"schemaVersion\"",
            "\"manifests\"",
            "\"config\"",
            "\"layers\"",
            "\"digest\"",
            "\"mediaType\"",
            "\"size\"",
            "\"rootfs\"",
            "\"diff_ids\"",
            "\"auths\"",
            "\"credHelpers\"",
            "\"history\"",
            "\"annotations\"",
            "\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"",
        ];
        prop::collection::vec(prop::sample::select(words.to_vec()), 0..40).prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            documents(&bytes);
            names(&String::from_utf8_lossy(&bytes));
            layer(&bytes);
            for magic in [&[0x1f, 0x8b, 8, 0][..], &[0x28, 0xb5, 0x2f, 0xfd]] {
                layer(&[magic, &bytes].concat());
            }
        }

        #[test]
        fn any_document_is_read_without_harm(text in jsonish()) {
            documents(text.as_bytes());
        }

        #[test]
        fn any_name_is_read_without_harm(text in "([a-z0-9.:/@_-]|sha256:|localhost|docker.io/|library/|https?://|=){0,20}") {
            names(&text);
        }
    }
}
