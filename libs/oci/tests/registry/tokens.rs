//! Token servers.
use lcow_oci::Compression;
use lcow_oci::build::{ImageBuilder, LayerBuilder};
use lcow_oci::registry::{DockerConfig, Options, PullError, Registry, RegistryError};

use crate::server::{Account, Fault, Server};
use crate::support::{Lab, hasty, reference};

/// Base64 of `me:pass:word`.
const BASIC: &str = "Basic bWU6cGFzczp3b3Jk";

struct Bench {
    lab: Lab,
    server: Server,
}

impl Bench {
    fn new(account: Account) -> Self {
        let lab = Lab::new();
        // One layer: what comes side by side would use up each other's tokens.
        let mut layer = LayerBuilder::new();
        layer.file("a", 0o644, b"a");
        let image = ImageBuilder::new(reference("app")).layer(layer, Compression::Gzip);
        image.write_layout(&lab.path("layout")).expect("layout");
        let server = Server::start(&lab.path("layout"));
        server.account(account);
        Self { lab, server }
    }

    fn pull(&self, account: &str) -> Result<(), PullError> {
        let text = format!(r#"{{"auths": {{"{}": {account}}}}}"#, self.server.address());
        let credentials: DockerConfig = serde_json::from_str(&text).expect("a configuration");
        let registry = Registry::new(Options { credentials, ..hasty() });
        self.lab.pull(&registry, &self.server.name()).map(drop)
    }
}

fn account(authorization: Option<&str>) -> Account {
    Account { authorization: authorization.map(str::to_owned), refresh_token: None, uses: 1000 }
}

#[test]
fn anybody_gets_a_token_and_uses_it_for_everything() {
    let bench = Bench::new(account(None));
    bench.pull("{}").expect("pulled");
    assert_eq!(bench.server.tokens(), 1);
    let shown = bench.server.asked("/v2/");
    assert!(
        shown
            .iter()
            .all(|asked| asked.authorization.as_deref().is_some_and(|text| text.starts_with("Bearer ")))
    );
}

#[test]
fn a_token_that_has_run_out_is_replaced() {
    let bench = Bench::new(Account { uses: 2, ..account(None) });
    bench.pull("{}").expect("pulled");
    assert!(bench.server.tokens() >= 2, "{}", bench.server.tokens());
}

#[test]
fn passwords_go_to_the_token_server_only() {
    let bench = Bench::new(account(Some(BASIC)));
    let error = bench.pull("{}").expect_err("nobody");
    assert!(matches!(error, PullError::Registry(RegistryError::Denied { .. })), "{error:?}");
    bench.pull(r#"{"username": "me", "password": "pass:word"}"#).expect("pulled");
    let shown = bench.server.asked("/v2/");
    assert!(!shown.is_empty() && shown.iter().all(|asked| asked.authorization.as_deref() != Some(BASIC)));
}

#[test]
fn an_identity_token_is_changed_for_another() {
    let bench = Bench::new(Account { refresh_token: Some("secret".into()), ..account(None) });
    bench.pull(r#"{"identitytoken": "wrong"}"#).expect_err("a wrong one");
    bench.pull(r#"{"identitytoken": "secret"}"#).expect("pulled");
}

#[test]
fn tokens_stay_where_they_belong_when_blobs_are_elsewhere() {
    let bench = Bench::new(account(None));
    let other = Server::start(&bench.lab.path("layout"));
    let elsewhere = || Fault::Elsewhere(other.address().to_owned());
    bench.server.faults("blobs", [elsewhere(), elsewhere(), elsewhere()]);
    other.faults("blobs", [Fault::Cut(20)]);
    bench.pull("{}").expect("pulled");
    let asked = other.asked("blobs");
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|asked| asked.authorization.is_none()));
    // Also there it goes on where the connection broke.
    assert_eq!(asked[1].range, Some(20));
}
