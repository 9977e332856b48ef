//! The containers of a description, ready to be written: whatever can be wrong with one is found before anything takes time.

use serde_json::{Map, Value};

use super::assemble::AssembleError;
use super::config::Item;
use super::container::{Container, LABEL_NAME, read_label};
use super::ids::Ids;
use super::images::Found;
use super::load::Loaded;
use super::mounts::Volumes;
use super::places::{Key, Spot};
use super::spec;
use super::stream::Origin;

/// A container whose image is here.
pub struct Ready {
    /// Where it stands in the description.
    pub origin: Origin,
    /// Its directory in the root.
    pub path: String,
    /// Its settings.
    pub container: Container,
    /// What the runtime is told.
    pub config: Value,
}

/// The containers of `loaded`, in the order of the root; `image` has the image of each.
pub fn all<'a>(
    loaded: &Loaded,
    image: &dyn Fn(&str) -> &'a Found,
    ids: &Ids,
    volumes: &Volumes,
) -> Result<Vec<Ready>, AssembleError> {
    let mut all = Vec::new();
    for (list, items) in loaded.description.containers() {
        let numbered = list != "services";
        for (at, item) in items.iter().enumerate() {
            let name = item["name"].as_str().unwrap_or_default();
            let name = if numbered { format!("{at:03}-{name}") } else { name.to_owned() };
            let found = image(image_of(item));
            let label = read_label(found.label(LABEL_NAME), &found.name)?;
            let here = Key::new(&[&list, &at]);
            let spot = |key: &Key| spot(loaded, &here, item, (&label, &found.name), key);
            let container = Container::of(item, label.clone())
                .map_err(|error| AssembleError::from(error).at(spot(&Key::default())))?;
            let run = &found.image.config.config;
            let config = spec::config(&container, run, ids, volumes).map_err(|fault| {
                let (name, source) = (container.name.clone(), *fault.error);
                AssembleError::Spec { name, source }.at(spot(&fault.key))
            })?;
            let origin = Origin::new(image_of(item), list, at);
            all.push(Ready { origin, path: format!("containers/{list}/{name}"), container, config });
        }
    }
    Ok(all)
}

/// The image that `item` names.
pub fn image_of(item: &Item) -> &str {
    item["image"].as_str().unwrap_or_default()
}

/// Where the value at `key` of a container comes from: from the description's `item`, which stands at `here`, or from the
/// label of its image. To be kept in step with how [`Container::of`] merges the two.
fn spot(
    loaded: &Loaded,
    here: &Key,
    item: &Item,
    (label, image): (&Map<String, Value>, &str),
    key: &Key,
) -> Spot {
    let in_file = |key: &Key| loaded.places.of(&here.below(key));
    let in_label = || Spot::Label { image: image.to_owned(), key: key.clone() };
    let Some((field, rest)) = key.steps().split_first() else { return in_file(key) };
    let Some(own) = item.get(field) else {
        let Some(below) = label.get(field) else {
            return added(field, rest, 0).map_or_else(|| in_file(key), |key| in_file(&key));
        };
        let count = below.as_array().map_or(0, Vec::len);
        return added(field, rest, count).map_or_else(in_label, |key| in_file(&key));
    };
    let part = rest.first().filter(|_| field == "runtime");
    if part.is_some_and(|part| own.get(part).is_none()) { in_label() } else { in_file(key) }
}

/// The key of what a description adds to a list whose first `count` values are the label's.
fn added(field: &str, rest: &[String], count: usize) -> Option<Key> {
    let at = rest.first()?.parse::<usize>().ok()?.checked_sub(count)?;
    matches!(field, "capabilities" | "binds").then(|| Key::new(&[&format!("{field}.add"), &at]))
}
