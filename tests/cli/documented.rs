//! `docs/linuxkit.md` names tests; those that it names exist.

use std::collections::BTreeSet;

use lcow_tests::named::{self, has_test, project};
use libtest_mimic::{Failed, Trial};

/// Packages whose tests may be named, and where they are.
const PACKAGES: &[(&str, &str)] =
    &[("uvm-image::", "uvm-image"), ("lcow-oci::", "libs/oci"), ("lcow-disk::", "libs/disk")];

const NAME: &str = "documented::every_test_that_is_named_exists";

/// The test of the document against the names of all `trials`.
pub(crate) fn trial(trials: &[Trial]) -> Trial {
    let names = trials.iter().map(|trial| trial.name().to_owned()).chain([NAME.to_owned()]).collect();
    Trial::test(NAME, move || check(&names))
}

fn check(trials: &BTreeSet<String>) -> Result<(), Failed> {
    let exists = |name: &str| {
        let package = PACKAGES.iter().find_map(|(prefix, place)| Some((name.strip_prefix(prefix)?, place)));
        if let Some((path, place)) = package {
            return Some(has_test(&project().join(place), path));
        }
        let trial = name.strip_prefix("cli::").filter(|trial| !trial.is_empty())?;
        Some(trials.contains(trial))
    };
    Ok(named::check("docs/linuxkit.md", 40, exists)?)
}
