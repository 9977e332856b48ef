//! One repository at a registry and its mirrors.
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ureq::http::StatusCode;
use ureq::http::header::RETRY_AFTER;

use super::auth::{denied, message};
use super::endpoint::Endpoint;
use super::http::Answer;
use super::retry::{Tries, retry_after};
use super::{Registry, RegistryError};
use crate::Reference;

/// Where the parts of an image are asked for.
pub(super) struct Source<'a> {
    pub(super) registry: &'a Registry,
    pub(super) repository: &'a str,
    /// Mirrors first.
    endpoints: Vec<Place>,
    /// Set when nothing more is wanted.
    pub(super) stopped: &'a AtomicBool,
}

struct Place {
    endpoint: Endpoint,
    /// It does not answer; there is no point in waiting for it with every part.
    dead: AtomicBool,
}

/// Part of an image: `manifests` or `blobs`, and a tag or digest.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) kind: &'static str,
    pub(super) name: &'a str,
}

impl<'a> Source<'a> {
    pub(super) fn new(registry: &'a Registry, reference: &'a Reference, stopped: &'a AtomicBool) -> Self {
        let options = &registry.options;
        let mirrors = options.mirrors.iter().filter_map(|mirror| mirror.of(reference.registry()).cloned());
        let own = Endpoint::of_registry(reference.registry(), &options.plain_http);
        let endpoints =
            mirrors.chain([own]).map(|endpoint| Place { endpoint, dead: AtomicBool::new(false) }).collect();
        Self { registry, repository: reference.repository(), endpoints, stopped }
    }

    /// The registry's own name, for messages.
    pub(super) fn host(&self) -> &str {
        self.endpoints.last().map_or("", |place| place.endpoint.host())
    }

    /// Asks the mirrors and then the registry; `accept` judges an answer of status 2xx and gives what is made of it. If all
    /// fail the registry's own failure is reported, but one that answered rather than one that could not be reached.
    pub(super) fn ask<T>(
        &self,
        part: Part<'_>,
        headers: &[(&str, String)],
        accept: impl Fn(&str, Answer) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let mut failure = None;
        let last = self.endpoints.len() - 1;
        for (at, place) in self.endpoints.iter().enumerate() {
            if at != last && place.dead.load(Ordering::Relaxed) {
                continue;
            }
            match self.ask_one(&place.endpoint, part, headers, &accept) {
                Ok(value) => return Ok(value),
                Err(error @ RegistryError::Interrupted) => return Err(error),
                Err(error) => {
                    if matches!(error, RegistryError::Connection { .. }) {
                        place.dead.store(true, Ordering::Relaxed);
                        if failure.is_some() {
                            continue;
                        }
                    }
                    failure = Some(error);
                }
            }
        }
        Err(failure.unwrap_or(RegistryError::Interrupted))
    }

    fn ask_one<T>(
        &self,
        endpoint: &Endpoint,
        part: Part<'_>,
        headers: &[(&str, String)],
        accept: &impl Fn(&str, Answer) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let mut tries = Tries::new(&self.registry.options.patience);
        let url = endpoint.url(self.repository, part.kind, part.name);
        loop {
            if self.stopped.load(Ordering::Relaxed) {
                return Err(RegistryError::Interrupted);
            }
            let answered = self.answer(endpoint, part, &url, headers).and_then(|answer| accept(&url, answer));
            match answered {
                Ok(value) => return Ok(value),
                Err(error) => thread::sleep(tries.after(error)?),
            }
        }
    }

    /// One request; two if the registry wants to know who asks.
    fn answer(
        &self,
        endpoint: &Endpoint,
        part: Part<'_>,
        url: &str,
        headers: &[(&str, String)],
    ) -> Result<Answer, RegistryError> {
        let answer = self.send(endpoint, url, headers)?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return self.judge(endpoint, part, url, answer);
        }
        self.registry.authorize(endpoint, self.repository, &answer)?;
        let answer = self.send(endpoint, url, headers)?;
        self.judge(endpoint, part, url, answer)
    }

    fn send(
        &self,
        endpoint: &Endpoint,
        url: &str,
        headers: &[(&str, String)],
    ) -> Result<Answer, RegistryError> {
        let mut headers = headers.to_vec();
        if let Some(token) = self.registry.tokens.get(endpoint, self.repository) {
            headers.push(("authorization", token));
        }
        let sent = self.registry.http.get(url, endpoint.is_local(), &headers, &[]);
        sent.map_err(|source| RegistryError::Connection { url: url.to_owned(), source })
    }

    fn judge(
        &self,
        endpoint: &Endpoint,
        part: Part<'_>,
        url: &str,
        answer: Answer,
    ) -> Result<Answer, RegistryError> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let retry_after = retry_after(answer.header(RETRY_AFTER));
        let message = message(&answer.message());
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => denied(endpoint, self.repository, &message),
            StatusCode::NOT_FOUND => RegistryError::NotFound {
                host: endpoint.host().to_owned(),
                what: if part.name.starts_with("sha256:") {
                    format!("{}@{}", self.repository, part.name)
                } else {
                    format!("{}:{}", self.repository, part.name)
                },
                message,
            },
            _ => RegistryError::Status { url: url.to_owned(), status: status.as_u16(), message, retry_after },
        })
    }
}
