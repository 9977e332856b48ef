//! What the registry library reports, in our terms.
use std::error::Error;
use std::io;

use oci_client::errors::{OciDistributionError, OciEnvelope, OciErrorCode};
use serde::Deserialize;

use super::endpoint::Endpoint;
use super::error::Broken;
use super::source::Part;
use super::{RegistryError, source::Failure};

/// Longest text of a registry that is shown.
const MAX_MESSAGE: usize = 300;

/// Why a part of `repository` at `endpoint` did not come.
pub(super) fn explain(
    failure: Failure,
    endpoint: &Endpoint,
    repository: &str,
    part: Part<'_>,
) -> RegistryError {
    let url = endpoint.url(repository, part.kind, part.name);
    let error = match failure {
        Failure::Ours(error) => return error,
        Failure::Library(error) => error,
    };
    match error {
        OciDistributionError::RequestError(error) => broken(&url, error.without_url()),
        OciDistributionError::IoError(error) => broken(&url, error),
        OciDistributionError::UnauthorizedError { .. } => denied(endpoint, repository, ""),
        OciDistributionError::ServerError { code: 401 | 403, message: said, .. } => {
            denied(endpoint, repository, &message(said.as_bytes()))
        }
        OciDistributionError::ServerError { code: 404, message: said, .. } => {
            missing(endpoint, repository, part, message(said.as_bytes()))
        }
        OciDistributionError::ServerError { code, message: said, .. } => {
            RegistryError::Status { url, status: code, message: message(said.as_bytes()) }
        }
        OciDistributionError::RegistryError { envelope, .. } => {
            refused(url, endpoint, repository, part, &envelope)
        }
        error => RegistryError::Lie { url, reason: error.to_string() },
    }
}

/// The library keeps what a registry says, but not the status it says it with (distribution-spec, "Error Codes").
fn refused(
    url: String,
    endpoint: &Endpoint,
    repository: &str,
    part: Part<'_>,
    envelope: &OciEnvelope,
) -> RegistryError {
    let said = texts(envelope.errors.iter().map(|error| match &error.code {
        OciErrorCode::Other(code) if error.message.is_empty() => code.clone(),
        _ => error.message.clone(),
    }));
    match envelope.errors.first().map(|error| &error.code) {
        Some(OciErrorCode::Denied | OciErrorCode::Unauthorized) => denied(endpoint, repository, &said),
        Some(OciErrorCode::Toomanyrequests) => RegistryError::Status { url, status: 429, message: said },
        Some(
            OciErrorCode::BlobUnknown
            | OciErrorCode::ManifestBlobUnknown
            | OciErrorCode::ManifestUnknown
            | OciErrorCode::NameUnknown
            | OciErrorCode::NotFound,
        ) => missing(endpoint, repository, part, said),
        _ => RegistryError::Refused { url, message: said },
    }
}

pub(super) fn denied(endpoint: &Endpoint, repository: &str, message: &str) -> RegistryError {
    RegistryError::Denied {
        host: endpoint.host().to_owned(),
        repository: repository.to_owned(),
        account: endpoint.account().to_owned(),
        message: message.to_owned(),
    }
}

fn missing(endpoint: &Endpoint, repository: &str, part: Part<'_>, message: String) -> RegistryError {
    let sign = if part.name.starts_with("sha256:") { '@' } else { ':' };
    let what = format!("{repository}{sign}{}", part.name);
    RegistryError::NotFound { host: endpoint.host().to_owned(), what, message }
}

/// A connection that could not be made or did not last.
pub(super) fn broken(url: &str, error: impl Error + Send + Sync + 'static) -> RegistryError {
    RegistryError::Connection { url: url.to_owned(), source: Broken::new(&error) }
}

impl Broken {
    /// The innermost cause says most. A name that nobody knows, a port where nobody listens and a certificate that is not
    /// trusted stay what they are, and people want to know at once; the rest may do better next time.
    fn new(error: &(dyn Error + 'static)) -> Self {
        let mut passing = true;
        let mut innermost = error;
        let mut at = Some(error);
        while let Some(error) = at {
            innermost = error;
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if let Some(request) = error.downcast_ref::<reqwest::Error>() {
                passing &= !request.is_builder() && !request.is_redirect();
                passing &= !request.is_connect() || request.is_timeout() || lost(request);
            }
            passing &= !error.is::<rustls::Error>();
            at = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
        }
        Self { cause: one_line(&innermost.to_string()), passing }
    }
}

/// Whether a connection was there, but not for long.
fn lost(error: &reqwest::Error) -> bool {
    let mut at = error.source();
    while let Some(error) = at {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            use io::ErrorKind as Kind;
            return matches!(
                error.kind(),
                Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::UnexpectedEof
            );
        }
        at = error.source();
    }
    false
}

/// What a registry says about a failure, on one line and not too long.
pub(super) fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Failures {
        errors: Vec<Failure>,
    }
    #[derive(Deserialize)]
    struct Failure {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let Ok(failures) = serde_json::from_slice::<Failures>(body) else { return String::new() };
    texts(
        failures
            .errors
            .into_iter()
            .map(|failure| if failure.message.is_empty() { failure.code } else { failure.message }),
    )
}

fn texts(messages: impl Iterator<Item = String>) -> String {
    one_line(&messages.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; "))
}

/// Nothing that harms a terminal.
fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_cannot_harm_a_terminal() {
        let body = br#"{"errors":[{"code":"DENIED","message":"no\u001b[2J"},{"code":"X"}]}"#;
        assert_eq!(message(body), "no[2J; X");
        assert_eq!(message(b"<html>"), "");
    }

    #[test]
    fn refusals_are_told_apart_by_their_codes() {
        let endpoint = Endpoint::of_registry("r.example", &[]);
        let part = Part { kind: "manifests", name: "v1" };
        let of = |code: &str| {
            let text = format!(r#"{{"errors":[{{"code":"{code}","message":"m"}}]}}"#);
            let envelope = serde_json::from_str(&text).expect("an envelope");
            let error = OciDistributionError::RegistryError { envelope, url: String::new() };
            explain(Failure::Library(error), &endpoint, "a", part)
        };
        assert!(matches!(of("DENIED"), RegistryError::Denied { .. }));
        assert!(matches!(of("TOOMANYREQUESTS"), RegistryError::Status { status: 429, .. }));
        assert!(matches!(of("NAME_UNKNOWN"), RegistryError::NotFound { .. }));
        assert_eq!(of("ODD").to_string(), "https://r.example/v2/a/manifests/v1 is refused (m)");
    }
}
