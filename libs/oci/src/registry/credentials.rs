//! Credentials as docker keeps them (docker CLI, "Credential stores").
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::helper::ask;

/// Docker's own registry has its account under the address of an API that is long gone.
const DOCKER_HUB: (&str, &str) = ("docker.io", "https://index.docker.io/v1/");

/// What we can show to a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    Anonymous,
    /// A name and a password.
    Basic {
        /// Who.
        user: String,
        /// The password, or a token in its place.
        password: String,
    },
    /// A token that a token server changes for another (`OAuth2`'s refresh token).
    IdentityToken(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Secrets must not reach any log.
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic",
            Self::IdentityToken(_) => "IdentityToken",
        })
    }
}

/// Why credentials cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file, or what a helper says, is not what it should be.
    #[error("{object} is not valid")]
    Json {
        /// File or program.
        object: String,
        /// Where it goes wrong.
        source: serde_json::Error,
    },
    /// An account of the file is not `user:password` in Base64.
    #[error("the account for {registry} in docker's configuration is damaged")]
    Account {
        /// Whose.
        registry: String,
    },
    /// A helper cannot be run.
    #[error("cannot run the credential helper {program}")]
    Run {
        /// Its name.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A helper failed.
    #[error("the credential helper {program} failed: {message}")]
    Helper {
        /// Its name.
        program: String,
        /// What it says.
        message: String,
    },
    /// A helper has not answered in time.
    #[error("the credential helper {program} has not answered within {} s and was ended", limit.as_secs_f32())]
    Slow {
        /// Its name.
        program: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// A helper's name would lead elsewhere.
    #[error("{0:?} in docker's configuration is no name of a credential helper")]
    HelperName(String),
}

/// Docker's configuration, as far as it is about credentials.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Account>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default)]
    creds_store: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
struct Account {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
}

impl std::fmt::Debug for DockerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DockerConfig").field("accounts", &self.auths.len()).finish_non_exhaustive()
    }
}

impl DockerConfig {
    /// The user's: `config.json` in `$DOCKER_CONFIG`, else in `.docker` in the home directory. Empty if there is none.
    pub fn of_user() -> Result<Self, CredentialsError> {
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
        let directory = variable("DOCKER_CONFIG").or_else(|| Some(variable(home)?.join(".docker")));
        directory.map_or_else(|| Ok(Self::default()), |directory| Self::read(&directory.join("config.json")))
    }

    /// The one in a file; empty if there is no such file.
    pub fn read(path: &Path) -> Result<Self, CredentialsError> {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| CredentialsError::Json { object: path.display().to_string(), source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(CredentialsError::Read { path: path.to_owned(), source }),
        }
    }

    /// Names of the registries that the file has accounts for. No helper is asked.
    pub fn accounts(&self) -> Vec<&str> {
        let usable = self.auths.iter().filter(|(name, account)| {
            account.credentials(name).is_ok_and(|credentials| credentials != Credentials::Anonymous)
        });
        usable.map(|(name, _)| host_of(name)).collect()
    }

    /// What there is for `registry`: from its own helper, from the general one, or from the file. A helper that has not
    /// answered after `limit` is ended.
    pub fn get(&self, registry: &str, limit: Duration) -> Result<Credentials, CredentialsError> {
        let key = if registry == DOCKER_HUB.0 { DOCKER_HUB.1 } else { registry };
        if let Some(helper) = self.cred_helpers.get(registry).or_else(|| self.cred_helpers.get(key)) {
            return ask(helper, key, limit);
        }
        if let Some(helper) = self.creds_store.as_ref().filter(|helper| !helper.is_empty()) {
            let found = ask(helper, key, limit)?;
            if found != Credentials::Anonymous {
                return Ok(found);
            }
        }
        let wanted = host_of(key);
        let found = self.auths.get(key).or_else(|| {
            self.auths.iter().find(|(name, _)| host_of(name) == wanted).map(|(_, account)| account)
        });
        found.map_or(Ok(Credentials::Anonymous), |account| account.credentials(registry))
    }
}

impl Account {
    fn credentials(&self, registry: &str) -> Result<Credentials, CredentialsError> {
        let damaged = || CredentialsError::Account { registry: registry.to_owned() };
        if !self.identitytoken.is_empty() {
            return Ok(Credentials::IdentityToken(self.identitytoken.clone()));
        }
        if self.auth.is_empty() {
            return Ok(basic_or_nothing(&self.username, &self.password));
        }
        let bytes = STANDARD.decode(self.auth.trim()).map_err(|_| damaged())?;
        let text = String::from_utf8(bytes).map_err(|_| damaged())?;
        let (user, password) = text.split_once(':').ok_or_else(damaged)?;
        Ok(basic_or_nothing(user, password.trim_end_matches('\0')))
    }
}

pub(super) fn basic_or_nothing(user: &str, password: &str) -> Credentials {
    if user.is_empty() && password.is_empty() {
        return Credentials::Anonymous;
    }
    Credentials::Basic { user: user.to_owned(), password: password.to_owned() }
}

/// `https://host/v1/` and `host` are the same account.
fn host_of(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> DockerConfig {
        serde_json::from_str(text).expect("a configuration")
    }

    fn get(config: &DockerConfig, registry: &str) -> Result<Credentials, CredentialsError> {
        config.get(registry, Duration::from_mins(1))
    }

    fn basic(user: &str, password: &str) -> Credentials {
        Credentials::Basic { user: user.into(), password: password.into() }
    }

    #[test]
    fn accounts_are_found_under_all_spellings() {
        // printf 'me:a:b' | base64
        let config = config(
            r#"{"auths": {"https://index.docker.io/v1/": {"auth": "bWU6YTpi"}, "https://reg.example:5000/v2/": {"username": "u", "password": "p"},
                "ghcr.io": {"identitytoken": "t"}, "empty.example": {}, "bad.example": {"auth": "!"}}, "HttpHeaders": {}}"#,
        );
        assert_eq!(get(&config, "docker.io").expect("hub"), basic("me", "a:b"));
        assert_eq!(get(&config, "reg.example:5000").expect("port"), basic("u", "p"));
        assert_eq!(get(&config, "reg.example").expect("no port"), Credentials::Anonymous);
        assert_eq!(get(&config, "ghcr.io").expect("token"), Credentials::IdentityToken("t".into()));
        assert_eq!(get(&config, "empty.example").expect("empty"), Credentials::Anonymous);
        assert!(get(&config, "bad.example").is_err());
        assert!(!format!("{:?}", get(&config, "docker.io")).contains("a:b"), "no secrets in logs");
    }

    #[test]
    fn a_helper_is_a_name_not_a_path() {
        let config = config(r#"{"credHelpers": {"x.example": "../evil"}}"#);
        assert!(matches!(get(&config, "x.example"), Err(CredentialsError::HelperName(_))));
    }
}
