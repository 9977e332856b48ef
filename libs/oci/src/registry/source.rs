//! One repository at a registry and its mirrors.
use std::future::Future;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oci_client::Client;
use oci_client::errors::OciDistributionError;
use tokio_util::sync::CancellationToken;

use super::endpoint::Endpoint;
use super::failure::explain;
use super::retry::Tries;
use super::{Observer, Registry, RegistryError};
use crate::Reference;

/// Where the parts of an image are asked for.
pub(super) struct Source<'a> {
    pub(super) registry: &'a Registry,
    pub(super) repository: &'a str,
    /// Mirrors first.
    endpoints: Vec<Place>,
    /// Cancelled when nothing more is wanted.
    pub(super) stopped: &'a CancellationToken,
    observer: &'a dyn Observer,
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

/// A registry that is asked for a part, and what the library needs for that.
pub(super) struct Asked<'a> {
    pub(super) client: &'a Client,
    pub(super) image: oci_client::Reference,
    /// For messages.
    pub(super) url: String,
}

/// Why a question has no answer.
pub(super) enum Failure {
    /// The library says.
    Library(OciDistributionError),
    /// We say.
    Ours(RegistryError),
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::Ours(error)
    }
}

impl From<OciDistributionError> for Failure {
    fn from(error: OciDistributionError) -> Self {
        Self::Library(error)
    }
}

impl<'a> Source<'a> {
    pub(super) fn new(
        registry: &'a Registry,
        reference: &'a Reference,
        stopped: &'a CancellationToken,
        observer: &'a dyn Observer,
    ) -> Self {
        let options = &registry.options;
        let mirrors = options.mirrors.iter().filter_map(|mirror| mirror.of(reference.registry()).cloned());
        let own = Endpoint::of_registry(reference.registry(), &options.plain_http);
        let endpoints =
            mirrors.chain([own]).map(|endpoint| Place { endpoint, dead: AtomicBool::new(false) }).collect();
        Self { registry, repository: reference.repository(), endpoints, stopped, observer }
    }

    /// The registry's own name, for messages.
    pub(super) fn host(&self) -> &str {
        self.endpoints.last().map_or("", |place| place.endpoint.host())
    }

    /// Waits for `future`, unless nothing more is wanted.
    pub(super) fn wait<F: Future>(&self, future: F) -> Result<F::Output, RegistryError> {
        let done = self.registry.clients.wait(self.stopped.run_until_cancelled(future))?;
        done.ok_or(RegistryError::Interrupted)
    }

    /// After a failure: waits until it is time to try again, and says so.
    pub(super) fn pause(&self, error: &RegistryError, pause: Duration) -> Result<(), RegistryError> {
        self.observer.retry(error, pause);
        self.registry.clients.wait(async {
            let asleep = tokio::time::sleep(pause);
            self.stopped.run_until_cancelled(asleep).await.ok_or(RegistryError::Interrupted)
        })?
    }

    /// Asks the mirrors and then the registry. If all fail the registry's own failure is reported, but one that answered
    /// rather than one that could not be reached.
    pub(super) fn ask<T>(
        &self,
        part: Part<'_>,
        question: impl Fn(&Asked<'_>) -> Result<T, Failure>,
    ) -> Result<T, RegistryError> {
        let mut failure = None;
        let last = self.endpoints.len() - 1;
        for (at, place) in self.endpoints.iter().enumerate() {
            if at != last && place.dead.load(Ordering::Relaxed) {
                continue;
            }
            match self.ask_one(&place.endpoint, part, &question) {
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
        question: &impl Fn(&Asked<'_>) -> Result<T, Failure>,
    ) -> Result<T, RegistryError> {
        let options = &self.registry.options;
        let asked = Asked {
            client: self.registry.clients.registry(endpoint.has_tls(), &options.patience)?,
            image: endpoint.image(self.repository, part.name),
            url: endpoint.url(self.repository, part.kind, part.name),
        };
        let mut tries = Tries::new(&options.patience);
        loop {
            match self.answer(endpoint, part, &asked, question) {
                Ok(value) => return Ok(value),
                Err(error) => {
                    let (error, pause) = tries.after(error)?;
                    self.pause(&error, pause)?;
                }
            }
        }
    }

    /// One question; two if the registry does not know us any more.
    fn answer<T>(
        &self,
        endpoint: &Endpoint,
        part: Part<'_>,
        asked: &Asked<'_>,
        question: &impl Fn(&Asked<'_>) -> Result<T, Failure>,
    ) -> Result<T, RegistryError> {
        self.login_once(endpoint, asked)?;
        let mut answer = question(asked);
        if matches!(answer, Err(Failure::Library(OciDistributionError::UnauthorizedError { .. }))) {
            self.login(endpoint, asked.client, &asked.image)?;
            answer = question(asked);
        }
        answer.map_err(|failure| explain(failure, endpoint, self.repository, part))
    }

    fn login_once(&self, endpoint: &Endpoint, asked: &Asked<'_>) -> Result<(), RegistryError> {
        let key = (endpoint.clone(), self.repository.to_owned());
        let known = || self.registry.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(&key) {
            return Ok(());
        }
        self.login(endpoint, asked.client, &asked.image)?;
        known().insert(key);
        Ok(())
    }
}
