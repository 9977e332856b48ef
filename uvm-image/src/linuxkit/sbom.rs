//! What is in the result, as SPDX 2.3 (spdx.github.io/spdx-spec/v2.3): a package for each image. The same images give the same
//! document: its namespace is derived from them.

use lcow_oci::Digest;
use serde_json::{Value, json};

use super::images::Found;

/// The document for `images`.
pub fn document<'a>(images: impl Iterator<Item = &'a Found>) -> String {
    let packages: Vec<Value> = images
        .map(|found| {
            let hex = found.image.digest.hex();
            json!({
                "SPDXID": format!("SPDXRef-image-{}", &hex[..16]),
                "name": found.name,
                "versionInfo": found.image.digest.to_string(),
                "downloadLocation": "NOASSERTION",
                "filesAnalyzed": false,
            })
        })
        .collect();
    let described: Vec<&Value> = packages.iter().map(|package| &package["SPDXID"]).collect();
    let content = Digest::of(json!(packages).to_string().as_bytes());
    let document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "sbom",
        "documentNamespace": format!("https://linuxkit.io/spdxdocs/{}", content.hex()),
        "creationInfo": {
            "created": "2017-04-18T16:30:00Z",
            "creators": ["Organization: LinuxKit", "Tool: uvm-build"],
        },
        "documentDescribes": described,
        "packages": packages,
    });
    format!("{document:#}\n")
}
