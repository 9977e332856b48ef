use std::fmt;
use std::str::FromStr;

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
        let architecture = go_name(std::env::consts::ARCH).to_owned();
        Self { os: "linux".to_owned(), architecture, variant: None }
    }

    /// Whether an image for `other` runs here. A variant matters only if both have one.
    pub fn accepts(&self, other: &Self) -> bool {
        let variants = self.variant.as_ref().zip(other.variant.as_ref());
        self.os == other.os
            && self.architecture == other.architecture
            && variants.is_none_or(|(own, others)| own == others)
    }
}

/// Text that names no platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no platform: expected OS/ARCH[/VARIANT], as in linux/amd64 or linux/arm64/v8")]
pub struct BadPlatform(String);

/// `OS/ARCH[/VARIANT]`, with Go's names or those that compilers have.
///
/// ```
/// let platform: lcow_oci::Platform = "linux/aarch64/v8".parse().unwrap();
/// assert_eq!(platform.to_string(), "linux/arm64/v8");
/// ```
impl FromStr for Platform {
    type Err = BadPlatform;

    fn from_str(text: &str) -> Result<Self, BadPlatform> {
        let parts: Vec<&str> = text.split('/').collect();
        let usable = |part: &&str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        };
        let (os, architecture, variant) = match parts[..] {
            _ if !parts.iter().all(usable) => return Err(BadPlatform(text.to_owned())),
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant.to_owned())),
            _ => return Err(BadPlatform(text.to_owned())),
        };
        Ok(Self { os: os.to_owned(), architecture: go_name(architecture).to_owned(), variant })
    }
}

/// What Go calls a processor.
fn go_name(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" | "i386" => "386",
        other => other,
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |part: &str| if part.is_empty() { "unknown".to_owned() } else { part.to_owned() };
        write!(f, "{}/{}", known(&self.os), known(&self.architecture))?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_read_and_compared() {
        let of = |text: &str| text.parse::<Platform>();
        for bad in ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/am d"] {
            assert_eq!(of(bad), Err(BadPlatform(bad.to_owned())));
        }
        let accepts = |wanted: &str, found: &str| of(wanted).expect(wanted).accepts(&of(found).expect(found));
        assert!(accepts("linux/x86_64", "linux/amd64"));
        assert!(accepts("linux/arm64", "linux/arm64/v8") && accepts("linux/arm64/v8", "linux/arm64"));
        assert!(!accepts("linux/arm/v6", "linux/arm/v7") && !accepts("linux/amd64", "windows/amd64"));
    }
}
