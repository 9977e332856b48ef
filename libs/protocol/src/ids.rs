//! Identifiers on the wire, as types that cannot be mixed up.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A vsock port number on the host (spec section 2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VsockPort(pub u32);

impl fmt::Display for VsockPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A process id in the utility VM's root pid namespace (spec section 5.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProcessId(pub u32);

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A container id as the host chose it: normally 64 hex digits; empty in `NegotiateProtocol`; the null id for
/// messages that address the VM itself (spec section 4.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerId(pub String);

/// Why a container id cannot be used as the name of a directory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid container ID format: {0:?}")]
pub struct InvalidContainerId(pub String);

impl ContainerId {
    /// The id that addresses the utility VM itself.
    pub const NULL: &'static str = "00000000-0000-0000-0000-000000000000";

    /// The null id as a value.
    pub fn null() -> Self {
        Self(Self::NULL.to_owned())
    }

    /// Whether this addresses the utility VM itself.
    pub fn is_null(&self) -> bool {
        self.0 == Self::NULL
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks that the id can name a directory: letters, digits, `_`, `+`, `-` and `.`, not starting with a
    /// dot, at most 255 bytes. The same rule as OCI runtimes use.
    pub fn validate(&self) -> Result<(), InvalidContainerId> {
        let ok = !self.0.is_empty()
            && self.0.len() <= 255
            && !self.0.starts_with('.')
            && self.0.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-.".contains(&b));
        if ok { Ok(()) } else { Err(InvalidContainerId(self.0.clone())) }
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<&str> for ContainerId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// The GUID that ties a request to its answer in the host's logs. The host drops the bridge when it gets one
/// that is not a 36-character GUID, so anything else that arrives is replaced by the nil GUID (spec 4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ActivityId(pub Uuid);

impl<'de> Deserialize<'de> for ActivityId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(Uuid::parse_str(&text).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_would_leave_their_directory_are_refused() {
        for bad in ["", "..", ".hidden", "a/b", "a\0b", "ä", &"x".repeat(256)] {
            assert!(ContainerId::from(bad).validate().is_err(), "{bad:?}");
        }
        for good in ["c1", ContainerId::NULL, &"f".repeat(64), "a_b+c.d"] {
            assert!(ContainerId::from(good).validate().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn an_activity_id_that_is_no_guid_becomes_nil() {
        let id: ActivityId = serde_json::from_str("\"rubbish\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"00000000-0000-0000-0000-000000000000\"");
    }
}
