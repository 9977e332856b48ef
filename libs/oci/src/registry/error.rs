use std::io;

use super::CredentialsError;
use crate::store::StoreError;
use crate::{Digest, Unfit};

/// How a connection failed.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct Broken {
    pub(super) cause: String,
    /// Whether another one may do better.
    pub(super) passing: bool,
}

/// Why a registry does not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It cannot be reached, or the connection broke.
    #[error("no answer to {url}")]
    Connection {
        /// What was asked.
        url: String,
        /// How it failed.
        source: Broken,
    },
    /// No connection can be made to anybody. The library reads the system's certificates before it knows whether it will need
    /// them.
    #[error(
        "cannot prepare connections to registries, which takes the system's certificates (package ca-certificates, \
         SSL_CERT_FILE)"
    )]
    Setup {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It says no.
    #[error("{url} answered {status}{}", detail(message))]
    Status {
        /// What was asked.
        url: String,
        /// HTTP status.
        status: u16,
        /// What it says; may be empty.
        message: String,
    },
    /// It says no in words of its own.
    #[error("{url} is refused{}", detail(message))]
    Refused {
        /// What was asked.
        url: String,
        /// What it says; may be empty.
        message: String,
    },
    /// It does not have it, or does not tell.
    #[error("{host} has no {what}{}", detail(message))]
    NotFound {
        /// The registry.
        host: String,
        /// Repository and tag or digest.
        what: String,
        /// What it says; may be empty.
        message: String,
    },
    /// It wants other credentials.
    #[error(
        "{host} denies access to {repository}{}; `docker login {account}` stores credentials that lcow uses",
        detail(message)
    )]
    Denied {
        /// The registry.
        host: String,
        /// What was asked.
        repository: String,
        /// Name of the account.
        account: String,
        /// What it says; may be empty.
        message: String,
    },
    /// What it asks credentials for cannot be answered.
    #[error("cannot log in to {host}: {reason}")]
    Challenge {
        /// The registry.
        host: String,
        /// Why.
        reason: &'static str,
    },
    /// A document is not what it should be.
    #[error("{object} from {host} is not a valid document")]
    Json {
        /// The registry.
        host: String,
        /// Which.
        object: String,
        /// Where it goes wrong.
        source: serde_json::Error,
    },
    /// An answer contradicts what was asked or announced.
    #[error("{url} gives something else than asked for: {reason}")]
    Lie {
        /// What was asked.
        url: String,
        /// How it is wrong.
        reason: String,
    },
    /// There are no credentials to be had.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Somebody else has failed meanwhile.
    #[error("interrupted")]
    Interrupted,
}

/// Why an image cannot be pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The image is there but of no use.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// A document of a kind that is no image.
    #[error("{name} has the media type {media_type:?}, which is not a container image")]
    MediaType {
        /// Name of the image.
        name: String,
        /// Its media type.
        media_type: String,
    },
    /// The store cannot take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What a layer was meant for failed.
    #[error("cannot use layer {digest}")]
    Sink {
        /// Digest of the stored blob.
        digest: Digest,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl PullError {
    /// Whether it only tells that another part has failed, whose error is the one to show.
    pub(super) fn is_echo(&self) -> bool {
        match self {
            Self::Registry(RegistryError::Interrupted) => true,
            Self::Store(StoreError::Source { source, .. }) => is_interrupted(source),
            _ => false,
        }
    }
}

fn is_interrupted(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<RegistryError>());
    matches!(inner, Some(RegistryError::Interrupted))
}

fn detail(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(" ({message})") }
}
