//! Names of containers and volumes, which become directories.

use std::collections::HashSet;

use super::config::Description;
use super::places::At;

/// A name that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is none.
    #[error("the name is empty, but a directory is named after it")]
    Empty,
    /// It would be several directories, or another one.
    #[error(
        "the name {0:?} cannot be that of a directory: it is . or .., or has a slash or a control character"
    )]
    Directory(String),
    /// Services are told apart by their names.
    #[error("duplicate service name: {0}")]
    DuplicateService(String),
    /// So are volumes.
    #[error("duplicate volume name: {0}")]
    DuplicateVolume(String),
}

/// Refuses names in `description` that are no directories', and those that must not come twice.
pub fn check(description: &Description) -> Result<(), At<NameError>> {
    for (list, items) in description.containers() {
        let names = items.iter().map(|item| item["name"].as_str().unwrap_or_default());
        let twice = (list == "services").then_some(NameError::DuplicateService as fn(String) -> NameError);
        each(list, names, twice)?;
    }
    let names = description.volumes.iter().map(|volume| volume.name.as_str());
    each("volumes", names, Some(NameError::DuplicateVolume))
}

fn each<'a>(
    list: &str,
    names: impl Iterator<Item = &'a str>,
    twice: Option<fn(String) -> NameError>,
) -> Result<(), At<NameError>> {
    let mut seen = HashSet::new();
    for (at, name) in names.enumerate() {
        let fault = |error: NameError| At::new(&[&list, &at, &"name"], error);
        if name.is_empty() {
            return Err(fault(NameError::Empty));
        }
        if matches!(name, "." | "..") || name.contains(|c: char| c == '/' || c.is_control()) {
            return Err(fault(NameError::Directory(name.to_owned())));
        }
        if let (Some(twice), false) = (twice, seen.insert(name)) {
            return Err(fault(twice(name.to_owned())));
        }
    }
    Ok(())
}
