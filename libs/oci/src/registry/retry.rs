//! When to try again, and after what pause.
use std::time::Duration;

use super::{Patience, RegistryError};

impl RegistryError {
    /// Whether it may do better next time.
    fn is_passing(&self) -> bool {
        match self {
            Self::Connection { source, .. } => source.passing,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
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

    /// The error and the pause after which to try again, if it is worth it; else the error. How long a registry wants to be
    /// left alone (`Retry-After`) the library does not tell.
    pub(super) fn after(&mut self, error: RegistryError) -> Result<(RegistryError, Duration), RegistryError> {
        self.failed += 1;
        if !error.is_passing() || self.failed >= self.patience.tries {
            return Err(error);
        }
        Ok((error, self.own_pause()))
    }

    /// Doubles each time; up to a half is added by chance, so that many clients do not come back at once.
    fn own_pause(&self) -> Duration {
        let doubled = self.patience.pause.saturating_mul(1 << (self.failed - 1).min(16));
        let chance = getrandom::u32().unwrap_or_default() % 512;
        let pause = doubled + doubled.saturating_mul(chance) / 1024;
        pause.min(self.patience.longest_pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> RegistryError {
        RegistryError::Status { url: String::new(), status, message: String::new() }
    }

    #[test]
    fn pauses_grow_and_tries_end() {
        let patience = Patience { tries: 4, pause: Duration::from_secs(1), ..Patience::default() };
        let mut tries = Tries::new(&patience);
        for least in [1, 2, 4] {
            let (_, pause) = tries.after(status(429)).expect("again");
            assert!(pause >= Duration::from_secs(least) && pause <= Duration::from_millis(least * 1500));
        }
        assert!(tries.after(status(500)).is_err());
        tries.progress();
        assert!(tries.after(status(500)).is_ok());
        assert!(tries.after(status(403)).is_err());
    }

    #[test]
    fn no_pause_is_longer_than_allowed() {
        let longest_pause = Duration::from_secs(3);
        let patience =
            Patience { tries: 9, pause: Duration::from_secs(1), longest_pause, ..Patience::default() };
        let mut tries = Tries::new(&patience);
        let pauses = (0..8).map(|_| tries.after(status(503)).expect("again").1);
        assert_eq!(pauses.max(), Some(longest_pause));
    }
}
