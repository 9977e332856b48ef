//! From spawning the monitor to an agent that answers.
//!
//! The whole is measured on the product's boot files. How much of it comes after the start of `/init` is found out on the
//! debug boot files, whose `/init` does the same and in which there are programs to ask: the kernel's log tells when it
//! ran `/init` on its own clock, and reading `/proc/uptime` several times between two looks at ours ties the two clocks
//! together to a few milliseconds.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use host_bridge::guest::VmProcess;
use host_bridge::uvm::{BootPlan, Uvm};

use crate::series::Results;

/// Readings of the guest's clock.
const READINGS: usize = 10;
/// The resolution of `/proc/uptime` in seconds.
const TICK: f64 = 0.01;

pub(crate) async fn measure(
    product: &BootPlan,
    debug: &BootPlan,
    runs: usize,
    results: &mut Results,
) -> Result<()> {
    // The first boot reads files that are not in memory yet.
    Uvm::boot(product).await?.stop().await;
    for _ in 0..runs {
        let start = Instant::now();
        let uvm = Uvm::boot(product).await?;
        let total = start.elapsed();
        uvm.stop().await;
        let after_init = after_init(debug).await?;
        results.add_ms("boot_negotiated_ms", total);
        results.add("init_negotiated_ms", after_init);
        results.add("firmware_kernel_ms", total.as_secs_f64() * 1000.0 - after_init);
    }
    Ok(())
}

/// Milliseconds from the start of `/init` to the negotiation.
async fn after_init(plan: &BootPlan) -> Result<f64> {
    let epoch = Instant::now();
    let uvm = Uvm::boot(plan).await?;
    let negotiated = epoch.elapsed().as_secs_f64();
    // The guest's clock is behind ours by at least `least` and at most `most`.
    let (mut least, mut most) = (f64::MIN, f64::MAX);
    for _ in 0..READINGS {
        let before = epoch.elapsed().as_secs_f64();
        let text = run(&uvm, &["cat", "/proc/uptime"]).await?;
        let after = epoch.elapsed().as_secs_f64();
        let uptime: f64 = text.split_whitespace().next().context("an uptime")?.parse()?;
        least = least.max(before - uptime - TICK);
        most = most.min(after - uptime);
    }
    let log = run(&uvm, &["dmesg"]).await?;
    uvm.stop().await;
    let line = log.lines().find(|line| line.contains("Run /init")).context("no /init in the kernel's log")?;
    let time = line.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    let init: f64 = time.context("a time in the kernel's log")?.0.trim().parse()?;
    Ok((negotiated - init - f64::midpoint(least, most)) * 1000.0)
}

async fn run(uvm: &Uvm, args: &[&str]) -> Result<String> {
    let output = uvm.exec(VmProcess::new(args.iter().copied())).await?.output().await?;
    ensure!(output.status == 0, "{args:?}: {output:?}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
