//! The size of core files (spec section 7.5, step 6).

use serde_json::{Value, json};

use super::list;
use crate::container::{Error, annotations};

/// Adds the limit if an annotation asks for it.
pub(in crate::container) fn core_limit(spec: &mut Value) -> Result<(), Error> {
    let Some(text) = annotations::text(spec, annotations::CORE_LIMIT) else { return Ok(()) };
    let parsed = text
        .split_once(';')
        .and_then(|(soft, hard)| Some((soft.trim().parse::<u64>().ok()?, hard.trim().parse::<u64>().ok()?)));
    let (soft, hard) =
        parsed.ok_or_else(|| Error::Invalid(format!("{text:?} is no limit for core files")))?;
    let limits = list(spec, &["process"], "rlimits")?;
    // The runtime refuses a limit that is given twice.
    limits.retain(|limit| limit["type"] != "RLIMIT_CORE");
    limits.push(json!({"type": "RLIMIT_CORE", "soft": soft, "hard": hard}));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_are_read() {
        let spec = |text: &str| json!({"annotations": {annotations::CORE_LIMIT: text}, "process": {}});
        let mut good = spec("0;1024");
        core_limit(&mut good).unwrap();
        assert_eq!(good["process"]["rlimits"], json!([{"type": "RLIMIT_CORE", "soft": 0, "hard": 1024}]));
        assert!(core_limit(&mut spec("7")).is_err());
        assert!(core_limit(&mut spec("a;b")).is_err());
    }
}
