//! From the files of a description to the description.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use lcow_oci::Reference;
use serde_json::{Map, Value};

use super::config::{Description, merge};
use super::images::path_of;
use super::names::{self, NameError};
use super::node::{Malformed, Node};
use super::package::{self, PackageError};
use super::places::{Places, Spot, spot};
use super::schema::DESCRIPTION;
use super::validate::{Invalid, validate};

/// Why a description cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is somewhere else.
    #[error(
        "{0}: descriptions are not fetched, so that nobody builds what he has not seen; download it first"
    )]
    Remote(String),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It is no YAML.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It is YAML, but no description.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A package has no name.
    #[error("{at}")]
    Package {
        /// Where it is named.
        at: Spot,
        /// Why.
        source: Box<PackageError>,
    },
    /// A number is out of its range.
    #[error("the description has a value that is out of range")]
    Range(#[source] serde_json::Error),
    /// A container's or volume's name cannot be used.
    #[error("{at}")]
    Name {
        /// Where it stands.
        at: Spot,
        /// Why.
        source: NameError,
    },
}

/// A description, and the document it was made of.
#[derive(Debug)]
pub struct Loaded {
    /// With types.
    pub description: Description,
    /// All files merged, images' names completed.
    pub document: Value,
    /// Where its values stand.
    pub places: Places,
}

/// Reads `files` (`-`: standard input) and merges them, the later over the earlier.
pub fn load(files: &[PathBuf]) -> Result<Loaded, LoadError> {
    let mut all = Map::new();
    let mut places = Places::default();
    for path in files {
        let name = path.display().to_string();
        if name.starts_with("http://") || name.starts_with("https://") {
            return Err(LoadError::Remote(name));
        }
        let text = read(path).map_err(|source| LoadError::Read { path: path.clone(), source })?;
        let node = Node::parse(&name, &text)?;
        validate(&name, &node, &DESCRIPTION, "")?;
        places.add(&name, node.clone(), &all);
        let mut value = node.clone().into_json();
        package::expand(&mut value, path.parent().unwrap_or(Path::new("")))
            .map_err(|at| LoadError::Package { at: spot(&name, &node, &at.key).1, source: at.error })?;
        if let Value::Object(map) = value {
            merge(&mut all, map);
        }
    }
    complete(&mut all);
    let document = Value::Object(all);
    let description: Description = serde_json::from_value(document.clone()).map_err(LoadError::Range)?;
    names::check(&description).map_err(|at| LoadError::Name { at: places.of(&at.key), source: *at.error })?;
    Ok(Loaded { description, document, places })
}

/// The name that outputs get if none is given: the last file's, without its ending.
pub fn output_name(files: &[PathBuf]) -> String {
    let last = files.last().filter(|path| path.as_os_str() != "-").and_then(|path| path.file_stem());
    last.map_or_else(|| "moby".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

fn read(path: &Path) -> io::Result<String> {
    if path.as_os_str() != "-" {
        return fs::read_to_string(path);
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

/// Gives images their full names; what is none is complained about when it is used.
fn complete(all: &mut Map<String, Value>) {
    let full = |value: &mut Value| {
        let name = value.as_str().filter(|name| path_of(name).is_none());
        if let Some(Ok(name)) = name.map(str::parse::<Reference>) {
            *value = Value::String(name.to_string());
        }
    };
    if let Some(image) = all.get_mut("kernel").and_then(|kernel| kernel.get_mut("image")) {
        full(image);
    }
    for image in all.get_mut("init").and_then(Value::as_array_mut).into_iter().flatten() {
        full(image);
    }
    for list in ["onboot", "onshutdown", "services", "volumes"] {
        for item in all.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(image) = item.get_mut("image") {
                full(image);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(texts: &[&str]) -> Result<Loaded, LoadError> {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..texts.len()).map(|n| dir.path().join(format!("{n}.yml"))).collect();
        for (path, text) in paths.iter().zip(texts) {
            fs::write(path, text).unwrap();
        }
        load(&paths)
    }

    #[test]
    fn images_get_their_full_names() {
        let loaded = load_text(&[
            "init: [a/b, \"localhost/c:1\", \"dir:/x\", \"tar:x\"]\nkernel: {image: k}\n",
            "services: [{name: s, image: nginx}]\n",
        ])
        .unwrap();
        assert_eq!(loaded.description.init, ["docker.io/a/b:latest", "localhost/c:1", "dir:/x", "tar:x"]);
        assert_eq!(loaded.document["services"][0]["image"], "docker.io/library/nginx:latest");
        assert_eq!(loaded.document["kernel"]["image"], "docker.io/library/k:latest");
    }

    #[test]
    fn only_services_and_volumes_have_names_of_their_own() {
        let twice = "[{name: a, image: x}, {name: a, image: y}]";
        assert!(load_text(&[&format!("onboot: {twice}")]).is_ok());
        let error = load_text(&[&format!("services: {twice}")]).unwrap_err();
        assert!(matches!(error, LoadError::Name { source: NameError::DuplicateService(_), .. }), "{error}");
        let error = load_text(&["volumes: [{name: v}]", "volumes: [{name: v}]"]).unwrap_err();
        assert!(matches!(error, LoadError::Name { source: NameError::DuplicateVolume(_), .. }), "{error}");
    }

    #[test]
    fn the_last_file_names_the_output() {
        assert_eq!(output_name(&["a/one.yml".into(), "two.arm64.yaml".into()]), "two.arm64");
        assert_eq!(output_name(&["-".into()]), "moby");
    }
}
