//! How mounts propagate, which libcontainer 0.7 leaves as it finds it; the executor changes it.

use std::path::PathBuf;

use nix::mount::MsFlags;
use serde_json::Value;

use super::destination;
use crate::runtime::Propagation;
use crate::storage::PROPAGATION;

/// What the words among each mount's options ask for, in the order of the mounts. One that a later mount hides is left
/// out: its path is the later one's.
pub(in crate::container) fn propagation(mounts: &Value) -> Vec<Propagation> {
    let mounts = mounts.as_array().map(Vec::as_slice).unwrap_or_default();
    let places: Vec<PathBuf> = mounts.iter().map(destination).collect();
    let seen = |index: usize| !places[index + 1..].iter().any(|later| places[index].starts_with(later));
    let visible = mounts.iter().enumerate().filter(|(index, _)| seen(*index));
    let words = visible.flat_map(|(index, mount)| flags(mount).map(move |flags| (index, flags)));
    words
        .map(|(index, flags)| Propagation { destination: places[index].clone(), flags: flags.bits() })
        .collect()
}

fn flags(mount: &Value) -> impl Iterator<Item = MsFlags> {
    let options = mount["options"].as_array().map(Vec::as_slice).unwrap_or_default();
    options
        .iter()
        .filter_map(|option| PROPAGATION.iter().find(|(word, _)| option == *word).map(|(_, flags)| *flags))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_are_kept_in_order_and_without_what_is_hidden() {
        let mounts = json!([
            {"destination": "/a/b", "options": ["rprivate"]},
            {"destination": "/a", "options": ["rbind", "ro"]},
            {"destination": "/c", "options": ["rprivate", "shared"]},
            {"destination": "/c/d", "options": ["rslave"]},
            {"destination": "e"},
        ]);
        let found: Vec<_> = propagation(&mounts)
            .into_iter()
            .map(|Propagation { destination, flags }| {
                (destination.display().to_string(), MsFlags::from_bits_truncate(flags))
            })
            .collect();
        let expected = [
            ("/c", MsFlags::MS_PRIVATE | MsFlags::MS_REC),
            ("/c", MsFlags::MS_SHARED),
            ("/c/d", MsFlags::MS_SLAVE | MsFlags::MS_REC),
        ];
        assert_eq!(found, expected.map(|(path, flags)| (path.to_owned(), flags)));
        assert!(propagation(&Value::Null).is_empty());
    }
}
