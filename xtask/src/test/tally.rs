//! Counting tests in the output of test programs.
//!
//! `--show-output` makes them repeat what passing tests printed, in a section headed `successes:`. That section is not
//! passed on, but for the reasons of those that skipped.

use std::fmt;

/// How many tests did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tests {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
}

impl Tests {
    /// The same where cargo says that something failed: a program that crashed or was not built has counted nothing.
    pub(super) fn with_unfinished_program(self) -> Self {
        Self { failed: self.failed.max(1), ..self }
    }
}

impl fmt::Display for Tests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Reads the output of test programs line by line.
#[derive(Debug, Default)]
pub(super) struct Tally {
    tests: Tests,
    /// Tests of the present program that said so themselves.
    skipped: u64,
    section: Section,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Section {
    /// Lines that people want to see.
    #[default]
    Shown,
    /// What passing tests printed: the one of this name, and whether it has said that it skipped.
    Successes { test: String, skipped: bool },
}

impl Tally {
    /// All tests so far.
    pub(super) fn tests(&self) -> Tests {
        self.tests
    }

    /// Takes one line, with its end, and returns what to show for it.
    pub(super) fn line(&mut self, line: &str) -> Option<String> {
        let text = line.trim_end();
        if let Some(counts) = text.strip_prefix("test result: ") {
            self.section = Section::Shown;
            self.program_ended(counts);
            return Some(line.to_owned());
        }
        match text {
            "successes:" => {
                self.section = Section::Successes { test: String::new(), skipped: false };
                return None;
            }
            "failures:" => self.section = Section::Shown,
            _ => {}
        }
        let reason = text.strip_prefix("skipped: ");
        match &mut self.section {
            Section::Shown => {
                // Programs with their own harness hide nothing, so the test says it as it runs.
                self.skipped += u64::from(reason.is_some());
                Some(line.to_owned())
            }
            Section::Successes { test, skipped } => {
                if let Some(name) =
                    text.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"))
                {
                    name.clone_into(test);
                    *skipped = false;
                }
                let reason = reason.filter(|_| !*skipped)?;
                *skipped = true;
                self.skipped += 1;
                Some(format!("skipped: {test}: {reason}\n"))
            }
        }
    }

    /// `ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
    fn program_ended(&mut self, counts: &str) {
        let counts = counts.split_once(". ").map_or("", |(_, counts)| counts);
        let count = |what: &str| {
            counts
                .split("; ")
                .find_map(|part| part.strip_suffix(what)?.trim().parse::<u64>().ok())
                .unwrap_or_default()
        };
        let passed = count("passed");
        // A test that skipped has passed in its program's eyes.
        let skipped = std::mem::take(&mut self.skipped).min(passed);
        self.tests.passed += passed - skipped;
        self.tests.failed += count("failed");
        self.tests.skipped += count("ignored") + skipped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(text: &str) -> (Tests, String) {
        let mut tally = Tally::default();
        let shown = text.split_inclusive('\n').filter_map(|line| tally.line(line)).collect();
        (tally.tests(), shown)
    }

    #[test]
    fn programs_are_added_up() {
        let (tests, shown) = tally(
            "running 2 tests\n\
             test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
             test result: FAILED. 3 passed; 4 failed; 0 ignored; 0 measured; 9 filtered out; finished in 1.00s\n",
        );
        assert_eq!(tests, Tests { passed: 5, failed: 4, skipped: 1 });
        assert_eq!(tests.to_string(), "5 passed, 4 failed, 1 skipped");
        assert_eq!(shown.lines().count(), 3);
    }

    #[test]
    fn what_passing_tests_print_is_hidden_but_for_skips() {
        let (tests, shown) = tally(
            "test a ... ok\n\nsuccesses:\n\n---- a stdout ----\nnoise\nskipped: no lz4\nskipped: twice\n\n\
             ---- b stdout ----\nskipped: no cpio\n\n\nsuccesses:\n    a\n    b\n    c\n\nfailures:\n\n\
             ---- d stdout ----\nwhy\n\n\ntest result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured\n",
        );
        assert_eq!(tests, Tests { passed: 1, failed: 1, skipped: 2 });
        assert!(shown.contains("skipped: a: no lz4\n") && shown.contains("skipped: b: no cpio\n"), "{shown}");
        assert!(shown.contains("why\n") && !shown.contains("noise") && !shown.contains("twice"), "{shown}");
    }

    #[test]
    fn programs_without_capture_skip_as_they_run() {
        let (tests, shown) =
            tally("skipped: no KVM\ntest a ... ok\n\ntest result: ok. 2 passed; 0 failed; 0 ignored\n");
        assert_eq!(tests, Tests { passed: 1, failed: 0, skipped: 1 });
        assert!(shown.contains("no KVM"));
    }

    #[test]
    fn a_crashed_program_counts_as_a_failure() {
        assert_eq!(Tests::default().with_unfinished_program().failed, 1);
        assert_eq!(Tests { failed: 3, ..Tests::default() }.with_unfinished_program().failed, 3);
    }
}
