//! Images from registries (OCI distribution-spec v1.1, "Pull"; Docker's Registry HTTP API v2 is the same for this).
//!
//! * [`Registry`]: a client with its mirrors, credentials and patience
//! * [`pull`]: an image from a registry into the store
//!
//! Requests are those of `oci-client`. What it leaves to its users is here: mirrors, docker's credentials, trying again,
//! going on where a connection broke, and callers that block.
mod attested;
mod blob;
mod client;
mod credentials;
mod endpoint;
mod error;
mod failure;
mod helper;
mod login;
mod manifest;
mod options;
mod proxy;
mod pull;
mod retry;
mod source;

pub use attested::package_lists_of;
pub use credentials::{Credentials, CredentialsError, DockerConfig};
pub use endpoint::{BadMirror, Mirror};
pub use error::{Broken, PullError, RegistryError};
pub use options::{Options, Patience};
pub use pull::{LayerSink, Observer, Pulled, Quiet, Request, pull};

use std::collections::HashSet;
use std::sync::Mutex;

use client::Clients;
use endpoint::Endpoint;

/// A client for any number of registries. It remembers tokens and connections. Whoever pulls with it blocks, so
/// asynchronous tasks do that where blocking is allowed.
#[derive(Debug)]
pub struct Registry {
    options: Options,
    clients: Clients,
    /// Where it was settled, and for which repository, what to show.
    known: Mutex<HashSet<(Endpoint, String)>>,
}

impl Registry {
    /// A client that has not talked to anybody yet.
    pub fn new(options: Options) -> Self {
        Self { options, clients: Clients::default(), known: Mutex::default() }
    }
}
