//! Statistics of a cgroup in containerd's layout for version 1 (spec section 11.2), from the files of either version.

mod v1;
mod v2;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use super::{Error, ROOT};

pub(crate) use v2::oom_kills;

/// The statistics of `cgroup`, a directory below [`ROOT`]. With version 2 one that is gone has used nothing, with version 1
/// that is an error; hosts know both.
pub(crate) fn metrics(cgroup: &Path) -> Result<Value, Error> {
    let root = Path::new(ROOT);
    if super::is_unified(root) {
        return Ok(v2::metrics(cgroup));
    }
    v1::metrics(root, cgroup.strip_prefix(root).unwrap_or(cgroup))
}

/// A key of a file, what it is called on the wire, and what its value is multiplied with.
type Name = (&'static str, &'static str, u64);

fn pick(table: &HashMap<String, u64>, names: &[Name]) -> Value {
    object(
        names
            .iter()
            .map(|(key, name, factor)| (*name, table.get(*key).map(|value| value.saturating_mul(*factor)))),
    )
}

/// What is unknown or zero is left out.
fn object(fields: impl IntoIterator<Item = (&'static str, Option<u64>)>) -> Value {
    let known = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value.filter(|value| *value != 0)?.into())));
    Value::Object(known.collect::<Map<String, Value>>())
}

fn number(cgroup: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(cgroup.join(file)).ok()?.trim().parse().ok()
}

/// As [`number`]; the word `max` is the largest one.
fn limit(cgroup: &Path, file: &str) -> Option<u64> {
    let text = fs::read_to_string(cgroup.join(file)).ok()?;
    if text.trim() == "max" { Some(u64::MAX) } else { text.trim().parse().ok() }
}

/// A file with a name and a number on each line.
fn table(cgroup: &Path, file: &str) -> HashMap<String, u64> {
    let text = fs::read_to_string(cgroup.join(file)).unwrap_or_default();
    let line = |line: &str| {
        line.split_once(' ').and_then(|(key, value)| Some((key.to_owned(), value.trim().parse().ok()?)))
    };
    text.lines().filter_map(line).collect()
}

/// The sizes of huge pages for which there is a file `hugetlb.SIZE.ENDING`.
fn page_sizes(cgroup: &Path, ending: &str) -> Vec<String> {
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
