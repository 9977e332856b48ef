//! Tests on one shared utility VM.
#![forbid(unsafe_code)]

mod assigned;
mod bridge;
mod cgroup_v1;
mod compatibility;
mod completion;
mod conformance;
mod constraints;
mod containers;
mod devices;
mod dhcp;
mod errors;
mod hostile;
mod images;
mod init;
mod joining;
mod kinds;
mod limits;
mod pods;
mod processes;
mod reconnect;
mod roots;
mod specification;
mod storage;
mod unread;
mod verity;
mod vmm;

use std::sync::Arc;

use lcow_tests::{Lab, boot_files};
use libtest_mimic::{Arguments, Trial};

fn main() -> anyhow::Result<()> {
    let mut arguments = Arguments::from_args();
    // They share one VM with two processors; more at once would only wait for each other.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let lab = Lab::new()?;
    let suites = [
        processes::suite(&lab),
        containers::suite(&lab),
        pods::suite(&lab),
        kinds::suite(&lab),
        joining::suite(&lab),
        dhcp::suite(&lab),
        assigned::suite(&lab),
        errors::suite(&lab),
        hostile::suite(&lab),
        limits::suite(&lab),
        specification::suite(&lab),
        compatibility::suite(&lab),
        completion::suite(&lab),
        cgroup_v1::suite()?,
        storage::suite(&lab),
        devices::suite(&lab),
        verity::suite(&lab),
        roots::suite(&lab),
        init::suite(&lab),
        images::suite(&lab),
        bridge::suite(&lab),
        reconnect::suite(&lab),
        unread::suite(&lab),
        vmm::suite(&lab),
    ];
    let mut trials: Vec<Trial> = suites.into_iter().flat_map(lcow_tests::suite::Suite::into_trials).collect();
    if boot_files().is_none() {
        eprintln!(
            "$LCOW_TEST_BOOT names no boot files, so all tests are ignored; `cargo xtask test` makes them"
        );
        trials = trials.into_iter().map(|trial| trial.with_ignored_flag(true)).collect();
    }
    trials.push(conformance::trial(&trials));
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(Arc::into_inner(lab));
    conclusion.exit();
}
