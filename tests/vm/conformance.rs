//! `docs/conformance.md` names tests; those that it names exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use lcow_tests::named::{self, project};
use libtest_mimic::{Failed, Trial};

/// The test of the document against the names of all `trials`.
pub(crate) fn trial(trials: &[Trial]) -> Trial {
    let names: BTreeSet<String> = trials.iter().map(|trial| trial.name().to_owned()).collect();
    Trial::test("conformance::every_test_that_is_named_exists", move || check(&names))
}

fn check(tests: &BTreeSet<String>) -> Result<(), Failed> {
    let exists = |name: &str| {
        if let Some(wanted) = name.strip_prefix("vm::").filter(|wanted| !wanted.is_empty()) {
            let suite = format!("{wanted}::");
            return Some(tests.contains(wanted) || tests.iter().any(|test| test.starts_with(&suite)));
        }
        let module = name.strip_prefix("guest-agent ")?;
        Some(has_tests(&project().join("guest-agent/src").join(module.replace("::", "/"))))
    };
    Ok(named::check("docs/conformance.md", 1, exists)?)
}

/// Whether the module in the file or the directory of that name has tests.
fn has_tests(module: &Path) -> bool {
    let has = |file: &Path| fs::read_to_string(file).is_ok_and(|source| source.contains("mod tests"));
    let files = fs::read_dir(module).into_iter().flatten().flatten().map(|entry| entry.path());
    has(&module.with_extension("rs")) || files.into_iter().any(|file| has(&file))
}
