//! A YAML or JSON document as a tree whose every value knows its place.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::Spanned;

/// Line and column, both counted from 1; zero where the document has no lines (labels of images).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Where it begins.
    pub place: Place,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(String),
    /// Values in order.
    List(Vec<Node>),
    /// Keys with their places, and values, in the order of the document.
    Map(Vec<(String, Place, Node)>),
}

/// A document that is no YAML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{}:{}: {reason}", place.line, place.column)]
pub struct Malformed {
    file: String,
    place: Place,
    reason: String,
}

impl Node {
    /// Reads the YAML document `text`; `file` is its name in errors. A key may come only once.
    pub fn parse(file: &str, text: &str) -> Result<Self, Malformed> {
        let fault = |place, reason: String| Malformed { file: file.to_owned(), place, reason };
        // As in YAML 1.2: `y` and `no` are words.
        let options = serde_saphyr::options! { strict_booleans: true };
        let documents = serde_saphyr::from_multiple_with_options::<Spanned<Kind>>(text, options);
        let documents = documents.map_err(|error| {
            let place = error.location().map(|at| Place { line: at.line(), column: at.column() });
            fault(place.unwrap_or_default(), reason(&error))
        })?;
        let mut documents = documents.into_iter().map(Self::from);
        let first =
            documents.next().unwrap_or(Self { kind: Kind::Null, place: Place { line: 1, column: 1 } });
        if first.kind == Kind::Null {
            return Err(fault(first.place, "there is nothing in it".to_owned()));
        }
        match documents.next() {
            Some(second) => Err(fault(second.place, "a second document begins here".to_owned())),
            None => Ok(first),
        }
    }

    /// The tree of a JSON document, without places.
    pub fn of_json(value: Value) -> Self {
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(value) => Kind::Boolean(value),
            Value::Number(number) => Kind::Number(number),
            Value::String(text) => Kind::Text(text),
            Value::Array(values) => Kind::List(values.into_iter().map(Self::of_json).collect()),
            Value::Object(map) => Kind::Map(
                map.into_iter().map(|(key, value)| (key, Place::default(), Self::of_json(value))).collect(),
            ),
        };
        Self { kind, place: Place::default() }
    }

    /// The value without places.
    pub fn into_json(self) -> Value {
        match self.kind {
            Kind::Null => Value::Null,
            Kind::Boolean(value) => Value::Bool(value),
            Kind::Number(number) => Value::Number(number),
            Kind::Text(text) => Value::String(text),
            Kind::List(nodes) => Value::Array(nodes.into_iter().map(Self::into_json).collect()),
            Kind::Map(entries) => {
                Value::Object(entries.into_iter().map(|(key, _, node)| (key, node.into_json())).collect())
            }
        }
    }
}

impl Kind {
    /// JSON schema's name of the type.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "boolean",
            Self::Number(number) if number.is_f64() => "number",
            Self::Number(_) => "integer",
            Self::Text(_) => "string",
            Self::List(_) => "array",
            Self::Map(_) => "object",
        }
    }
}

impl From<Spanned<Kind>> for Node {
    fn from(spanned: Spanned<Kind>) -> Self {
        Self { kind: spanned.value, place: place(spanned.referenced) }
    }
}

/// What is wrong, in words of the document rather than of the library.
fn reason(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    match error.without_snippet() {
        Error::AliasError { error, .. } => reason(error),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("the key {key} comes twice"),
        Error::DuplicateMappingKey { key: None, .. } => "a key comes twice".to_owned(),
        Error::Budget { .. } => "this is more than a description can need: too large, or too deep".to_owned(),
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            "an alias stands within what it means".to_owned()
        }
        other => {
            let text = other.to_string();
            let line = text.lines().next().unwrap_or_default();
            // The place is told already.
            let place = other.location().map(|at| format!(" at line {}, column {}", at.line(), at.column()));
            place.and_then(|place| line.strip_suffix(&place[..])).unwrap_or(line).to_owned()
        }
    }
}

fn place(at: serde_saphyr::Location) -> Place {
    Place { line: at.line(), column: at.column() }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyKind)
    }
}

struct AnyKind;

impl<'de> Visitor<'de> for AnyKind {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Kind, E> {
        // A number with leading zeros comes as a fraction without one.
        if value.fract() == 0.0
            && let Ok(whole) = format!("{value:.0}").parse::<i64>()
        {
            return Ok(Kind::Number(whole.into()));
        }
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a finite number"))?;
        Ok(Kind::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Kind>>()? {
            list.push(item.into());
        }
        Ok(Kind::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = items.next_entry::<Spanned<String>, Spanned<Kind>>()? {
            map.push((key.value, place(key.referenced), value.into()));
        }
        Ok(Kind::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_keep_their_types_and_places() {
        let text = "init: []\nfiles:\n  - path: a\n    mode: 0666\n  - path: b\n    mode: \"0644\"\n";
        let node = Node::parse("x.yml", text).unwrap();
        let Kind::Map(entries) = &node.kind else { panic!("{node:?}") };
        let Kind::List(files) = &entries[1].2.kind else { panic!("{node:?}") };
        let Kind::Map(file) = &files[0].kind else { panic!("{node:?}") };
        assert_eq!((file[1].2.kind.name(), file[1].2.place), ("integer", Place { line: 4, column: 11 }));
        assert_eq!(file[1].1, Place { line: 4, column: 5 });
        let expected =
            json!({"init": [], "files": [{"path": "a", "mode": 666}, {"path": "b", "mode": "0644"}]});
        let found = node.into_json();
        assert_eq!(found["files"][1], expected["files"][1]);
        assert_eq!(Node::of_json(expected.clone()).into_json(), expected);
    }

    #[test]
    fn what_is_no_document_is_refused_with_its_place() {
        for (text, start) in [
            ("", "x.yml:1:1: there is nothing"),
            ("a: 1\na: 2\n", "x.yml:2:1: the key a comes twice"),
            ("a: &x [*x]\n", "x.yml:1:8: an alias stands within what it means"),
            ("a: b: c\n", "x.yml:1:"),
            ("services:\n  - name: a\n    command: [\"x\",\n  - name: b\n", "x.yml:"),
            ("a: 1\n---\nb: 2\n", "x.yml:3:1: a second document"),
        ] {
            let error = Node::parse("x.yml", text).unwrap_err().to_string();
            assert!(error.starts_with(start), "{text:?}: {error}");
            assert!(!error.contains("at line") && !error.contains("Options"), "{text:?}: {error}");
        }
        let large = format!("a: [{}]\n", "1,".repeat(300_000));
        let error = Node::parse("x.yml", &large).unwrap_err().to_string();
        assert!(error.ends_with("too large, or too deep"), "{error}");
    }
}
