//! Reading and writing the files of cgroups, whichever version they are of.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Error, failed};

/// Writes one value of a cgroup. A file that the kernel does not have is not found; asked to make it, the kernel would say
/// that it may not.
pub(super) fn set(cgroup: &Path, file: &str, text: &str) -> Result<(), Error> {
    let path = cgroup.join(file);
    let open = fs::OpenOptions::new().write(true).open(&path);
    open.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed("writing", &path))
}

/// Makes the directory of a cgroup; one that is there is fine.
pub(super) fn make(cgroup: &Path) -> Result<(), Error> {
    match fs::create_dir(cgroup) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(failed("creating", cgroup)(source))
        }
        _ => Ok(()),
    }
}

/// The cgroups directly below a directory.
pub(super) fn children(cgroup: &Path) -> io::Result<impl Iterator<Item = PathBuf>> {
    let entries = fs::read_dir(cgroup)?.flatten();
    Ok(entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()))
}

/// Every process in the directory and below it, by its pid in the root namespace.
pub(super) fn processes(cgroup: &Path) -> Result<Vec<u32>, Error> {
    let mut found = Vec::new();
    let mut open = vec![cgroup.to_owned()];
    while let Some(directory) = open.pop() {
        let path = directory.join("cgroup.procs");
        let text = fs::read_to_string(&path).map_err(failed("reading", &path))?;
        found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        open.extend(children(&directory).map_err(failed("listing", &directory))?);
    }
    Ok(found)
}

/// Removes the directory and all below it; one that is gone is fine.
pub(super) fn remove(cgroup: &Path) -> Result<(), Error> {
    let Ok(below) = children(cgroup) else { return Ok(()) };
    for child in below {
        remove(&child)?;
    }
    match fs::remove_dir(cgroup) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed("removing", cgroup)(source)),
        _ => Ok(()),
    }
}

/// A key of a file, what it is called on the wire, and what its value is multiplied with.
pub(super) type Name = (&'static str, &'static str, u64);

pub(super) fn pick(table: &HashMap<String, u64>, names: &[Name]) -> Value {
    object(
        names
            .iter()
            .map(|(key, name, factor)| (*name, table.get(*key).map(|value| value.saturating_mul(*factor)))),
    )
}

/// What is unknown or zero is left out.
pub(super) fn object(fields: impl IntoIterator<Item = (&'static str, Option<u64>)>) -> Value {
    let known = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value.filter(|value| *value != 0)?.into())));
    Value::Object(known.collect::<Map<String, Value>>())
}

pub(super) fn number(cgroup: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(cgroup.join(file)).ok()?.trim().parse().ok()
}

/// As [`number`]; the word `max` is the largest one.
pub(super) fn limit(cgroup: &Path, file: &str) -> Option<u64> {
    let text = fs::read_to_string(cgroup.join(file)).ok()?;
    if text.trim() == "max" { Some(u64::MAX) } else { text.trim().parse().ok() }
}

/// A file with a name and a number on each line.
pub(super) fn table(cgroup: &Path, file: &str) -> HashMap<String, u64> {
    let text = fs::read_to_string(cgroup.join(file)).unwrap_or_default();
    let line = |line: &str| {
        line.split_once(' ').and_then(|(key, value)| Some((key.to_owned(), value.trim().parse().ok()?)))
    };
    text.lines().filter_map(line).collect()
}

/// The sizes of huge pages for which there is a file `hugetlb.SIZE.ENDING`.
pub(super) fn page_sizes(cgroup: &Path, ending: &str) -> Vec<String> {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let size = name.strip_prefix("hugetlb.")?.strip_suffix(ending)?.strip_suffix('.')?;
        (!size.contains('.')).then(|| size.to_owned())
    };
    let mut sizes: Vec<String> = entries.filter_map(size).collect();
    sizes.sort();
    sizes
}
