//! Moments as images have them (RFC 3339).

use std::time::{SystemTime, UNIX_EPOCH};

use crate::cli::table::age;

/// Seconds since 1970 of `2024-05-01T12:00:00.123Z` or with an offset; `None` for anything else.
fn seconds(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if separators.iter().any(|&(at, separator)| text.as_bytes().get(at) != Some(&separator)) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let of_day = number(11..13)? * 3600 + number(14..16)? * 60 + number(17..19)?;
    let rest = text.get(19..)?.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let offset = match rest.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), .., _] if rest.len() == 6 => {
            let minutes = rest.get(1..3)?.parse::<i64>().ok()? * 60 + rest.get(4..6)?.parse::<i64>().ok()?;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    // Days since 1970 of a date; a year begins with March, so that the odd day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (month * 153 + 2) / 5
        + day
        - 719_469;
    Some(days * 86400 + of_day - offset * 60)
}

/// How long ago that was.
pub(super) fn ago(text: Option<&str>) -> String {
    let Some(then) = text.and_then(seconds) else { return "unknown".into() };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    age(now.saturating_sub(u64::try_from(then).unwrap_or_default()))
}

/// The present moment.
pub(super) fn now() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, rest) = (now / 86400 + 719_468, now % 86400);
    let era = days / 146_097;
    let day = days % 146_097;
    let year = (day - day / 1460 + day / 36524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + carry;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_understood() {
        // From `date -u -d … +%s`.
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2024-02-29T12:34:56.789012345Z", Some(1_709_210_096)),
            ("2024-03-01T00:30:00+02:00", Some(1_709_245_800)),
            ("1999-12-31T23:59:59-01:30", Some(946_690_199)),
            ("0001-01-01T00:00:00Z", Some(-62_135_596_800)),
            ("yesterday", None),
            ("2024-02-29", None),
            ("2024-02-29T12:34:56", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
        let now = seconds(&now()).expect("a moment");
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        assert!(clock.abs_diff(now.unsigned_abs()) < 60);
    }
}
