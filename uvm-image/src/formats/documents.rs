//! What comes with outputs of every format: what they were made of, in words and as a list.

use super::write::Output;
use crate::sbom::{self, Part};

/// `versions.txt` with these words and, if `parts` are to be listed, `sbom.spdx.json`; `epoch` is `SOURCE_DATE_EPOCH`.
pub fn documents(versions: String, parts: Option<&[Part]>, epoch: Option<i64>) -> Vec<Output> {
    let mut documents = vec![Output { name: "versions.txt", bytes: versions.into_bytes() }];
    let list = parts.map(|parts| sbom::text(parts, epoch).into_bytes());
    documents.extend(list.map(|bytes| Output { name: "sbom.spdx.json", bytes }));
    documents
}
