//! Ctrl-C, once and twice.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;

use crate::home::Home;
use crate::{Test, boots};

pub(crate) const TESTS: &[Test] = &[
    boots("the_first_goes_to_the_container", first),
    boots("the_second_ends_the_vm", second),
    boots("output_without_a_reader_ends_the_container", no_reader),
];

fn first(home: &Home) -> Result<()> {
    let script = "trap 'echo got it; exit 5' INT; echo ready; while true; do sleep 1; done";
    let mut lcow = home.background(&["run", "--rm", "busybox", "sh", "-c", script])?;
    ensure!(lcow.line()? == "ready");
    lcow.signal(Signal::SIGINT)?;
    let output = lcow.finish()?.ended(5)?;
    ensure!(output.text() == "got it\n", "{output:?}");
    Ok(())
}

fn second(home: &Home) -> Result<()> {
    let script = "trap 'echo no' TERM; echo ready; while true; do sleep 1; done";
    let mut lcow = home.background(&["run", "--name", "stubborn", "busybox", "sh", "-c", script])?;
    ensure!(lcow.line()? == "ready");
    lcow.signal(Signal::SIGTERM)?;
    ensure!(lcow.line()? == "no");
    lcow.signal(Signal::SIGTERM)?;
    lcow.finish()?.ended(143)?;
    home.lcow(&["rm", "stubborn"])?.well()?;
    Ok(())
}

fn no_reader(home: &Home) -> Result<()> {
    let mut lcow =
        home.background(&["run", "--rm", "busybox", "sh", "-c", "while true; do echo line; done"])?;
    ensure!(lcow.line()? == "line");
    lcow.close_output()?.ended(141)?;
    Ok(())
}
