use std::fmt;

use serde::{Deserialize, Serialize};

/// Operating system and processor an image is for (OCI image-spec, `image-index.md`, "platform").
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`, `windows`…
    #[serde(default)]
    pub os: String,
    /// Go's name of the processor: `amd64`, `arm64`…
    #[serde(default)]
    pub architecture: String,
    /// Version of the processor: `v8`…
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// What utility VMs on this machine run: Linux on the host's own processor.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            other => other,
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
    }

    /// Whether an image for `other` runs here. The variant does not matter.
    pub fn accepts(&self, other: &Self) -> bool {
        self.os == other.os && self.architecture == other.architecture
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |part: &str| if part.is_empty() { "unknown".to_owned() } else { part.to_owned() };
        write!(f, "{}/{}", known(&self.os), known(&self.architecture))?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}
