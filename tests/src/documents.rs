//! Documents that say which test shows what.

/// The names in a document: what stands between backticks, with `a::{b, c}` taken apart into `a::b` and `a::c`.
pub fn names(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).flat_map(expand)
}

fn expand(text: &str) -> Vec<String> {
    match text.split_once('{') {
        None => vec![text.to_owned()],
        Some((prefix, rest)) => {
            rest.trim_end_matches('}').split(',').map(|name| format!("{prefix}{}", name.trim())).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Names here are `FILE::TEST`: a function, or the name in a table of tests.
    #[test]
    fn every_test_that_the_table_of_disks_names_exists() {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let document = fs::read_to_string(project.join("docs/disks.md")).unwrap();
        let named: Vec<String> = names(&document).filter(|name| name.contains(".rs::")).collect();
        assert!(named.len() > 50, "the document names no tests");
        let exists = |name: &str| {
            let (file, test) = name.split_once("::").unwrap();
            let source = fs::read_to_string(project.join(file)).unwrap_or_default();
            let is_function = source.match_indices(&format!("fn {test}(")).any(|(at, _)| {
                // Of a property test the attribute stands a line higher.
                source[..at].lines().rev().take(3).any(|line| line.contains("#[test]"))
            });
            is_function || source.contains(&format!("(\"{test}\","))
        };
        let missing: Vec<_> = named.iter().filter(|name| !exists(name)).collect();
        assert!(missing.is_empty(), "there is no {missing:?}");
    }
}
