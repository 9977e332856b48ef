//! Tests through the public commands: the real `lcow`, in a home of their own.
#![forbid(unsafe_code)]

mod bad_sectors;
mod boot_files;
mod containers;
mod descriptions;
mod disks;
mod documented;
mod home;
// Also what the library's own tests pull from.
#[path = "../../libs/oci/tests/registry/hub.rs"]
mod hub;
mod images;
mod inside;
mod lcow;
mod registry;
mod roots;
// Only some of what it can do wrong is tried through the commands.
#[allow(dead_code)]
#[path = "../../libs/oci/tests/registry/server.rs"]
mod server;
mod signals;
mod terminal;
mod usage;
mod write_faults;

use std::sync::Arc;

use home::Home;
use lcow::Programs;
use libtest_mimic::{Arguments, Failed, Trial};

/// A test, and whether it boots utility VMs.
struct Test {
    name: &'static str,
    boots: bool,
    body: fn(&Home) -> anyhow::Result<()>,
}

const fn plain(name: &'static str, body: fn(&Home) -> anyhow::Result<()>) -> Test {
    Test { name, boots: false, body }
}

const fn boots(name: &'static str, body: fn(&Home) -> anyhow::Result<()>) -> Test {
    Test { name, boots: true, body }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = Arguments::from_args();
    // A VM keeps a processor busy while it boots.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let programs = Programs::find();
    if programs.lcow.is_none() {
        eprintln!(
            "$LCOW_TEST_BIN names no directory with lcow, so all tests are ignored; `cargo xtask test` sets it"
        );
    } else if programs.boot_files.is_none() {
        eprintln!(
            "$LCOW_TEST_BOOT names no boot files, so tests on VMs are ignored; `cargo xtask test` sets it"
        );
    }
    let can_run = programs.lcow.is_some();
    let can_boot = can_run && programs.boot_files.is_some();
    let home = Arc::new(Home::new(programs)?);
    let suites = [
        ("usage", usage::TESTS),
        ("images", images::TESTS),
        ("registry", registry::TESTS),
        ("inside", inside::TESTS),
        ("roots", roots::TESTS),
        ("containers", containers::TESTS),
        ("signals", signals::TESTS),
        ("terminal", terminal::TESTS),
        ("boot_files", boot_files::TESTS),
        ("descriptions", descriptions::TESTS),
        ("disks", disks::TESTS),
        ("bad_sectors", bad_sectors::TESTS),
        ("write_faults", write_faults::TESTS),
    ];
    let trials = suites.into_iter().flat_map(|(suite, tests)| tests.iter().map(move |test| (suite, test)));
    let trials = trials.map(|(suite, test)| {
        let home = Arc::clone(&home);
        let run = move || (test.body)(&home).map_err(|error| Failed::from(format!("{error:?}")));
        let ignored = !(if test.boots { can_boot } else { can_run });
        Trial::test(format!("{suite}::{}", test.name), run).with_ignored_flag(ignored)
    });
    let mut trials: Vec<Trial> = trials.collect();
    trials.push(documented::trial(&trials));
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(home);
    conclusion.exit();
}
