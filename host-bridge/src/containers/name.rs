//! Names of containers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ContainersError;

/// Longest name; it is also a directory's.
const MAX: usize = 128;

/// First words of names that are made up.
const QUALITIES: [&str; 32] = [
    "agile", "bold", "brave", "bright", "calm", "clever", "daring", "eager", "fair", "fleet", "fond",
    "gentle", "glad", "happy", "keen", "kind", "lively", "lucid", "merry", "mild", "neat", "noble",
    "patient", "proud", "quick", "quiet", "ready", "sunny", "swift", "tidy", "warm", "wise",
];
/// Last words of names that are made up.
const BIRDS: [&str; 32] = [
    "avocet", "bittern", "bunting", "chough", "crane", "curlew", "dipper", "dunlin", "eider", "falcon",
    "finch", "gannet", "godwit", "grebe", "harrier", "heron", "kestrel", "lapwing", "linnet", "martin",
    "merlin", "osprey", "petrel", "pipit", "plover", "puffin", "robin", "shrike", "siskin", "swift", "teal",
    "wren",
];

/// The name of a container: letters, digits, `_`, `.` and `-`, the first a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerName(String);

/// Text that is no container's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no container name: letters, digits, '_', '.' and '-', a letter or digit first, at most {MAX} of them"
)]
pub struct BadName(String);

impl ContainerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Makes up a name that is not taken.
    pub(super) fn generate(taken: impl Fn(&Self) -> bool) -> Result<Self, ContainersError> {
        for attempt in 0_u64.. {
            let random = getrandom::u32().map_err(ContainersError::Random)?.to_le_bytes();
            let word = |words: &[&'static str; 32], byte: u8| words[usize::from(byte) % words.len()];
            let (quality, bird) = (word(&QUALITIES, random[0]), word(&BIRDS, random[1]));
            // When many are taken a number makes room.
            let number =
                if attempt < 8 { String::new() } else { format!("-{}", attempt * u64::from(random[2])) };
            let name = Self(format!("{quality}-{bird}{number}"));
            if !taken(&name) {
                return Ok(name);
            }
        }
        unreachable!("numbers do not end")
    }
}

impl FromStr for ContainerName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let rest = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        if first && rest && text.len() <= MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName(text.to_owned()))
        }
    }
}

impl TryFrom<String> for ContainerName {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<ContainerName> for String {
    fn from(name: ContainerName) -> Self {
        name.0
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_directory() {
        for bad in ["", ".", "..", ".x", "-x", "a/b", "a b", "ä", &"x".repeat(129)] {
            assert!(bad.parse::<ContainerName>().is_err(), "{bad:?}");
        }
        for good in ["a", "web-1", "A.b_c", "0"] {
            assert!(good.parse::<ContainerName>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn made_up_names_are_names_and_not_taken() {
        let name = ContainerName::generate(|_| false).expect("random");
        assert_eq!(name.as_str().parse(), Ok(name.clone()));
        let only_numbers = |name: &ContainerName| !name.as_str().contains(|c: char| c.is_ascii_digit());
        let numbered = ContainerName::generate(only_numbers).expect("random");
        assert_eq!(numbered.as_str().parse(), Ok(numbered.clone()));
    }
}
