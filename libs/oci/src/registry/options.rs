use std::time::Duration;

use super::{DockerConfig, Mirror};

/// Whom a client asks, and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Asked before the registry itself, in this order.
    pub mirrors: Vec<Mirror>,
    /// Registries, as `HOST` or `HOST:PORT`, that may be asked without TLS. Those on this machine always may.
    pub plain_http: Vec<String>,
    /// Who we are, for each registry.
    pub credentials: DockerConfig,
    /// How long to wait and how often to try.
    pub patience: Patience,
}

/// How long to wait and how often to try.
#[derive(Clone, Debug)]
pub struct Patience {
    /// Tries for each request, and tries without progress for each blob; at least 1.
    pub tries: u32,
    /// Pause before the second try; it doubles with every further one.
    pub pause: Duration,
    /// Longest pause.
    pub longest_pause: Duration,
    /// Time for a connection to be made.
    pub connect: Duration,
    /// Time in which at least some bytes must come.
    pub silence: Duration,
    /// Time for a credential helper to answer. It may have to ask for a password.
    pub helper: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            tries: 5,
            pause: Duration::from_millis(500),
            longest_pause: Duration::from_mins(1),
            connect: Duration::from_secs(15),
            silence: Duration::from_secs(30),
            helper: Duration::from_mins(2),
        }
    }
}
