//! Images from registries (OCI distribution-spec v1.1, "Pull"; Docker's Registry HTTP API v2 is the same for this).
//!
//! * [`Registry`]: a client with its mirrors, credentials and patience
//! * [`pull`]: an image from a registry into the store
//!
//! The client stands on an HTTP library rather than on a registry library: retrying as a registry asks for takes the
//! headers of its answers, and resuming a blob takes those of its ranges.
mod auth;
mod blob;
mod credentials;
mod endpoint;
mod error;
mod http;
mod manifest;
mod options;
mod pull;
mod retry;
mod source;

pub use credentials::{Credentials, CredentialsError, DockerConfig};
pub use endpoint::{BadMirror, Mirror};
pub use error::{PullError, RegistryError};
pub use options::{Options, Patience};
pub use pull::{LayerSink, Observer, Pulled, Quiet, Request, pull};

use http::Http;

/// A client for any number of registries. It remembers tokens and connections.
#[derive(Debug)]
pub struct Registry {
    options: Options,
    http: Http,
    tokens: auth::Tokens,
}

impl Registry {
    /// A client that has not talked to anybody yet.
    pub fn new(options: Options) -> Self {
        Self { http: Http::new(&options.patience), tokens: auth::Tokens::default(), options }
    }
}
