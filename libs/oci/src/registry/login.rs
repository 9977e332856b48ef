//! Logging in. The library changes names and passwords for tokens and shows them; identity tokens (docker's "token
//! endpoint") it does not know, nor does it ask which token server it sends secrets to.
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, RegistryOperation};
use reqwest::header::WWW_AUTHENTICATE;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;

use super::endpoint::Endpoint;
use super::failure::{broken, denied, message};
use super::source::Source;
use super::{Credentials, RegistryError};

/// Longest answer of a token server.
const MAX_TOKEN: usize = 1 << 20;
const CLIENT: &str = "lcow";

/// What a registry asks for (RFC 7235; Docker Registry v2 "token authentication").
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

impl Source<'_> {
    /// Has `client` know what to show to a registry, if that wants to be shown anything. Only then are credentials looked up.
    pub(super) fn login(
        &self,
        endpoint: &Endpoint,
        client: &Client,
        image: &oci_client::Reference,
    ) -> Result<(), RegistryError> {
        let Some(challenge) = self.challenge(endpoint)? else { return Ok(()) };
        let credentials = {
            let options = &self.registry.options;
            options.credentials.get(endpoint.account(), options.patience.helper)?
        };
        let auth = match (challenge, credentials) {
            (Challenge::Basic, Credentials::Basic { user, password }) => RegistryAuth::Basic(user, password),
            (Challenge::Basic, _) => {
                return Err(denied(endpoint, self.repository, "it wants a name and a password"));
            }
            (Challenge::Bearer { realm, service }, credentials) => {
                endpoint.trusts(&realm)?;
                match credentials {
                    Credentials::Anonymous => RegistryAuth::Anonymous,
                    Credentials::Basic { user, password } => RegistryAuth::Basic(user, password),
                    Credentials::IdentityToken(token) => {
                        RegistryAuth::Bearer(self.exchange(endpoint, &realm, service, token)?)
                    }
                }
            }
        };
        let shown = self.wait(client.auth(image, &auth, RegistryOperation::Pull))?;
        match shown {
            Ok(Some(token)) => check(endpoint, &token),
            Ok(None) => Ok(()),
            Err(OciDistributionError::RequestError(error)) => {
                Err(broken(&endpoint.base(), error.without_url()))
            }
            Err(OciDistributionError::AuthenticationFailure(said)) => {
                let said = message(said.as_bytes());
                let said = if said.is_empty() { "its token server refuses" } else { &said };
                Err(denied(endpoint, self.repository, said))
            }
            Err(_) => Err(cannot(endpoint, "its token server gives no token")),
        }
    }

    /// What a registry wants to know; nothing if it is open.
    fn challenge(&self, endpoint: &Endpoint) -> Result<Option<Challenge>, RegistryError> {
        let url = endpoint.base();
        let answer = self.send(&url, self.token_client()?.get(&url))?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(None);
        }
        let headers = answer.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenge = challenge(headers.filter_map(|value| value.to_str().ok()));
        challenge.map(Some).ok_or_else(|| cannot(endpoint, "it asks in a way that is not known"))
    }

    /// Changes an identity token for one that the registry takes.
    fn exchange(
        &self,
        endpoint: &Endpoint,
        realm: &str,
        service: Option<String>,
        token: String,
    ) -> Result<String, RegistryError> {
        let mut form = vec![
            ("grant_type", "refresh_token".to_owned()),
            ("refresh_token", token),
            ("client_id", CLIENT.to_owned()),
            ("scope", format!("repository:{}:pull", self.repository)),
        ];
        form.extend(service.map(|service| ("service", service)));
        let answer = self.send(realm, self.token_client()?.post(realm).form(&form))?;
        let status = answer.status();
        let bytes = self.body(realm, answer)?;
        match status.as_u16() {
            200 => {}
            400..=407 | 409..=424 => {
                let said = message(&bytes);
                let said = if said.is_empty() { "its token server refuses" } else { &said };
                return Err(denied(endpoint, self.repository, said));
            }
            status => {
                return Err(RegistryError::Status {
                    url: realm.to_owned(),
                    status,
                    message: message(&bytes),
                });
            }
        }
        let token: Token = serde_json::from_slice(&bytes).map_err(|source| RegistryError::Json {
            host: endpoint.host().to_owned(),
            object: "the token".to_owned(),
            source,
        })?;
        let token = if token.token.is_empty() { token.access_token } else { token.token };
        check(endpoint, &token).map(|()| token)
    }

    fn token_client(&self) -> Result<&reqwest::Client, RegistryError> {
        self.registry.clients.token(&self.registry.options.patience)
    }

    fn send(&self, url: &str, request: RequestBuilder) -> Result<Response, RegistryError> {
        self.wait(async { request.send().await })?.map_err(|error| broken(url, error.without_url()))
    }

    fn body(&self, url: &str, mut answer: Response) -> Result<Vec<u8>, RegistryError> {
        let mut bytes = Vec::new();
        while let Some(piece) =
            self.wait(answer.chunk())?.map_err(|error| broken(url, error.without_url()))?
        {
            bytes.extend_from_slice(&piece);
            if bytes.len() > MAX_TOKEN {
                let reason = "an answer that is too long for a token".to_owned();
                return Err(RegistryError::Lie { url: url.to_owned(), reason });
            }
        }
        Ok(bytes)
    }
}

/// It becomes a header.
fn check(endpoint: &Endpoint, token: &str) -> Result<(), RegistryError> {
    let usable = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if usable { Ok(()) } else { Err(cannot(endpoint, "its token server gives no token")) }
}

fn cannot(endpoint: &Endpoint, reason: &'static str) -> RegistryError {
    RegistryError::Challenge { host: endpoint.host().to_owned(), reason }
}

/// The first challenge that we can answer; tokens before passwords, as the library has it.
fn challenge<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let challenges = headers.filter_map(|header| http_auth::parse_challenges(header).ok()).flatten();
    let mut basic = None;
    for challenge in challenges {
        let param = |name: &str| {
            let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_unescaped()).filter(|value| !value.is_empty())
        };
        if challenge.scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = param("realm")
        {
            return Some(Challenge::Bearer { realm, service: param("service") });
        }
        if challenge.scheme.eq_ignore_ascii_case("basic") {
            basic = Some(Challenge::Basic);
        }
    }
    basic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_understood() {
        let of = |text: &str| challenge([text].into_iter());
        let bearer = Challenge::Bearer {
            realm: "https://auth.docker.io/token".into(),
            service: Some("registry.docker.io".into()),
        };
        let text = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        assert_eq!(of(text), Some(bearer));
        assert_eq!(of(r#"Basic realm="x""#), Some(Challenge::Basic));
        assert_eq!(of("Negotiate"), None);
        assert_eq!(of(r#"Bearer service="x""#), None);
    }
}
