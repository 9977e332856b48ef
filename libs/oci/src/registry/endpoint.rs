use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

use super::RegistryError;

/// Where Docker's own registry really is.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// Another place for the images of a registry, or of all of them: `[REGISTRY=]URL`.
///
/// ```
/// let mirror: lcow_oci::registry::Mirror = "docker.io=http://127.0.0.1:5000".parse().unwrap();
/// assert_eq!(mirror.to_string(), "docker.io=http://127.0.0.1:5000");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    registry: Option<String>,
    endpoint: Endpoint,
}

/// Text that names no mirror.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no mirror: expected [REGISTRY=]http[s]://HOST[:PORT][/PATH]")]
pub struct BadMirror(String);

impl Mirror {
    /// The endpoint, if it stands for `registry`.
    pub(super) fn of(&self, registry: &str) -> Option<&Endpoint> {
        self.registry.as_deref().is_none_or(|own| own == registry).then_some(&self.endpoint)
    }

    /// Several of them, separated by commas or white space, as in an environment variable.
    pub fn list(text: &str) -> Result<Vec<Self>, BadMirror> {
        let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
        words.map(str::parse).collect()
    }
}

impl FromStr for Mirror {
    type Err = BadMirror;

    fn from_str(text: &str) -> Result<Self, BadMirror> {
        let bad = || BadMirror(text.to_owned());
        let (registry, url) = match text.split_once('=') {
            Some((registry, url)) if !registry.contains('/') => (Some(registry.to_owned()), url),
            _ => (None, text),
        };
        if registry.as_ref().is_some_and(String::is_empty) {
            return Err(bad());
        }
        let (tls, rest) = url
            .strip_prefix("https://")
            .map(|rest| (true, rest))
            .or_else(|| Some((false, url.strip_prefix("http://")?)))
            .ok_or_else(bad)?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_end_matches('/');
        // Signs that end a path or a host would make another address of it, and credentials belong in docker's file.
        let strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '@' | '\\');
        if host.is_empty() || rest.contains(strange) || Url::parse(&format!("http://{host}/")).is_err() {
            return Err(bad());
        }
        let prefix = if path.is_empty() { String::new() } else { format!("/{path}") };
        let registry =
            registry.map(|name| if name == "index.docker.io" { DOCKER_HUB.0.into() } else { name });
        Ok(Self { registry, endpoint: Endpoint { tls, host: host.to_owned(), prefix } })
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(registry) = &self.registry {
            write!(f, "{registry}=")?;
        }
        write!(f, "{}{}", self.endpoint, self.endpoint.prefix)
    }
}

/// A server with a registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Endpoint {
    tls: bool,
    host: String,
    /// Path before `/v2`.
    prefix: String,
}

impl Endpoint {
    /// The server of `registry` itself.
    pub(super) fn of_registry(registry: &str, plain_http: &[String]) -> Self {
        let host = if registry == DOCKER_HUB.0 { DOCKER_HUB.1 } else { registry };
        let plain = is_local(host) || plain_http.iter().any(|plain| plain == registry);
        Self { tls: !plain, host: host.to_owned(), prefix: String::new() }
    }

    /// Host and port.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The name under which docker's file has its credentials.
    pub(super) fn account(&self) -> &str {
        if self.host == DOCKER_HUB.1 { DOCKER_HUB.0 } else { &self.host }
    }

    pub(super) fn has_tls(&self) -> bool {
        self.tls
    }

    /// Where a registry says whether it wants to know who asks.
    pub(super) fn base(&self) -> String {
        format!("{self}{}/v2/", self.prefix)
    }

    /// An image here as the library wants it named; what stands before the repository is nothing but the start of a URL to it.
    pub(super) fn image(&self, repository: &str, name: &str) -> oci_client::Reference {
        let registry = format!("{}{}", self.host, self.prefix);
        let make = if name.contains(':') {
            oci_client::Reference::with_digest
        } else {
            oci_client::Reference::with_tag
        };
        make(registry, repository.to_owned(), name.to_owned())
    }

    /// `what` is `manifests` or `blobs`.
    pub(super) fn url(&self, repository: &str, what: &str, which: &str) -> String {
        format!("{self}{}/v2/{repository}/{what}/{which}", self.prefix)
    }

    /// Whether secrets for this endpoint may be sent to the token server at `realm`.
    pub(super) fn trusts(&self, realm: &str) -> Result<(), RegistryError> {
        let refuse = |reason| RegistryError::Challenge { host: self.host.clone(), reason };
        let url = Url::parse(realm).map_err(|_| refuse("it names a token server that is no URL"))?;
        match url.scheme() {
            "https" => Ok(()),
            // Whoever listens to the registry without TLS may listen here.
            "http" if !self.tls || url.host_str().is_some_and(is_local) => Ok(()),
            _ => Err(refuse("it names a token server without TLS")),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.host)
    }
}

/// Whether a host, perhaps with a port, is this machine.
fn is_local(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let address = rest.split(']').next().unwrap_or_default();
        return address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    }
    let name = host.split(':').next().unwrap_or_default();
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(registry: &str) -> String {
        Endpoint::of_registry(registry, &["plain.example:81".into()]).url("a/b", "manifests", "t")
    }

    #[test]
    fn only_this_machine_and_named_registries_are_asked_without_tls() {
        assert_eq!(url("docker.io"), "https://registry-1.docker.io/v2/a/b/manifests/t");
        assert_eq!(url("ghcr.io"), "https://ghcr.io/v2/a/b/manifests/t");
        for local in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.1.2.3", "[::1]:5000"] {
            assert_eq!(url(local), format!("http://{local}/v2/a/b/manifests/t"));
        }
        assert_eq!(url("plain.example:81"), "http://plain.example:81/v2/a/b/manifests/t");
        for far in ["plain.example", "localhost.example", "127.0.0.1.example", "10.0.0.1:5000"] {
            assert!(url(far).starts_with("https://"), "{far}");
        }
    }

    #[test]
    fn mirrors_stand_for_one_registry_or_for_all() {
        let of = |mirror: &str, registry: &str| {
            let mirror: Mirror = mirror.parse().expect(mirror);
            mirror.of(registry).map(|endpoint| endpoint.url("a", "blobs", "d"))
        };
        assert_eq!(of("http://m:1", "ghcr.io").as_deref(), Some("http://m:1/v2/a/blobs/d"));
        assert_eq!(of("docker.io=https://m/x/", "docker.io").as_deref(), Some("https://m/x/v2/a/blobs/d"));
        assert_eq!(of("docker.io=https://m", "ghcr.io"), None);
        for bad in
            ["", "m:5000", "ftp://m", "http://", "=http://m", "http://u:p@m", "http://m/?x", "http://m /"]
        {
            assert!(bad.parse::<Mirror>().is_err(), "{bad:?}");
        }
        assert_eq!(Mirror::list("http://a, x=http://b").expect("two").len(), 2);
    }

    #[test]
    fn secrets_go_to_token_servers_with_tls_only() {
        let far = Endpoint::of_registry("ghcr.io", &[]);
        assert!(far.trusts("https://auth.example/token").is_ok());
        assert!(far.trusts("http://auth.example/token").is_err());
        assert!(far.trusts("/token").is_err());
        let near = Endpoint::of_registry("localhost:5000", &[]);
        assert!(near.trusts("http://localhost:5001/token").is_ok());
        assert!(far.trusts("http://127.0.0.1:5001/token").is_ok());
    }
}
