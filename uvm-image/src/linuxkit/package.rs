//! `@pkg:DIR`: the image that LinuxKit would build from a directory of packages, named after its content in git.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

use super::places::At;

const MARK: &str = "@pkg:";

/// Why a package has no name.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// Its description is missing.
    #[error("@pkg:{} has no readable build.yml", directory.display())]
    Read {
        /// The package.
        directory: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Its description does not say what image it makes.
    #[error("@pkg:{}: build.yml names no image: {reason}", directory.display())]
    NoImage {
        /// The package.
        directory: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// git cannot be started.
    #[error("@pkg:{}: cannot run git, which knows the package's hash", directory.display())]
    Git {
        /// The package.
        directory: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It is not in any repository, so its image has no tag.
    #[error("@pkg:{}: git has no tree of it, so that its image has no tag: {said}", directory.display())]
    NoTree {
        /// The package.
        directory: PathBuf,
        /// What git said.
        said: String,
    },
}

/// The part of `build.yml` that names the image.
#[derive(Deserialize)]
struct Build {
    image: String,
    #[serde(default)]
    org: Option<String>,
}

/// Replaces `@pkg:DIR` in all strings below `value`, keys too; directories are relative to `base`.
pub fn expand(value: &mut Value, base: &Path) -> Result<(), At<PackageError>> {
    match value {
        Value::String(text) if text.starts_with(MARK) => {
            *text = name(&base.join(&text[MARK.len()..])).map_err(|error| At::new(&[], error))?;
        }
        Value::Array(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                expand(item, base).map_err(|fault| fault.within(&at))?;
            }
        }
        Value::Object(map) => {
            for (key, mut item) in std::mem::take(map) {
                expand(&mut item, base).map_err(|fault| fault.within(&key))?;
                let directory = key.strip_prefix(MARK).map(|directory| base.join(directory));
                let name = directory.map(|directory| name(&directory)).transpose();
                let name = name.map_err(|error| At::new(&[&key], error))?;
                map.insert(name.unwrap_or(key), item);
            }
        }
        _ => {}
    }
    Ok(())
}

/// `docker.io/ORG/IMAGE:HASH` of the package in `directory`.
fn name(directory: &Path) -> Result<String, PackageError> {
    let text = std::fs::read_to_string(directory.join("build.yml"))
        .map_err(|source| PackageError::Read { directory: directory.to_owned(), source })?;
    let build: Build = serde_saphyr::from_str(&text).map_err(|error| PackageError::NoImage {
        directory: directory.to_owned(),
        reason: error.without_snippet().to_string(),
    })?;
    let tree = git(directory, &["rev-parse", "HEAD:./"])?;
    let dirty = !git(directory, &["status", "--porcelain", "--", "."])?.is_empty();
    let org = build.org.as_deref().unwrap_or("linuxkit");
    Ok(format!("docker.io/{org}/{}:{tree}{}", build.image, if dirty { "-dirty" } else { "" }))
}

fn git(directory: &Path, words: &[&str]) -> Result<String, PackageError> {
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(words)
        .output()
        .map_err(|source| PackageError::Git { directory: directory.to_owned(), source })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(PackageError::NoTree { directory: directory.to_owned(), said });
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;

    fn run(directory: &Path, words: &[&str]) {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@b"];
        assert!(
            Command::new("git").current_dir(directory).args(identity).args(words).status().unwrap().success()
        );
    }

    #[test]
    fn packages_are_named_by_their_tree() {
        if Command::new("git").arg("--version").output().is_err() {
            println!("skipped: git is not installed");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let package = dir.path().join("pkg/init");
        fs::create_dir_all(&package).unwrap();
        fs::write(package.join("build.yml"), "image: init\n").unwrap();
        let expanded = || {
            let mut value = json!({"init": ["@pkg:pkg/init", "other"]});
            expand(&mut value, dir.path()).map(|()| value["init"][0].as_str().unwrap().to_owned())
        };
        assert!(expanded().unwrap_err().error.to_string().contains("git has no tree"));
        run(dir.path(), &["init", "-q"]);
        run(dir.path(), &["add", "."]);
        run(dir.path(), &["commit", "-q", "-m", "x"]);
        let clean = expanded().unwrap();
        assert!(clean.starts_with("docker.io/linuxkit/init:") && clean.len() == 24 + 40, "{clean}");
        let mut everywhere =
            json!({"files": [{"contents": "@pkg:pkg/init"}], "x": {"@pkg:pkg/init": "see @pkg:pkg/init"}});
        expand(&mut everywhere, dir.path()).unwrap();
        let expected = json!({"files": [{"contents": clean}], "x": {clean.clone(): "see @pkg:pkg/init"}});
        assert_eq!(everywhere, expected, "whole scalars and keys, nothing inside others");
        fs::write(package.join("build.yml"), "image: init\norg: mine\n").unwrap();
        assert_eq!(expanded().unwrap(), clean.replace("linuxkit", "mine") + "-dirty");
        let mut missing = json!("@pkg:nowhere");
        assert!(
            expand(&mut missing, dir.path())
                .unwrap_err()
                .error
                .to_string()
                .contains("nowhere has no readable")
        );
    }
}
