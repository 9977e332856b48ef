//! How much of a talkative source gets into the log.

use std::time::{Duration, Instant};

/// A bucket of tokens, one for each line.
#[derive(Debug)]
pub(crate) struct RateLimit {
    burst: u32,
    pause: Duration,
    tokens: u32,
    refilled: Instant,
    left_out: u64,
}

/// What may happen to a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is logged; so many were left out since the last one.
    Log(u64),
    /// It is left out.
    LeaveOut,
}

impl RateLimit {
    /// Lets `burst` lines through at once, and after that one for each `pause`.
    pub(crate) fn new(burst: u32, pause: Duration) -> Self {
        Self { burst, pause, tokens: burst, refilled: Instant::now(), left_out: 0 }
    }

    /// Decides about a line that is there now.
    pub(crate) fn admit(&mut self) -> Admission {
        self.admit_at(Instant::now())
    }

    fn admit_at(&mut self, now: Instant) -> Admission {
        let elapsed = now.saturating_duration_since(self.refilled);
        let earned = elapsed.as_nanos() / self.pause.as_nanos().max(1);
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.tokens = self.tokens.saturating_add(earned).min(self.burst);
            self.refilled = now;
        }
        if self.tokens == 0 {
            self.left_out += 1;
            return Admission::LeaveOut;
        }
        self.tokens -= 1;
        Admission::Log(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_for_each_pause() {
        let mut limit = RateLimit::new(2, Duration::from_secs(1));
        let start = limit.refilled;
        assert_eq!(limit.admit_at(start), Admission::Log(0));
        assert_eq!(limit.admit_at(start), Admission::Log(0));
        for _ in 0..5 {
            assert_eq!(limit.admit_at(start + Duration::from_millis(900)), Admission::LeaveOut);
        }
        assert_eq!(limit.admit_at(start + Duration::from_millis(1100)), Admission::Log(5));
        assert_eq!(limit.admit_at(start + Duration::from_millis(1200)), Admission::LeaveOut);
        // A long silence does not save up more than a burst.
        let later = start + Duration::from_hours(1);
        let passed = (0..10).filter(|_| limit.admit_at(later) != Admission::LeaveOut).count();
        assert_eq!(passed, 2);
    }
}
