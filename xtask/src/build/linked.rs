//! What is linked into a static program, as a file beside it: only the build knows, and boot files are to list it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cargo;
use crate::places;
use crate::process::{command, output};

/// Archives of the system that go into the agent: its crates ask for the first three, the compiler for the others.
const ARCHIVES: &[&str] = &["libseccomp.a", "libelf.a", "libz.a", "libc.a", "libgcc_eh.a"];

/// The list for one program.
#[derive(Debug, Serialize)]
struct Linked {
    /// SHA-256 of the program, by which a list that was left behind is told from its own.
    program_sha256: String,
    packages: BTreeSet<Package>,
}

#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Package {
    name: String,
    version: String,
    /// An SPDX expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    license: Option<String>,
    /// SHA-256 of the package as its registry has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    /// github.com/package-url/purl-spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// Who it is from, in SPDX's form, where its place does not say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    supplier: Option<String>,
}

/// Who the packages of this workspace are from.
const SUPPLIER: &str = "Organization: lcow";

/// Writes the list of what is in `program`, which is the package `package` for `target`, beside it.
pub(super) fn write(program: &Path, package: &str, target: &str) -> Result<PathBuf> {
    let tree = output(cargo().args(["tree", "--locked", "--package", package, "--target", target]).args([
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
        "--format",
        "{p}|{l}",
    ]))?;
    let lock = places::workspace().join("Cargo.lock");
    let lock = fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let mut packages = crates(&tree, &checksums(&lock)?, package, env!("CARGO_PKG_VERSION"));
    packages.insert(standard_library(&output(command("rustc").arg("--version"))?));
    packages.extend(ARCHIVES.iter().filter_map(|archive| system_package(archive)));
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let linked = Linked { program_sha256: hex(&Sha256::digest(&bytes)), packages };
    let mut path = program.as_os_str().to_owned();
    path.push(".linked.json");
    let text = serde_json::to_string_pretty(&linked)? + "\n";
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path.into())
}

/// The packages of cargo's tree but `itself`; `own` is the version of those of this workspace.
fn crates(
    tree: &str,
    checksums: &BTreeMap<(String, String), String>,
    itself: &str,
    own: &str,
) -> BTreeSet<Package> {
    let package = |line: &str| {
        let (described, license) = line.split_once('|')?;
        let mut words = described.split(' ');
        let (name, version) = (words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned());
        // Lines of packages that were shown before end with a mark.
        let license = license.trim_end_matches(" (*)").replace('/', " OR ");
        let sha256 = checksums.get(&(name.clone(), version.clone())).cloned();
        let license = Some(license).filter(|license| !license.is_empty());
        // What is neither from the registry nor from some repository is from here.
        let package = if sha256.is_some() || described.contains("://") {
            let url = sha256.is_some().then(|| format!("pkg:cargo/{name}@{}", version.replace('+', "%2B")));
            Package { name: name.clone(), version, license, sha256, url, supplier: None }
        } else {
            in_tree(&name, own, license)
        };
        (name != itself).then_some(package)
    };
    tree.lines().filter_map(package).collect()
}

/// A package of this workspace, whose name must not be that of a published crate for which it stands in.
fn in_tree(name: &str, version: &str, license: Option<String>) -> Package {
    let name = if name.starts_with("lcow-") { name.to_owned() } else { format!("lcow-{name}") };
    let url = Some(format!("pkg:generic/{name}@{version}"));
    let supplier = Some(SUPPLIER.to_owned());
    Package { name, version: version.to_owned(), license, sha256: None, url, supplier }
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// What `Cargo.lock` says of packages from registries.
fn checksums(lock: &str) -> Result<BTreeMap<(String, String), String>> {
    let lock: Lock = toml::from_str(lock).context("cannot read Cargo.lock")?;
    let entry = |one: Locked| Some(((one.name, one.version), one.checksum?));
    Ok(lock.package.into_iter().filter_map(entry).collect())
}

/// Rust's own library, from what the compiler says of itself: `rustc 1.91.0 (f8297e351 2025-10-28)`.
fn standard_library(said: &str) -> Package {
    Package {
        name: "rust-std".to_owned(),
        version: said.split_whitespace().nth(1).unwrap_or_default().to_owned(),
        license: Some("MIT OR Apache-2.0".to_owned()),
        ..Package::default()
    }
}

/// The Debian package that brought `archive`; `None` on a system that has no such packages.
fn system_package(archive: &str) -> Option<Package> {
    let path = output(command("cc").arg(format!("-print-file-name={archive}"))).ok()?;
    let path = fs::canonicalize(path.trim()).ok()?;
    let owner = output(command("dpkg-query").arg("--search").arg(path)).ok()?;
    let name = owner.split(": ").next()?;
    let said =
        output(command("dpkg-query").args(["-W", "-f", "${Package} ${Version} ${Architecture}", name]));
    debian(&said.ok()?)
}

/// `libelf-dev 0.188-2.1 amd64`.
fn debian(said: &str) -> Option<Package> {
    let mut words = said.split(' ');
    let (name, version, architecture) = (words.next()?, words.next()?, words.next()?);
    let url = format!("pkg:deb/debian/{name}@{}?arch={architecture}", version.replace('+', "%2B"));
    Some(Package { name: name.into(), version: version.into(), url: Some(url), ..Package::default() })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_a_list_without_repetitions() {
        let lock = "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0+x\"\nchecksum = \"aa\"\n\
                    [[package]]\nname = \"own\"\nversion = \"0.1.0\"\n";
        let tree = "own-program v0.1.0 (/x/own-program)|Apache-2.0\n\
                    a v1.0.0+x|MIT/Apache-2.0\nown v3.2.0 (/x/own)|Apache-2.0\n\na v1.0.0+x|MIT/Apache-2.0 (*)\n";
        let packages = crates(tree, &checksums(lock).unwrap(), "own-program", "0.1.0");
        let packages: Vec<_> = packages.into_iter().collect();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(packages.len(), 2);
        assert_eq!(
            packages[0],
            Package {
                name: "a".into(),
                version: "1.0.0+x".into(),
                license: text("MIT OR Apache-2.0"),
                sha256: text("aa"),
                url: text("pkg:cargo/a@1.0.0%2Bx"),
                supplier: None,
            }
        );
        // It may stand in for a published crate, down to the version.
        assert_eq!(
            packages[1],
            Package {
                name: "lcow-own".into(),
                version: "0.1.0".into(),
                license: text("Apache-2.0"),
                sha256: None,
                url: text("pkg:generic/lcow-own@0.1.0"),
                supplier: text("Organization: lcow"),
            }
        );
    }

    #[test]
    fn packages_of_the_system_have_their_version() {
        let package = debian("libelf-dev 0.188-2.1+b1 amd64").unwrap();
        assert_eq!(package.url.as_deref(), Some("pkg:deb/debian/libelf-dev@0.188-2.1%2Bb1?arch=amd64"));
        assert_eq!(standard_library("rustc 1.91.0 (f8297e351 2025-10-28)\n").version, "1.91.0");
    }

    #[test]
    fn this_workspaces_own_agent_has_the_runtime_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("guest-agent");
        fs::write(&program, "abc").unwrap();
        let path = write(&program, "guest-agent", "x86_64-unknown-linux-gnu").unwrap();
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), "{text}");
        assert!(text.contains("\"pkg:cargo/libcontainer@") && text.contains("\"lcow-protocol\""), "{text}");
        assert!(text.contains("\"lcow-regex\"") && !text.contains("\"regex\""), "{text}");
        // Neither what only runs while it is built, nor what other systems need.
        assert!(!text.contains("cargo/syn@") && !text.contains("cargo/windows"), "{text}");
        assert!(!text.contains(&places::workspace().display().to_string()), "{text}");
    }
}
