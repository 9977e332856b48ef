//! Numbers of users and groups that have a container's name.

use std::collections::HashMap;

use super::config::{Description, Id};

/// The first number that a container gets.
const FIRST: u32 = 100;

/// A name without a number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot find id: {0}")]
pub struct UnknownId(String);

/// The number of each container, counted through the whole description.
#[derive(Debug, Clone, Default)]
pub struct Ids(HashMap<String, u32>);

impl Ids {
    /// Counts the containers of `description`; of equal names the last one counts.
    pub fn of(description: &Description) -> Self {
        let items = description.onboot.iter().chain(&description.onshutdown).chain(&description.services);
        let names = items.map(|item| item["name"].as_str().unwrap_or_default().to_owned());
        Self(names.zip(FIRST..).collect())
    }

    /// The number that `id` means; root's if there is none.
    pub fn number(&self, id: Option<&Id>) -> Result<u32, UnknownId> {
        match id {
            None => Ok(0),
            Some(Id::Number(number)) => Ok(*number),
            Some(Id::Name(name)) if matches!(name.as_str(), "" | "root") => Ok(0),
            Some(Id::Name(name)) => {
                // Numbers are often written as text.
                let found = self.0.get(name).copied().or_else(|| name.parse().ok());
                found.ok_or_else(|| UnknownId(name.clone()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn containers_are_counted_from_100() {
        let description: Description = serde_json::from_value(json!({
            "onboot": [{"name": "one"}, {"name": "twice"}], "onshutdown": [{"name": "twice"}],
            "services": [{"name": "svc"}],
        }))
        .unwrap();
        let ids = Ids::of(&description);
        for (name, number) in [("one", 100), ("twice", 102), ("svc", 103), ("root", 0), ("", 0), ("7", 7)] {
            assert_eq!(ids.number(Some(&Id::Name(name.into()))), Ok(number), "{name}");
        }
        assert_eq!(ids.number(Some(&Id::Name("x".into()))).unwrap_err().to_string(), "cannot find id: x");
    }
}
