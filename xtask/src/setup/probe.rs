//! Finding out whether something works by using it.

use std::fs;
use std::path::Path;
use std::thread;

use super::needs::Need;
use crate::elf;
use crate::process::{command, succeeds};

/// How to find out.
#[derive(Debug)]
pub(super) enum Probe {
    /// This command succeeds.
    Runs(&'static [&'static str]),
    /// This C program links statically with these libraries.
    Links(&'static str, &'static [&'static str]),
    /// This file is a static program.
    Static(&'static str),
    /// One of these files is there.
    Exists(&'static [&'static str]),
}

/// Those of `needs` that do not work, in their order; probes run side by side because each mostly waits.
pub(super) fn missing(needs: impl Iterator<Item = &'static Need>) -> Vec<&'static Need> {
    thread::scope(|scope| {
        let probes: Vec<_> = needs.map(|need| (need, scope.spawn(|| works(&need.probe)))).collect();
        // A probe that panicked has not shown that its need is there.
        probes
            .into_iter()
            .filter_map(|(need, probe)| (!probe.join().unwrap_or(false)).then_some(need))
            .collect()
    })
}

fn works(probe: &Probe) -> bool {
    match probe {
        Probe::Runs([program, args @ ..]) => succeeds(command(program).args(args)),
        Probe::Runs([]) => true,
        Probe::Links(source, libraries) => links(source, libraries),
        Probe::Static(path) => elf::is_static(Path::new(path)).unwrap_or(false),
        Probe::Exists(paths) => paths.iter().any(|path| Path::new(path).exists()),
    }
}

fn links(source: &str, libraries: &[&str]) -> bool {
    let Ok(dir) = tempfile::tempdir() else { return false };
    let (input, output) = (dir.path().join("probe.c"), dir.path().join("probe"));
    fs::write(&input, source).is_ok()
        && succeeds(command("cc").arg("-static").arg("-o").arg(output).arg(input).args(libraries))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_works() {
        assert!(works(&Probe::Runs(&["true"])));
        assert!(!works(&Probe::Runs(&["false"])));
        assert!(!works(&Probe::Runs(&["no-such-program"])));
        assert!(!works(&Probe::Exists(&["/nonexistent"])));
        assert!(works(&Probe::Exists(&["/nonexistent", "/"])));
        assert!(!works(&Probe::Static("/nonexistent")));
        assert!(!works(&Probe::Links("int main(void) { return 0; }", &["-lno-such-library"])));
    }
}
