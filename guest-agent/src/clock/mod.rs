//! Time synchronisation (spec section 14.4): the system's clock follows the host's, which Hyper-V shows the guest as a
//! PTP clock. No other program is needed for that.

mod discipline;
mod ptp;

use std::time::Duration;

use discipline::Correction;

/// Time between two looks at the host's clock.
const INTERVAL: Duration = Duration::from_secs(8);

/// How often a clock is looked for, since its driver may still be loading, and the pause between.
const LOOKS: u32 = 10;
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Follows the host's clock for ever. Without such a clock that is said once, and the time is the kernel's own.
pub(crate) async fn follow() {
    let clock = match find().await {
        Ok(Some(clock)) => clock,
        Ok(None) => return tracing::warn!("there is no Hyper-V clock, so time is not synchronised"),
        Err(error) => {
            return tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the Hyper-V clock cannot be used, so time is not synchronised"
            );
        }
    };
    let mut reported = false;
    loop {
        match correct(&clock) {
            Ok(()) => reported = false,
            Err(error) if !reported => {
                tracing::warn!(error = &error as &dyn std::error::Error, "synchronising time");
                reported = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn find() -> Result<Option<ptp::Clock>, ptp::Error> {
    for _ in 1..LOOKS {
        if let Some(clock) = ptp::Clock::find()? {
            return Ok(Some(clock));
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    ptp::Clock::find()
}

fn correct(clock: &ptp::Clock) -> Result<(), ptp::Error> {
    let Some(offset) = clock.offset()? else { return Ok(()) };
    match discipline::correction(offset) {
        Correction::None => Ok(()),
        Correction::Slew { micros } => ptp::slew(micros),
        Correction::Step { nanos } => {
            ptp::step(nanos)?;
            tracing::info!(
                milliseconds = i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX),
                "time was stepped"
            );
            Ok(())
        }
    }
}
