//! JSON as Go's decoder reads it (spec section 4.1): field names match case-insensitively, unknown fields are
//! ignored, and `null` stands for a field's zero value. Output always has the exact casing of the types.
//!
//! Only the names of *structs'* fields are folded. Keys of maps (environment variables, annotations) and of
//! documents that are passed through unread (OCI specifications) stay as they are.

mod fold;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// JSON that does not parse, or does not have the shape of the message it should be.
#[derive(Debug, thiserror::Error)]
#[error("decoding {what}")]
pub struct DecodeError {
    /// What was being decoded.
    pub what: &'static str,
    /// What is wrong, and where.
    #[source]
    pub source: serde_json::Error,
}

/// Parses a message body. Depth is bounded by `serde_json` (128 levels), size by the frame.
pub fn parse(body: &[u8]) -> Result<Value, DecodeError> {
    serde_json::from_slice(body).map_err(|source| DecodeError { what: "a message body", source })
}

/// Reads one typed part of a parsed document. `what` names it in errors.
pub fn decode<T: DeserializeOwned>(what: &'static str, document: &Value) -> Result<T, DecodeError> {
    T::deserialize(fold::Folding(document)).map_err(|source| DecodeError { what, source })
}

/// A document inside a string, which is how the protocol carries several of its fields. The empty string is
/// the zero value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stringified<T>(pub T);

impl<T: Serialize> Serialize for Stringified<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = serde_json::to_string(&self.0).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&text)
    }
}

impl<'de, T: DeserializeOwned + Default> Deserialize<'de> for Stringified<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self::default());
        }
        let value: Value = serde_json::from_str(&text).map_err(serde::de::Error::custom)?;
        T::deserialize(fold::Folding(&value)).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Whether a field has its zero value and is left out (`omitempty` in the specification's tables).
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Sample {
        name: String,
        count: u32,
        env: BTreeMap<String, String>,
        inner: Vec<Sample>,
        raw: Option<Value>,
    }

    #[test]
    fn names_of_fields_fold_but_keys_of_maps_do_not() {
        let document = json!({"NAME": "x", "cOUNT": 3, "env": {"Path": "/bin"}, "inner": [{"name": "y"}],
            "raw": {"Keep": {"This": 1}}, "unknown": [1, 2]});
        let sample: Sample = decode("a sample", &document).unwrap();
        assert_eq!((sample.name.as_str(), sample.count), ("x", 3));
        assert_eq!(sample.env["Path"], "/bin");
        assert_eq!(sample.inner[0].name, "y");
        assert_eq!(sample.raw.unwrap(), json!({"Keep": {"This": 1}}));
    }

    #[test]
    fn null_is_the_zero_value_at_every_level() {
        let document = json!({"Name": null, "Count": null, "Env": null, "Inner": null, "Raw": null});
        assert_eq!(decode::<Sample>("a sample", &document).unwrap(), Sample::default());
        assert_eq!(decode::<Sample>("a sample", &Value::Null).unwrap(), Sample::default());
    }

    #[test]
    fn wrong_types_are_errors_that_name_the_document() {
        for bad in [json!({"Count": "three"}), json!([1]), json!("text"), json!({"Count": -1})] {
            let error = decode::<Sample>("a sample", &bad).unwrap_err();
            assert_eq!(error.to_string(), "decoding a sample");
        }
        assert!(parse(b"{\"a\":").is_err());
        assert!(parse(b"").is_err());
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn a_stringified_document_is_read_with_the_same_rules() {
        let inner: Stringified<Sample> =
            serde_json::from_value(json!("{\"name\":\"\\u003chi\\u003e\"}")).unwrap();
        assert_eq!(inner.0.name, "<hi>");
        let empty: Stringified<Sample> = serde_json::from_value(json!("")).unwrap();
        assert_eq!(empty.0, Sample::default());
        assert!(serde_json::from_value::<Stringified<Sample>>(json!("{")).is_err());
    }
}
