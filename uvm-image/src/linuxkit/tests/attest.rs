//! OCI layouts as `BuildKit` writes them: an image in an index, beside it what is said of it.

use std::fs;
use std::path::Path;

use lcow_oci::model::{Descriptor, Index, media};
use lcow_oci::{Digest, Platform};
use serde_json::{Value, json};

fn blob(layout: &Path, media_type: &str, value: &Value) -> Descriptor {
    let bytes = serde_json::to_vec(value).unwrap();
    let digest = Digest::of(&bytes);
    fs::write(layout.join("blobs/sha256").join(digest.hex()), &bytes).unwrap();
    Descriptor::new(media_type, digest, bytes.len() as u64)
}

/// Says in `layout` that the packages of `predicate` are in the image `name`.
pub(crate) fn attest(layout: &Path, name: &str, predicate: &Value) {
    let path = layout.join("index.json");
    let mut index: Index = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let is_it = |one: &Descriptor| one.annotations.values().any(|value| value == name);
    let at = index.manifests.iter().position(is_it).unwrap();
    let mut image = index.manifests.remove(at);
    let names = std::mem::take(&mut image.annotations);
    let statement = json!({"predicateType": "https://spdx.dev/Document", "predicate": predicate});
    let mut list = blob(layout, "application/vnd.in-toto+json", &statement);
    let predicate_type = ("in-toto.io/predicate-type".to_owned(), "https://spdx.dev/Document".to_owned());
    list.annotations.extend([predicate_type]);
    let config = blob(layout, media::CONFIG, &json!({}));
    let manifest =
        json!({"schemaVersion": 2, "mediaType": media::MANIFEST, "config": config, "layers": [list]});
    let mut about = blob(layout, media::MANIFEST, &manifest);
    about.annotations.insert("vnd.docker.reference.type".into(), "attestation-manifest".into());
    about.annotations.insert("vnd.docker.reference.digest".into(), image.digest.to_string());
    about.platform = Some(Platform { os: "unknown".into(), architecture: "unknown".into(), variant: None });
    let inner = Index { manifests: vec![image, about], ..Index::default() };
    let mut outer = blob(layout, media::INDEX, &serde_json::to_value(inner).unwrap());
    outer.annotations = names;
    index.manifests.push(outer);
    fs::write(path, serde_json::to_vec(&index).unwrap()).unwrap();
}
