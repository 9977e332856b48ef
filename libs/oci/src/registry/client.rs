//! Where blocking callers meet the registry library, which is asynchronous. Nothing about images.
use std::error::Error;
use std::future::Future;
use std::sync::OnceLock;

use oci_client::Client;
use oci_client::client::{ClientConfig, ClientProtocol};
use tokio::runtime::{Builder, Runtime};

use super::proxy::Proxies;
use super::{Patience, RegistryError};

const USER_AGENT: &str = concat!("lcow/", env!("CARGO_PKG_VERSION"));

/// Connections, kept for further requests. They are made when first wanted.
#[derive(Default)]
pub(super) struct Clients {
    worker: OnceLock<Worker>,
    plain: OnceLock<Client>,
    tls: OnceLock<Client>,
    token: OnceLock<reqwest::Client>,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The library's clients hold passwords.
        f.write_str("Clients")
    }
}

impl Clients {
    /// Waits for `future`. For threads that may block, never within an asynchronous task.
    pub(super) fn wait<F: Future>(&self, future: F) -> Result<F::Output, RegistryError> {
        Ok(self.runtime()?.block_on(future))
    }

    /// Starts `future`, which goes on by itself.
    pub(super) fn start<F>(&self, future: F) -> Result<(), RegistryError>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.runtime()?.spawn(future);
        Ok(())
    }

    /// The library's client for registries with or without TLS.
    pub(super) fn registry(&self, tls: bool, patience: &Patience) -> Result<&Client, RegistryError> {
        let (cell, protocol) =
            if tls { (&self.tls, ClientProtocol::Https) } else { (&self.plain, ClientProtocol::Http) };
        get_or_make(cell, || {
            choose_cryptography();
            Client::try_from(config(protocol, patience)).map_err(setup)
        })
    }

    /// A client for what the library does not know about logging in. It carries secrets in requests' bodies, so it follows
    /// redirects within a server only.
    pub(super) fn token(&self, patience: &Patience) -> Result<&reqwest::Client, RegistryError> {
        get_or_make(&self.token, || {
            choose_cryptography();
            let builder = reqwest::Client::builder().user_agent(USER_AGENT).redirect(policy());
            let builder = builder.connect_timeout(patience.connect).read_timeout(patience.silence);
            Proxies::of_environment().apply(builder).and_then(reqwest::ClientBuilder::build).map_err(setup)
        })
    }

    fn runtime(&self) -> Result<&Runtime, RegistryError> {
        let worker = get_or_make(&self.worker, || {
            let mut builder = Builder::new_multi_thread();
            let built = builder.worker_threads(1).thread_name("registry").enable_all().build();
            built.map(|runtime| Worker(Some(runtime))).map_err(setup)
        })?;
        worker.0.as_ref().ok_or(RegistryError::Interrupted)
    }
}

/// Redirects within a server only.
fn policy() -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(|attempt| {
        let (next, last) = (attempt.url().origin(), attempt.previous().last().map(reqwest::Url::origin));
        if last == Some(next) && attempt.previous().len() < 5 { attempt.follow() } else { attempt.stop() }
    })
}

fn config(protocol: ClientProtocol, patience: &Patience) -> ClientConfig {
    let proxies = Proxies::of_environment();
    ClientConfig {
        protocol,
        platform_resolver: None,
        connect_timeout: Some(patience.connect),
        read_timeout: Some(patience.silence),
        user_agent: USER_AGENT,
        http_proxy: proxies.http,
        https_proxy: proxies.https,
        no_proxy: Some(proxies.none),
        ..ClientConfig::default()
    }
}

/// The library's cryptography is chosen for the whole process. Whoever has chosen before has chosen for us as well.
fn choose_cryptography() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn setup(source: impl Error + Send + Sync + 'static) -> RegistryError {
    RegistryError::Setup { source: Box::new(source) }
}

/// Like [`OnceLock::get_or_init`], for what may fail. Two threads may both make one; one of the two is kept.
fn get_or_make<T>(
    cell: &OnceLock<T>,
    make: impl FnOnce() -> Result<T, RegistryError>,
) -> Result<&T, RegistryError> {
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let value = make()?;
    Ok(cell.get_or_init(|| value))
}

/// A runtime whose end nobody waits for: its owner may be an asynchronous task, which must not block.
struct Worker(Option<Runtime>);

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
