//! Requests and answers; nothing about registries.
use std::io::Read;
use std::sync::Arc;

use ureq::config::Config;
use ureq::http::{Response, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body, Proxy};

use super::Patience;

const USER_AGENT: &str = concat!("lcow/", env!("CARGO_PKG_VERSION"));
/// Longest body of a failure that is read for its message.
const MAX_MESSAGE: u64 = 64 << 10;

/// Connections, kept for further requests.
#[derive(Debug)]
pub(super) struct Http {
    /// For registries on this machine, which no proxy can reach.
    direct: Agent,
    proxied: Agent,
}

/// An answer of whatever status.
pub(super) struct Answer {
    response: Response<Body>,
}

impl Http {
    pub(super) fn new(patience: &Patience) -> Self {
        Self { direct: agent(patience, None), proxied: agent(patience, Proxy::try_from_env()) }
    }

    /// `GET` with headers.
    pub(super) fn get(
        &self,
        url: &str,
        local: bool,
        headers: &[(&str, String)],
        query: &[(&str, String)],
    ) -> Result<Answer, Box<ureq::Error>> {
        let agent = if local { &self.direct } else { &self.proxied };
        let request =
            headers.iter().fold(agent.get(url), |request, (name, value)| request.header(*name, value));
        let request = query.iter().fold(request, |request, (name, value)| request.query(*name, value));
        Ok(Answer { response: request.call()? })
    }

    /// `POST` of a form.
    pub(super) fn post(
        &self,
        url: &str,
        local: bool,
        form: &[(&str, String)],
    ) -> Result<Answer, Box<ureq::Error>> {
        let agent = if local { &self.direct } else { &self.proxied };
        let form = form.iter().map(|(name, value)| (*name, value.as_str()));
        Ok(Answer { response: agent.post(url).send_form(form)? })
    }
}

fn agent(patience: &Patience, proxy: Option<Proxy>) -> Agent {
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        // What the system trusts, so that a company's own authority works.
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    Config::builder()
        .http_status_as_error(false)
        .user_agent(USER_AGENT)
        // Blobs come as they are stored; nobody else may unpack them.
        .accept_encoding("identity")
        .tls_config(tls)
        .proxy(proxy)
        .timeout_connect(Some(patience.connect))
        .timeout_per_read(Some(patience.silence))
        .timeout_per_write(Some(patience.silence))
        .timeout_recv_response(Some(patience.silence))
        .build()
        .new_agent()
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// All headers of that name.
    pub(super) fn headers(&self, name: header::HeaderName) -> impl Iterator<Item = &str> {
        self.response.headers().get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// Length of the body as announced.
    pub(super) fn length(&self) -> Option<u64> {
        self.response.body().content_length()
    }

    /// The body, however long it is.
    pub(super) fn into_reader(self) -> Box<dyn Read + Send> {
        Box::new(self.response.into_body().into_with_config().limit(u64::MAX).reader())
    }

    /// The body, if it is at most `limit` long.
    pub(super) fn bytes(self, limit: u64) -> Result<Vec<u8>, Box<ureq::Error>> {
        Ok(self.response.into_body().into_with_config().limit(limit).read_to_vec()?)
    }

    /// The start of the body as text without control characters; nothing if it cannot be read.
    pub(super) fn message(self) -> Vec<u8> {
        let mut text = Vec::new();
        // Whatever came before the failure is better than nothing; the status says the rest.
        let _ = self.into_reader().take(MAX_MESSAGE).read_to_end(&mut text);
        text
    }
}
