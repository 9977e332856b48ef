//! `docs/linuxkit.md` names tests; those that it names exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use lcow_tests::named::{has_test, names};
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
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"));
    let text = fs::read_to_string(project.join("docs/linuxkit.md"))?;
    let (mut wrong, mut right) = (Vec::new(), 0);
    for name in names(&text) {
        let package = PACKAGES.iter().find_map(|(prefix, place)| Some((name.strip_prefix(prefix)?, place)));
        let known = match (package, name.strip_prefix("cli::")) {
            (Some((path, place)), _) => has_test(&project.join(place), path),
            (None, Some(trial)) if !trial.is_empty() => trials.contains(trial),
            _ => continue,
        };
        if known { right += 1 } else { wrong.push(name) }
    }
    if right < 40 {
        return Err(format!("the document names only {right} tests").into());
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("there is no {}", wrong.join(", ")).into()) }
}
