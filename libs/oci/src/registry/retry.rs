//! When to try again, and after what pause.
use std::error::Error;
use std::io;
use std::time::Duration;

use super::{Patience, RegistryError};

/// What a failure calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cure {
    /// It would fail again.
    None,
    /// A pause of our choice.
    Pause,
    /// The pause the registry asks for.
    Asked(Duration),
}

impl RegistryError {
    pub(super) fn cure(&self) -> Cure {
        match self {
            Self::Connection { source, .. } if is_passing(source) => Cure::Pause,
            Self::Status { status: 408 | 425 | 429 | 500 | 502 | 503 | 504, retry_after, .. } => {
                retry_after.map_or(Cure::Pause, Cure::Asked)
            }
            _ => Cure::None,
        }
    }
}

/// Whether a connection may do better next time. A name that nobody knows, a port where nobody listens and a certificate that
/// is not trusted stay what they are, and people want to know at once.
fn is_passing(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => false,
        ureq::Error::Io(error) => {
            !error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>)
        }
        ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed | ureq::Error::Protocol(_) => true,
        _ => false,
    }
}

/// Tries that are left for one purpose.
#[derive(Debug)]
pub(super) struct Tries<'a> {
    patience: &'a Patience,
    failed: u32,
}

impl<'a> Tries<'a> {
    pub(super) fn new(patience: &'a Patience) -> Self {
        Self { patience, failed: 0 }
    }

    /// The next try is a first one again.
    pub(super) fn progress(&mut self) {
        self.failed = 0;
    }

    /// The pause after which to try again, if it is worth it; else the error.
    pub(super) fn after(&mut self, error: RegistryError) -> Result<Duration, RegistryError> {
        self.failed += 1;
        let cure = error.cure();
        if cure == Cure::None || self.failed >= self.patience.tries {
            return Err(error);
        }
        match cure {
            Cure::Asked(pause) if pause > self.patience.longest_pause => Err(error),
            Cure::Asked(pause) => Ok(pause),
            _ => Ok(self.own_pause()),
        }
    }

    /// Doubles each time; up to a half is added by chance, so that many clients do not come back at once.
    fn own_pause(&self) -> Duration {
        let doubled = self.patience.pause.saturating_mul(1 << (self.failed - 1).min(16));
        let chance = getrandom::u32().unwrap_or_default() % 512;
        let pause = doubled + doubled.saturating_mul(chance) / 1024;
        pause.min(self.patience.longest_pause)
    }
}

/// `Retry-After` in seconds (RFC 9110, section 10.2.3). As a date it is not understood, and a pause of our choice is made.
pub(super) fn retry_after(header: Option<&str>) -> Option<Duration> {
    header?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, seconds: Option<u64>) -> RegistryError {
        let retry_after = seconds.map(Duration::from_secs);
        RegistryError::Status { url: String::new(), status, message: String::new(), retry_after }
    }

    #[test]
    fn pauses_grow_and_tries_end() {
        let patience = Patience { tries: 4, pause: Duration::from_secs(1), ..Patience::default() };
        let mut tries = Tries::new(&patience);
        for least in [1, 2, 4] {
            let pause = tries.after(status(500, None)).expect("again");
            assert!(pause >= Duration::from_secs(least) && pause <= Duration::from_millis(least * 1500));
        }
        assert!(tries.after(status(500, None)).is_err());
        tries.progress();
        assert!(tries.after(status(500, None)).is_ok());
    }

    #[test]
    fn a_registry_may_ask_for_a_pause_but_not_for_any() {
        let patience = Patience::default();
        let mut tries = Tries::new(&patience);
        assert_eq!(tries.after(status(429, Some(7))).expect("again"), Duration::from_secs(7));
        assert!(tries.after(status(429, Some(3600))).is_err());
        assert!(tries.after(status(403, Some(1))).is_err());
        assert_eq!(retry_after(Some(" 3 ")), Some(Duration::from_secs(3)));
        assert_eq!(retry_after(Some("Wed, 21 Oct 2015 07:28:00 GMT")), None);
    }
}
