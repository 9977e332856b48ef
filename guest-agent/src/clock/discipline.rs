//! What is done about an offset: the rules that hosts' documentation gives for `chronyd`, steps from 0.1 s on.

/// From here on the clock jumps instead of running faster or slower.
const STEP: i128 = 100_000_000;
/// What is not worth a correction: less than a look at the clock costs.
const NOISE: i128 = 10_000;

/// A correction of the system's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Correction {
    /// It is right.
    None,
    /// It runs a little faster or slower until it has caught up.
    Slew {
        /// How far it is behind.
        micros: i64,
    },
    /// It is set.
    Step {
        /// How far it is behind.
        nanos: i128,
    },
}

/// The correction for a clock that is `offset` nanoseconds behind.
pub(super) fn correction(offset: i128) -> Correction {
    match offset.abs() {
        0..=NOISE => Correction::None,
        STEP.. => Correction::Step { nanos: offset },
        _ => Correction::Slew { micros: i64::try_from(offset / 1000).unwrap_or_default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_offsets_are_slewed_and_large_ones_stepped() {
        assert_eq!(correction(9_000), Correction::None);
        assert_eq!(correction(-2_000_000), Correction::Slew { micros: -2_000 });
        assert_eq!(correction(99_999_999), Correction::Slew { micros: 99_999 });
        assert_eq!(correction(-100_000_000), Correction::Step { nanos: -100_000_000 });
        let year = 31_536_000_000_000_000;
        assert_eq!(correction(year), Correction::Step { nanos: year });
    }
}
