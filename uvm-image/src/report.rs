//! The table of sizes that a build ends with.

use std::fmt;
use std::path::Path;

/// What was built and how large it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    rows: Vec<(String, u64)>,
    /// What the user should know although the build succeeded.
    pub warnings: Vec<String>,
}

impl Report {
    /// A report without lines.
    pub fn new(warnings: Vec<String>) -> Self {
        Self { rows: Vec::new(), warnings }
    }

    /// Warns of outputs of an earlier build that went from `directory`.
    pub fn removed(&mut self, names: &[String], directory: &Path) {
        if !names.is_empty() {
            let (names, directory) = (names.join(", "), directory.display());
            self.warnings
                .push(format!("an earlier build's {names} went from {directory}: this build makes none"));
        }
    }

    /// Adds a line: `what`, of `bytes` bytes.
    pub fn row(&mut self, what: impl Into<String>, bytes: u64) {
        self.rows.push((what.into(), bytes));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|(what, _)| what.chars().count()).max().unwrap_or(0);
        for (what, bytes) in &self.rows {
            writeln!(f, "{what:<width$}  {:>9}", size(*bytes))?;
        }
        Ok(())
    }
}

/// `bytes` in kilobytes or megabytes with one decimal.
pub fn size(bytes: u64) -> String {
    let (unit, name) = if bytes >= 1_000_000 { (1_000_000, "MB") } else { (1_000, "kB") };
    let tenths = (bytes * 10 + unit / 2) / unit;
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut report = Report::default();
        report.row("kernel", 8_247_232);
        report.row("initrd.img (lz4)", 45_678);
        assert_eq!(report.to_string(), "kernel               8.2 MB\ninitrd.img (lz4)    45.7 kB\n");
    }
}
