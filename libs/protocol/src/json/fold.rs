//! A deserializer over a parsed document that folds the case of structs' field names.
//!
//! `deserialize_struct` is told the exact names of the fields, which is all that is needed: keys are compared
//! with them and handed on in the exact spelling. Everything that is not a struct passes through.

use serde::de::value::{SeqDeserializer, StrDeserializer};
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value};

/// The deserializer: a borrowed document.
#[derive(Clone, Copy)]
pub(super) struct Folding<'a>(pub(super) &'a Value);

impl<'de> Deserializer<'de> for Folding<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::Number(number) => number.clone().deserialize_any(visitor),
            Value::String(text) => visitor.visit_str(text),
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.iter().map(Folding))),
            Value::Object(map) => visitor.visit_map(Entries::new(map, None)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(map) => visitor.visit_map(Entries::new(map, Some(fields))),
            Value::Null => visitor.visit_map(Entries::new(&Map::new(), None)),
            other => Err(serde::de::Error::custom(format_args!("expected an object, found {}", kind(other)))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.clone().deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map identifier ignored_any
    }
}

impl IntoDeserializer<'_, Error> for Folding<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The entries of an object; with `fields`, those of a struct.
struct Entries<'a> {
    rest: serde_json::map::Iter<'a>,
    fields: Option<&'static [&'static str]>,
    value: Option<&'a Value>,
}

impl<'a> Entries<'a> {
    fn new(map: &'a Map<String, Value>, fields: Option<&'static [&'static str]>) -> Self {
        Self { rest: map.iter(), fields, value: None }
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        for (key, value) in self.rest.by_ref() {
            let mut name = key.as_str();
            if let Some(fields) = self.fields {
                // Left out, so that `#[serde(default)]` gives the field its zero value.
                if value.is_null() {
                    continue;
                }
                name = fields.iter().find(|field| field.eq_ignore_ascii_case(key)).copied().unwrap_or(name);
            }
            self.value = Some(value);
            return seed.deserialize(StrDeserializer::new(name)).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let value = self.value.take().unwrap_or(&Value::Null);
        seed.deserialize(Folding(value))
    }
}
