//! Lists for people and for programs.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

/// A list with columns.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    headings: [&'static str; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(headings: [&'static str; N]) -> Self {
        Self { headings, rows: Vec::new() }
    }

    pub(super) fn row(&mut self, row: [String; N]) {
        self.rows.push(row);
    }

    /// Aligned and with headings on a terminal; elsewhere one line for each row, tabs between its columns.
    pub(super) fn print(&self) -> io::Result<()> {
        let text = if io::stdout().is_terminal() { self.aligned() } else { self.tabbed() };
        print(&text)
    }

    fn tabbed(&self) -> String {
        self.rows.iter().fold(String::new(), |text, row| text + &row.join("\t") + "\n")
    }

    fn aligned(&self) -> String {
        let headings = self.headings.map(str::to_owned);
        let rows: Vec<&[String; N]> = std::iter::once(&headings).chain(&self.rows).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; N] = std::array::from_fn(width);
        let mut text = String::new();
        for row in rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                // Writing to a string does not fail.
                let _ = write!(line, "{cell:width$}   ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Writes to standard output. That its reader has had enough is no error.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// `1.2 MB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    // Tenths of the unit, so that no fraction is needed.
    let (mut tenths, mut unit) = (bytes.saturating_mul(10), 0);
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths = tenths.div_ceil(1000);
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]) }
}

/// `5 minutes ago`.
pub(super) fn age(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let (length, name) = UNITS.into_iter().find(|(length, _)| seconds >= *length).unwrap_or((1, "second"));
    let count = seconds / length;
    format!("{count} {name}{} ago", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_aligned_for_people_and_tabbed_for_programs() {
        let mut table = Table::new(["NAME", "N"]);
        table.row(["long name".into(), "1".into()]);
        assert_eq!(table.aligned(), "NAME        N\nlong name   1\n");
        assert_eq!(table.tabbed(), "long name\t1\n");
    }

    #[test]
    fn sizes_and_ages_are_short() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1000), "1.0 kB");
        assert_eq!(size(1_950_000), "2.0 MB");
        assert_eq!(age(0), "0 seconds ago");
        assert_eq!(age(60), "1 minute ago");
        assert_eq!(age(7250), "2 hours ago");
    }
}
