//! The table for people, the file for programs, and the history.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde_json::json;

use crate::series::{Results, Summary};

/// Figures to compare with: the reference (Microsoft's agent with runc on the same kernel, QEMU TCG; hcsshim's tar2ext4) and
/// our target.
const COMPARED: [(&str, f64, f64); 9] = [
    ("layer_large_file_ms", 550.0, 550.0),
    ("layer_small_files_ms", 1300.0, 500.0),
    ("layer_tree_ms", 2000.0, 1000.0),
    ("layer_peak_mb", 50.0, 32.0),
    ("boot_negotiated_ms", 1980.0, 1200.0),
    ("create_start_exit_ms", 800.0, 100.0),
    ("exec_ms", 550.0, 50.0),
    ("agent_rss_kb", 13_000.0, 4000.0),
    ("initrd_kb", 12_000.0, 3000.0),
];

/// Prints the table on standard output.
pub(crate) fn print(results: &Results) {
    println!(
        "{:<28}{:>12}{:>12}{:>12}{:>5}{:>14}{:>12}",
        "", "median", "min", "max", "n", "of reference", "of target"
    );
    for (name, Summary { median, min, max, count }) in results.summaries() {
        let compared = COMPARED.iter().find(|(compared, ..)| *compared == name);
        let ratio =
            |figure: Option<f64>| figure.map(|figure| format!("{:.2}", median / figure)).unwrap_or_default();
        let reference = ratio(compared.map(|(_, reference, _)| *reference));
        let target = ratio(compared.map(|(.., target)| *target));
        println!("{name:<28}{median:>12.2}{min:>12.2}{max:>12.2}{count:>5}{reference:>14}{target:>12}");
    }
}

/// Writes the result for programs.
pub(crate) fn write(results: &Results, path: &Path) -> Result<()> {
    std::fs::write(path, format!("{:#}\n", results.to_json()))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Adds one line to the history.
pub(crate) fn append(results: &Results, path: &Path) -> Result<()> {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let line = json!({"time": seconds, "results": results.to_json()});
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| writeln!(file, "{line}"))
        .with_context(|| format!("cannot write {}", path.display()))
}
