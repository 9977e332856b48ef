use std::fmt;
use std::str::FromStr;

use crate::Digest;

const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// The full name of an image: registry, repository, and a tag, a digest or both.
///
/// Short names are completed as everywhere: `busybox` is `docker.io/library/busybox:latest` (distribution project,
/// "reference" grammar).
///
/// ```
/// let reference: lcow_oci::Reference = "busybox".parse().unwrap();
/// assert_eq!(reference.to_string(), "docker.io/library/busybox:latest");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a name is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an image reference: {reason}")]
pub struct ReferenceError {
    /// The name.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Reference {
    /// Host, perhaps with a port.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Path on the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; absent when only a digest was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was given.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The name as people write it: without the default registry and `library/`, unless it would mean something else then.
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let short = full.strip_prefix("docker.io/");
        let shorter = short.and_then(|short| short.strip_prefix("library/"));
        let same = |text: &&str| text.parse().as_ref() == Ok(self);
        let found = shorter.into_iter().chain(short).find(same);
        found.map(str::to_owned).unwrap_or(full)
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let fault = |reason| ReferenceError { text: text.to_owned(), reason };
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (
                name,
                Some(digest.parse::<Digest>().map_err(|_| fault("the digest is not a SHA-256 digest"))?),
            ),
            None => (text, None),
        };
        // A colon after the last slash separates a tag; one before it belongs to a port.
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        let (registry, repository) = split_registry(name);
        if repository.is_empty() {
            return Err(fault("it has no name"));
        }
        if !is_registry(registry) {
            return Err(fault("the registry is not a host name"));
        }
        if repository.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(fault("the repository must be in lower case"));
        }
        if !repository.split('/').all(is_path_part) {
            return Err(fault("the repository has characters that are not allowed"));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(fault("the tag has characters that are not allowed"));
        }
        let library = if registry == DEFAULT_REGISTRY && !repository.contains('/') { "library/" } else { "" };
        let repository = format!("{library}{repository}");
        if registry.len() + 1 + repository.len() > MAX_NAME {
            return Err(fault("it is over 255 characters long"));
        }
        let tag = tag.or(if digest.is_none() { Some(DEFAULT_TAG) } else { None }).map(str::to_owned);
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// The first part is a registry if it could not be anything else: a dot, a port, `localhost`, or capitals.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some(("index.docker.io", rest)) => (DEFAULT_REGISTRY, rest),
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_REGISTRY, name),
    }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let valid = address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
            return valid && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    port.is_none_or(is_port)
        && host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Letters and digits, between them one dot, one or two underscores, or any number of hyphens.
fn is_path_part(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let separators =
        text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).filter(|s| !s.is_empty());
    let mut edges = text.bytes().next().into_iter().chain(text.bytes().last());
    !text.is_empty()
        && edges.all(alphanumeric)
        && separators.into_iter().all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= MAX_TAG
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> String {
        text.parse::<Reference>().unwrap().to_string()
    }

    #[test]
    fn short_names_are_completed() {
        let digest = Digest::of(b"").to_string();
        for (short, long) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("busybox:1.36", "docker.io/library/busybox:1.36"),
            ("docker.io/busybox", "docker.io/library/busybox:latest"),
            ("index.docker.io/library/busybox", "docker.io/library/busybox:latest"),
            ("me/app", "docker.io/me/app:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/app:v1", "localhost:5000/app:v1"),
            ("ghcr.io/o/r/deep__er:x", "ghcr.io/o/r/deep__er:x"),
            ("[::1]:5000/app", "[::1]:5000/app:latest"),
        ] {
            assert_eq!(full(short), long);
            assert_eq!(full(long), long, "completing twice changes nothing");
        }
        assert_eq!(full(&format!("a@{digest}")), format!("docker.io/library/a@{digest}"));
        assert_eq!(full(&format!("a:t@{digest}")), format!("docker.io/library/a:t@{digest}"));
        assert_eq!("docker.io/library/a:b".parse::<Reference>().unwrap().familiar(), "a:b");
        for unusual in [
            "docker.io/library/a/b:c",
            "docker.io/localhost/a:b",
            "docker.io/a.b/c:d",
            "docker.io/library/a.b/c:d",
        ] {
            let reference: Reference = unusual.parse().unwrap();
            assert_eq!(full(&reference.familiar()), unusual);
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for bad in [
            "",
            ":tag",
            "Busybox",
            "a/B",
            "a//b",
            "a b",
            "-a",
            "a_",
            "a..b",
            "a:",
            "a:-x",
            "a@sha256:1",
            "/a",
            "a/",
            "a.b./c",
            "exa_mple.com:x/a",
            "../etc",
            "http://x/y",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?}");
        }
        assert!(format!("a:{}", "x".repeat(129)).parse::<Reference>().is_err());
        assert!("x".repeat(256).parse::<Reference>().is_err());
    }
}
