//! Holding a document against the tables of [`super::schema`]: all problems at once, each with its place.

use std::fmt;

use serde_json::Number;

use super::node::{Kind, Node, Place};
use super::schema::{Object, Type};

/// What is wrong in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// The path of keys and numbers, `(root)` for the document itself.
    pub path: String,
    /// What.
    pub reason: String,
}

/// A document with problems.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Invalid {
    /// The document: a file, or an image's label.
    pub document: String,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is invalid:", self.document)?;
        for Problem { place, path, reason } in &self.problems {
            match place.line {
                0 => write!(f, "\n  {path}: {reason}")?,
                _ => write!(f, "\n  {}:{}:{}: {path}: {reason}", self.document, place.line, place.column)?,
            }
        }
        Ok(())
    }
}

/// Checks `node` as an `object` whose keys begin with `root` (empty for a whole document); `document` is its name.
pub fn validate(document: &str, node: &Node, object: &'static Object, root: &str) -> Result<(), Invalid> {
    let mut walk = Walk { path: Vec::new(), problems: Vec::new() };
    walk.path.extend((!root.is_empty()).then(|| root.to_owned()));
    walk.value(node, Type::Object(object));
    if walk.problems.is_empty() {
        return Ok(());
    }
    Err(Invalid { document: document.to_owned(), problems: walk.problems })
}

struct Walk {
    path: Vec<String>,
    problems: Vec<Problem>,
}

impl Walk {
    fn value(&mut self, node: &Node, expected: Type) {
        match (expected, &node.kind) {
            (Type::Text | Type::Id, Kind::Text(_)) | (Type::Boolean, Kind::Boolean(_)) => {}
            (Type::Integer(least, most), Kind::Number(number)) if !number.is_f64() => {
                self.range(node.place, number, least, most);
            }
            (Type::Id, Kind::Number(number)) if !number.is_f64() => {
                self.range(node.place, number, 0, u32::MAX.into());
            }
            (Type::VolumeName, Kind::Text(name)) => {
                if !name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-')) {
                    self.problem(node.place, "Does not match pattern '^[a-z0-9_-]*$'".to_owned());
                }
            }
            (Type::List(item), Kind::List(nodes)) => {
                for (at, node) in nodes.iter().enumerate() {
                    self.below(at.to_string(), node, *item);
                }
            }
            (Type::Words, Kind::Map(entries)) => {
                for (key, _, node) in entries {
                    self.below(key.clone(), node, Type::Text);
                }
            }
            (Type::Object(object), Kind::Map(entries)) => self.object(node.place, entries, object),
            (expected, found) => {
                let reason = format!("Invalid type. Expected: {}, given: {}", name(expected), found.name());
                self.problem(node.place, reason);
            }
        }
    }

    fn range(&mut self, place: Place, number: &Number, least: i128, most: i128) {
        if !number.as_i128().is_some_and(|number| (least..=most).contains(&number)) {
            self.problem(place, format!("{number} is out of range: {least} to {most}"));
        }
    }

    fn object(&mut self, place: Place, entries: &[(String, Place, Node)], object: &'static Object) {
        for required in object.required {
            if !entries.iter().any(|(key, ..)| key == required) {
                self.problem(place, format!("{required} is required"));
            }
        }
        for (key, place, node) in entries {
            match object.fields.iter().find(|(name, _)| name == key) {
                Some((_, expected)) => self.below(key.clone(), node, *expected),
                None => self.problem(*place, format!("Additional property {key} is not allowed")),
            }
        }
    }

    fn below(&mut self, step: String, node: &Node, expected: Type) {
        self.path.push(step);
        self.value(node, expected);
        self.path.pop();
    }

    fn problem(&mut self, place: Place, reason: String) {
        let path = if self.path.is_empty() { "(root)".to_owned() } else { self.path.join(".") };
        self.problems.push(Problem { place, path, reason });
    }
}

fn name(expected: Type) -> &'static str {
    match expected {
        Type::Text | Type::VolumeName => "string",
        Type::Integer(..) => "integer",
        Type::Boolean => "boolean",
        Type::Id => "string or integer",
        Type::List(_) => "array",
        Type::Words | Type::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linuxkit::schema::{DESCRIPTION, LABEL};

    fn problems(text: &str) -> Vec<String> {
        let node = Node::parse("x.yml", text).unwrap();
        match validate("x.yml", &node, &DESCRIPTION, "") {
            Ok(()) => Vec::new(),
            Err(error) => error.to_string().lines().skip(1).map(|line| line.trim().to_owned()).collect(),
        }
    }

    #[test]
    fn all_problems_are_told_with_their_places() {
        let text = "\
foo: 1
services:
  - image: a
    resources: {memory: {kernelTCP: 1, disableOOMKiller: maybe}}
files:
  - path: a
    mode: 0666
volumes:
  - name: A b
";
        assert_eq!(
            problems(text),
            [
                "x.yml:1:1: (root): Additional property foo is not allowed",
                "x.yml:3:5: services.0: name is required",
                "x.yml:4:58: services.0.resources.memory.disableOOMKiller: Invalid type. Expected: boolean, given: string",
                "x.yml:7:11: files.0.mode: Invalid type. Expected: string, given: integer",
                "x.yml:9:11: volumes.0.name: Does not match pattern '^[a-z0-9_-]*$'",
            ]
        );
        assert_eq!(problems("init: []\nlcow: {agent: false, modules: [wireguard]}\n"), [""; 0]);
        assert_eq!(problems("- a\n"), ["x.yml:1:1: (root): Invalid type. Expected: object, given: array"]);
    }

    #[test]
    fn a_label_has_no_name() {
        let node = Node::of_json(serde_json::json!({"name": "a", "uid": true}));
        let error = validate("the label", &node, &LABEL, "services.0").unwrap_err().to_string();
        assert_eq!(
            error,
            "the label is invalid:\n  services.0: Additional property name is not allowed\n  \
             services.0.uid: Invalid type. Expected: string or integer, given: boolean"
        );
    }
}
