//! Documents that name tests: those that they name exist.

use std::fs;
use std::path::{Path, PathBuf};

/// The project's directory.
pub fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// Holds the names in `document`, a path in the project, against what there is. `exists` says of each whether there is such
/// a test, or nothing of a word that names none; fewer than `least` names are a mistake, too.
pub fn check(document: &str, least: usize, exists: impl Fn(&str) -> Option<bool>) -> Result<(), String> {
    let text =
        fs::read_to_string(project().join(document)).map_err(|error| format!("{document}: {error}"))?;
    let (mut wrong, mut right) = (Vec::new(), 0);
    for name in names(&text) {
        match exists(&name) {
            Some(true) => right += 1,
            Some(false) => wrong.push(name),
            None => {}
        }
    }
    if !wrong.is_empty() {
        return Err(format!("{document}: there is no {}", wrong.join(", ")));
    }
    if right < least {
        return Err(format!("{document} names only {right} tests"));
    }
    Ok(())
}

/// What stands between backquotes in `document`, with `a::{b, c::d}` as `a::b` and `a::c::d`.
fn names(document: &str) -> Vec<String> {
    document.split('`').skip(1).step_by(2).flat_map(expand).collect()
}

fn expand(text: &str) -> Vec<String> {
    match text.split_once('{') {
        None => vec![text.to_owned()],
        Some((prefix, rest)) => {
            rest.trim_end_matches('}').split(',').map(|name| format!("{prefix}{}", name.trim())).collect()
        }
    }
}

/// Whether the package in the directory `package` has the test `path`: `MODULE::NAME` of a unit test, without a `tests`
/// that is no file of its own; `tests::PROGRAM::NAME` of others.
pub fn has_test(package: &Path, path: &str) -> bool {
    let Some((module, name)) = path.rsplit_once("::") else { return false };
    let file = match module.strip_prefix("tests::") {
        Some(program) => package.join("tests").join(program.replace("::", "/")),
        None => package.join("src").join(module.replace("::", "/")),
    };
    let sources = [file.with_extension("rs"), file.join("mod.rs")];
    let text: String = sources.iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
    let wanted = format!("fn {name}()");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    // Other attributes may stand between.
    let is_marked = |at: usize| lines[at.saturating_sub(3)..at].contains(&"#[test]");
    lines.iter().enumerate().any(|(at, line)| line.starts_with(&wanted) && is_marked(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_missed() {
        assert_eq!(names("x `a::{b, c::d}` y `e` z"), ["a::b", "a::c::d", "e"]);
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(has_test(here, "named::names_are_found_and_missed"));
        assert!(!has_test(here, "named::names"), "no test");
        assert!(!has_test(here, "named::nothing") && !has_test(here, "nowhere::names"));
    }

    /// Names here are `FILE::TEST`: a function, or the name in a table of tests.
    #[test]
    fn every_test_that_the_table_of_disks_names_exists() {
        let exists = |name: &str| {
            let (file, test) = name.split_once("::").filter(|_| name.contains(".rs::"))?;
            let source = fs::read_to_string(project().join(file)).unwrap_or_default();
            let is_function = source.match_indices(&format!("fn {test}(")).any(|(at, _)| {
                // Of a property test the attribute stands a line higher.
                source[..at].lines().rev().take(3).any(|line| line.contains("#[test]"))
            });
            Some(is_function || source.contains(&format!("(\"{test}\",")))
        };
        check("docs/disks.md", 51, exists).unwrap();
    }
}
