//! Answers to a registry that wants to know who asks (RFC 7235; Docker Registry v2 "token authentication").
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use ureq::http::header::WWW_AUTHENTICATE;

use super::endpoint::Endpoint;
use super::http::Answer;
use super::retry::retry_after;
use super::{Credentials, Registry, RegistryError};

/// Longest answer of a token server.
const MAX_TOKEN: u64 = 1 << 20;
const CLIENT: &str = "lcow";

/// Values of `Authorization`, by endpoint and repository.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<(Endpoint, String), String>>);

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    pub(super) fn get(&self, endpoint: &Endpoint, repository: &str) -> Option<String> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(&(endpoint.clone(), repository.to_owned())).cloned()
    }

    fn set(&self, endpoint: &Endpoint, repository: &str, token: String) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert((endpoint.clone(), repository.to_owned()), token);
    }
}

/// What a registry asks for.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

impl Registry {
    /// After a 401: finds and remembers what to send in `Authorization`.
    pub(super) fn authorize(
        &self,
        endpoint: &Endpoint,
        repository: &str,
        refusal: &Answer,
    ) -> Result<(), RegistryError> {
        let challenge = challenge(refusal.headers(WWW_AUTHENTICATE))
            .ok_or_else(|| cannot(endpoint, "it asks in a way that is not known"))?;
        let credentials = self.options.credentials.get(endpoint.account())?;
        let token = match challenge {
            Challenge::Basic => match credentials {
                Credentials::Basic { user, password } => basic(&user, &password),
                _ => return Err(denied(endpoint, repository, "it wants a name and a password")),
            },
            Challenge::Bearer { realm, service, scope } => {
                let scope = scope.unwrap_or_else(|| format!("repository:{repository}:pull"));
                let fields = [("service", service), ("scope", Some(scope))];
                let fields = fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
                format!("Bearer {}", self.token(endpoint, repository, &realm, fields, credentials)?)
            }
        };
        self.tokens.set(endpoint, repository, token);
        Ok(())
    }

    fn token(
        &self,
        endpoint: &Endpoint,
        repository: &str,
        realm: &str,
        mut fields: Vec<(&'static str, String)>,
        credentials: Credentials,
    ) -> Result<String, RegistryError> {
        let local = endpoint.trusts(realm)?;
        let answer = match credentials {
            Credentials::Anonymous => self.http.get(realm, local, &[], &fields),
            Credentials::Basic { user, password } => {
                self.http.get(realm, local, &[("authorization", basic(&user, &password))], &fields)
            }
            Credentials::IdentityToken(token) => {
                fields.extend([("grant_type", "refresh_token".into()), ("refresh_token", token)]);
                fields.push(("client_id", CLIENT.into()));
                self.http.post(realm, local, &fields)
            }
        };
        let lost = |source| RegistryError::Connection { url: realm.to_owned(), source };
        let answer = answer.map_err(lost)?;
        match answer.status().as_u16() {
            200 => {}
            status @ (400..=407 | 409..=424) => {
                let said = message(&answer.message());
                let said = if said.is_empty() { format!("its token server answers {status}") } else { said };
                return Err(denied(endpoint, repository, &said));
            }
            status => {
                let retry_after = retry_after(answer.header(ureq::http::header::RETRY_AFTER));
                let message = message(&answer.message());
                return Err(RegistryError::Status { url: realm.to_owned(), status, message, retry_after });
            }
        }
        let bytes = answer.bytes(MAX_TOKEN).map_err(lost)?;
        let token: Token = serde_json::from_slice(&bytes).map_err(|source| RegistryError::Json {
            host: endpoint.host().to_owned(),
            object: "the token".to_owned(),
            source,
        })?;
        let token = if token.token.is_empty() { token.access_token } else { token.token };
        // It becomes a header.
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(cannot(endpoint, "its token server gives no token"));
        }
        Ok(token)
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn cannot(endpoint: &Endpoint, reason: &'static str) -> RegistryError {
    RegistryError::Challenge { host: endpoint.host().to_owned(), reason }
}

pub(super) fn denied(endpoint: &Endpoint, repository: &str, message: &str) -> RegistryError {
    RegistryError::Denied {
        host: endpoint.host().to_owned(),
        repository: repository.to_owned(),
        account: endpoint.account().to_owned(),
        message: message.to_owned(),
    }
}

/// The first challenge that we can answer.
fn challenge<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let challenges = headers.filter_map(|header| http_auth::parse_challenges(header).ok()).flatten();
    challenges.into_iter().find_map(|challenge| {
        let param = |name: &str| {
            let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_unescaped()).filter(|value| !value.is_empty())
        };
        if challenge.scheme.eq_ignore_ascii_case("bearer") {
            return Some(Challenge::Bearer {
                realm: param("realm")?,
                service: param("service"),
                scope: param("scope"),
            });
        }
        challenge.scheme.eq_ignore_ascii_case("basic").then_some(Challenge::Basic)
    })
}

/// What a registry says about a failure (distribution-spec, "Error Codes"), on one line and not too long.
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
    let texts = failures
        .errors
        .into_iter()
        .map(|failure| if failure.message.is_empty() { failure.code } else { failure.message });
    let text = texts.collect::<Vec<_>>().join("; ");
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_understood() {
        let of = |text: &str| challenge([text].into_iter());
        assert_eq!(
            of(
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#
            ),
            Some(Challenge::Bearer {
                realm: "https://auth.docker.io/token".into(),
                service: Some("registry.docker.io".into()),
                scope: Some("repository:a/b:pull,push".into()),
            })
        );
        assert_eq!(of(r#"Basic realm="x""#), Some(Challenge::Basic));
        assert_eq!(of("Negotiate"), None);
        assert_eq!(of(r#"Bearer service="x""#), None);
    }

    #[test]
    fn messages_cannot_harm_a_terminal() {
        let body = br#"{"errors":[{"code":"DENIED","message":"no\u001b[2J"},{"code":"X"}]}"#;
        assert_eq!(message(body), "no[2J; X");
        assert_eq!(message(b"<html>"), "");
    }
}
