//! Where in the files of a description its values stand, for what is found to be wrong with them only later.

use std::collections::HashMap;
use std::fmt::{self, Display};

use serde_json::{Map, Value};

use super::container::LABEL_NAME;
use super::node::{Kind, Node, Place};

/// A path of keys, and of numbers in lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Key(Vec<String>);

impl Key {
    /// The path of these steps.
    pub fn new(steps: &[&dyn Display]) -> Self {
        Self(steps.iter().map(ToString::to_string).collect())
    }

    /// The path of `key` below this one.
    #[must_use]
    pub fn below(&self, key: &Self) -> Self {
        Self([&self.0[..], &key.0].concat())
    }

    /// Its steps.
    pub fn steps(&self) -> &[String] {
        &self.0
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(root)".to_owned() } else { self.0.join(".") }.as_str())
    }
}

/// What is wrong with the value at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<E> {
    /// The key, from where who tells of it has begun.
    pub key: Key,
    /// What is wrong.
    pub error: Box<E>,
}

impl<E> At<E> {
    /// Tells of `error` at the key of these steps.
    pub fn new(steps: &[&dyn Display], error: impl Into<E>) -> Self {
        Self { key: Key::new(steps), error: Box::new(error.into()) }
    }

    /// The same with a wider type.
    pub fn cast<F: From<E>>(self) -> At<F> {
        At { key: self.key, error: Box::new((*self.error).into()) }
    }

    /// The same one step further out.
    #[must_use]
    pub fn within(self, step: &dyn Display) -> Self {
        Self { key: Key::new(&[step]).below(&self.key), error: self.error }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spot {
    /// A description.
    File {
        /// Its name.
        file: String,
        /// Where in it.
        place: Place,
        /// The key as that file has it.
        key: Key,
    },
    /// The label of an image.
    Label {
        /// The image.
        image: String,
        /// The key as the label has it.
        key: Key,
    },
}

impl Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, place, key } => write!(f, "{file}:{}:{}: {key}", place.line, place.column),
            Self::Label { image, key } => write!(f, "image {image}, label {LABEL_NAME}: {key}"),
        }
    }
}

/// The files of a description, and which values of the merged one each has given.
#[derive(Debug, Default)]
pub struct Places {
    files: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    file: String,
    node: Node,
    /// For each list how many values of it come from earlier files.
    before: HashMap<String, usize>,
}

impl Places {
    /// Notes the description `node` of `file`, which is about to be merged over `under`.
    pub fn add(&mut self, file: &str, node: Node, under: &Map<String, Value>) {
        let lists = under.iter().filter_map(|(key, value)| Some((key.clone(), value.as_array()?.len())));
        self.files.push(Part { file: file.to_owned(), node, before: lists.collect() });
    }

    /// Where the value at `key` of the merged description stands; where it should stand, if there is none.
    pub fn of(&self, key: &Key) -> Spot {
        let found = self.files.iter().filter_map(|part| {
            let mut own = key.clone();
            if let Some(step) = own.0.get_mut(1)
                && let Some(before) = part.before.get(&key.0[0])
            {
                *step = step.parse::<usize>().ok()?.checked_sub(*before)?.to_string();
            }
            Some(spot(&part.file, &part.node, &own))
        });
        // Of several files that have it the last one counts.
        let best = found.max_by_key(|(depth, _)| *depth);
        let nowhere = || Spot::File { file: String::new(), place: Place::default(), key: key.clone() };
        best.map_or_else(nowhere, |(_, spot)| spot)
    }
}

/// Where the value at `key` of `node` stands in `file`, and how many steps of the way to it there are.
pub fn spot(file: &str, node: &Node, key: &Key) -> (usize, Spot) {
    let mut here = node;
    let mut depth = 0;
    for step in key.steps() {
        let next = match &here.kind {
            Kind::List(items) => step.parse::<usize>().ok().and_then(|at| items.get(at)),
            Kind::Map(entries) => entries.iter().find(|(name, ..)| name == step).map(|(_, _, node)| node),
            _ => None,
        };
        let Some(next) = next else { break };
        here = next;
        depth += 1;
    }
    (depth, Spot::File { file: file.to_owned(), place: here.place, key: key.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linuxkit::config::merge;

    #[test]
    fn values_are_found_in_the_file_that_gave_them() {
        let mut places = Places::default();
        let mut all = Map::new();
        for (file, text) in [
            ("a.yml", "init: [a]\nkernel:\n  image: k\n  tar: none\n"),
            ("b.yml", "kernel:\n  image: other\ninit:\n  - b\n  - c\n"),
        ] {
            let node = Node::parse(file, text).unwrap();
            places.add(file, node.clone(), &all);
            let Value::Object(map) = node.into_json() else { panic!("no map") };
            merge(&mut all, map);
        }
        for (steps, expected) in [
            (["init", "0"], "a.yml:1:8: init.0"),
            (["init", "2"], "b.yml:5:5: init.1"),
            (["kernel", "tar"], "a.yml:4:8: kernel.tar"),
            (["kernel", "image"], "b.yml:2:10: kernel.image"),
            (["kernel", "ucode"], "b.yml:2:3: kernel.ucode"),
        ] {
            let key = Key::new(&[&steps[0], &steps[1]]);
            assert_eq!(places.of(&key).to_string(), expected);
        }
    }
}
