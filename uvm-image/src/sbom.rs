//! What is in boot files, as SPDX 2.3 (spdx.github.io/spdx-spec/v2.3). The same contents give the same document: its
//! namespace is derived from them, its time is `SOURCE_DATE_EPOCH` or LinuxKit's.

use std::path::Path;

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::hex::hex;

/// When every document was made for which nobody says: the time of everything that LinuxKit makes (2017-04-18T16:30:00Z).
const CREATED: i64 = 1_492_533_000;

/// Something that is in boot files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, if it states one.
    pub version: Option<String>,
    /// SHA-256 of the file it is, in hexadecimal.
    pub sha256: Option<String>,
    /// Its place among all software (github.com/package-url/purl-spec).
    pub url: Option<String>,
    /// The terms it comes under, as an SPDX expression.
    pub license: Option<String>,
    /// What else is known of where it comes from.
    pub source: Option<String>,
    /// Who it is from: `Organization: NAME` or `Person: NAME` (SPDX 2.3, 7.5).
    pub supplier: Option<String>,
}

impl Package {
    /// The file `bytes`, which is the program `name`.
    pub fn of_file(name: &str, version: Option<String>, bytes: &[u8]) -> Self {
        let sha256 = Some(hex(&Sha256::digest(bytes)));
        Self { name: name.to_owned(), version, sha256, ..Self::default() }
    }

    /// The Debian package whose file is called `file` (`NAME_VERSION_ARCHITECTURE.deb`); `None` for other names.
    pub fn of_deb(file: &Path) -> Option<Self> {
        let stem = file.file_name()?.to_str()?.strip_suffix(".deb")?;
        let mut parts = stem.split('_');
        let (name, version, architecture) = (parts.next()?, parts.next()?, parts.next()?);
        // In file names a colon is written so.
        let version = version.replace("%3a", ":");
        Some(Self {
            name: name.to_owned(),
            url: Some(format!("pkg:deb/debian/{name}@{}?arch={architecture}", version.replace('+', "%2B"))),
            version: Some(version),
            ..Self::default()
        })
    }

    fn id(&self) -> String {
        let text = [Some(&self.name), self.version.as_ref(), self.sha256.as_ref()];
        let digest = Sha256::digest(format!("{text:?}"));
        let name: String =
            self.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        format!("SPDXRef-{name}-{}", &hex(&digest)[..12])
    }

    fn to_json(&self) -> Value {
        let mut package = json!({
            "SPDXID": self.id(),
            "name": self.name,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
        });
        if let Some(version) = &self.version {
            package["versionInfo"] = version.as_str().into();
        }
        if let Some(sha256) = &self.sha256 {
            package["checksums"] = json!([{"algorithm": "SHA256", "checksumValue": sha256}]);
        }
        if let Some(url) = &self.url {
            package["externalRefs"] = json!([{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": url}]);
        }
        if let Some(license) = &self.license {
            package["licenseDeclared"] = license.as_str().into();
        }
        if let Some(source) = &self.source {
            package["sourceInfo"] = source.as_str().into();
        }
        if let Some(supplier) = &self.supplier {
            package["supplier"] = supplier.as_str().into();
        }
        package
    }
}

/// A package and what others say is in it.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// It.
    pub package: Package,
    /// What is linked into it.
    pub linked: Vec<Package>,
    /// SPDX documents about it.
    pub documents: Vec<Value>,
}

impl From<Package> for Part {
    fn from(package: Package) -> Self {
        Self { package, ..Self::default() }
    }
}

/// The document for `parts`, made at `epoch` (seconds since 1970), the user's `SOURCE_DATE_EPOCH`.
pub fn text(parts: &[Part], epoch: Option<i64>) -> String {
    let mut lists = Lists::default();
    for part in parts {
        let id = part.package.id();
        lists.packages.push(part.package.to_json());
        lists.relationships.push(relationship("SPDXRef-DOCUMENT", "DESCRIBES", &id));
        for linked in &part.linked {
            lists.packages.push(linked.to_json());
            lists.relationships.push(relationship(&id, "STATIC_LINK", &linked.id()));
        }
        for document in &part.documents {
            lists.merge(document, &id);
        }
    }
    let Lists { packages, files, relationships } = lists;
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "sbom",
        "creationInfo": {"created": created(epoch), "creators": ["Organization: LinuxKit", "Tool: uvm-build"]},
        "packages": packages,
        "relationships": relationships,
    });
    if !files.is_empty() {
        document["files"] = files.into();
    }
    let content = hex(&Sha256::digest(document.to_string()));
    document["documentNamespace"] = format!("https://linuxkit.io/spdxdocs/{content}").into();
    format!("{document:#}\n")
}

fn created(epoch: Option<i64>) -> String {
    let time = DateTime::from_timestamp(epoch.unwrap_or(CREATED), 0).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[derive(Default)]
struct Lists {
    packages: Vec<Value>,
    files: Vec<Value>,
    relationships: Vec<Value>,
}

impl Lists {
    /// Adds what `document` lists as part of the package `id`, under names that no other document has.
    fn merge(&mut self, document: &Value, id: &str) {
        let own = |name: &Value| match name.as_str().and_then(|name| name.strip_prefix("SPDXRef-")) {
            Some("DOCUMENT") => Value::from(id),
            Some(name) => Value::from(format!("{id}-{name}")),
            None => name.clone(),
        };
        for (key, list) in [("packages", &mut self.packages), ("files", &mut self.files)] {
            for item in document[key].as_array().into_iter().flatten() {
                let mut item = item.clone();
                item["SPDXID"] = own(&item["SPDXID"]);
                list.push(item);
            }
        }
        for relation in document["relationships"].as_array().into_iter().flatten() {
            let mut relation = relation.clone();
            for end in ["spdxElementId", "relatedSpdxElement"] {
                relation[end] = own(&relation[end]);
            }
            self.relationships.push(relation);
        }
    }
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}

/// The text in `bytes` between `mark` and `end`, if it is short: how programs state their version.
pub fn stated<'a>(bytes: &'a [u8], mark: &[u8], end: u8) -> Option<&'a str> {
    let start = bytes.windows(mark.len()).position(|window| window == mark)? + mark.len();
    let rest = &bytes[start..bytes.len().min(start + 100)];
    let length = rest.iter().position(|byte| *byte == end)?;
    std::str::from_utf8(&rest[..length]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_say_what_they_are() {
        let package = Package::of_deb(Path::new("/x/linux-image-6.1.0_1%3a6.1-1+deb_amd64.deb")).unwrap();
        assert_eq!(package.version.as_deref(), Some("1:6.1-1+deb"));
        assert_eq!(package.url.as_deref(), Some("pkg:deb/debian/linux-image-6.1.0@1:6.1-1%2Bdeb?arch=amd64"));
        assert_eq!(Package::of_deb(Path::new("kernel")), None);
        assert_eq!(stated(b"..BusyBox v1.35.0 (Debian)", b"BusyBox v", b' '), Some("1.35.0"));
    }

    #[test]
    fn what_others_list_is_merged_without_clashes() {
        let inner = json!({
            "packages": [{"SPDXID": "SPDXRef-a", "name": "musl"}],
            "files": [{"SPDXID": "SPDXRef-f", "fileName": "x"}],
            "relationships": [
                {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-a"},
                {"spdxElementId": "SPDXRef-a", "relationshipType": "GENERATED_FROM", "relatedSpdxElement": "NOASSERTION"},
            ],
        });
        let part = |name: &str| Part {
            package: Package { name: name.into(), ..Package::default() },
            linked: Vec::new(),
            documents: vec![inner.clone()],
        };
        let text = text(&[part("one"), part("two")], None);
        let document: Value = serde_json::from_str(&text).unwrap();
        let ids: Vec<&str> =
            document["packages"].as_array().unwrap().iter().map(|p| p["SPDXID"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), 4);
        assert!(ids.iter().all(|id| ids.iter().filter(|other| other == &id).count() == 1), "{ids:?}");
        for relation in document["relationships"].as_array().unwrap() {
            for end in ["spdxElementId", "relatedSpdxElement"] {
                let end = relation[end].as_str().unwrap();
                assert!(ids.contains(&end) || matches!(end, "SPDXRef-DOCUMENT" | "NOASSERTION"), "{end}");
            }
        }
        assert_eq!(document["files"].as_array().unwrap().len(), 2);
        assert_eq!(super::text(&[part("one"), part("two")], None), text);
        assert_ne!(super::text(&[part("two"), part("one")], None), text);
    }

    #[test]
    fn linked_libraries_are_part_of_their_program() {
        let package = |name: &str, license: Option<&str>| Package {
            name: name.into(),
            version: Some("1.0".into()),
            license: license.map(str::to_owned),
            supplier: license.is_none().then(|| "Organization: lcow".to_owned()),
            ..Package::default()
        };
        let linked = vec![package("libc", Some("MIT OR Apache-2.0")), package("odd", None)];
        let part = Part { linked, ..package("agent", None).into() };
        let document: Value = serde_json::from_str(&text(&[part], None)).unwrap();
        let packages = document["packages"].as_array().unwrap();
        assert_eq!(packages[1]["licenseDeclared"], "MIT OR Apache-2.0");
        assert_eq!(packages[2].get("licenseDeclared"), None);
        assert_eq!(packages[1].get("supplier"), None);
        assert_eq!(packages[2]["supplier"], "Organization: lcow");
        let ids: Vec<&str> = packages.iter().map(|package| package["SPDXID"].as_str().unwrap()).collect();
        let relations = document["relationships"].as_array().unwrap();
        let has = |from: &str, kind: &str, to: &str| relations.contains(&relationship(from, kind, to));
        assert!(has("SPDXRef-DOCUMENT", "DESCRIBES", ids[0]) && relations.len() == 3, "{relations:?}");
        assert!(has(ids[0], "STATIC_LINK", ids[1]) && has(ids[0], "STATIC_LINK", ids[2]), "{relations:?}");
    }

    #[test]
    fn only_the_time_and_the_name_follow_source_date_epoch() {
        let at =
            |epoch| -> Value { serde_json::from_str(&text(&[Package::default().into()], epoch)).unwrap() };
        let mut documents = [at(None), at(Some(0)), at(Some(1_700_000_000))];
        let times = documents.each_ref().map(|document| document["creationInfo"]["created"].clone());
        assert_eq!(times, ["2017-04-18T16:30:00Z", "1970-01-01T00:00:00Z", "2023-11-14T22:13:20Z"]);
        for document in &mut documents {
            document["creationInfo"]["created"].take();
            assert!(document["documentNamespace"].take().is_string());
        }
        assert!(documents[0] == documents[1] && documents[1] == documents[2]);
    }
}
