//! Processes of the VM itself: streams, exit statuses, signals, waits.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use host_bridge::guest::{LogLine, Stdio, VmProcess};
use lcow_oci::Digest;
use lcow_protocol::HResult;
use lcow_tests::suite::Suite;
use lcow_tests::{Lab, refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    Suite::new("processes", lab)
        .test("stdin_half_close_with_300_kb", stdin_half_close)
        .test("output_of_64_mib_arrives_whole", large_output)
        .test("exit_statuses_are_the_programs_own", exit_statuses)
        .test("a_signal_ends_a_process_with_128_plus_its_number", signals)
        .test("a_missing_and_a_non_executable_program_are_told_apart", not_runnable)
        .test("a_wait_with_a_timeout_says_so", wait_timeout)
        .test("a_terminal_has_a_size_and_can_be_resized", terminal)
        .test("a_hundred_streams_at_once", hundred_streams)
        .test("the_log_stream_is_json_and_nothing_else", log_is_json)
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| u8::try_from((at * 31 + at / 251) % 256).unwrap_or_default()).collect()
}

async fn stdin_half_close(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let sent = bytes(300_000);
    let mut process = uvm.exec(VmProcess::new(["cat"]).stdio(Stdio::ALL)).await?;
    let mut stdin = process.stdin.take().expect("asked for");
    let data = sent.clone();
    let writer = tokio::spawn(async move {
        stdin.write_all(&data).await?;
        // Half-close: `cat` sees the end of its input and can still write.
        stdin.shutdown().await?;
        Ok::<_, std::io::Error>(stdin)
    });
    let mut received = Vec::new();
    process.stdout.take().expect("asked for").read_to_end(&mut received).await?;
    writer.await??;
    ensure!(received == sent, "{} bytes came back of {}", received.len(), sent.len());
    ensure!(process.wait().await? == 0);
    Ok(())
}

async fn large_output(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let script = "dd if=/dev/urandom of=/run/blob bs=1M count=64 2>/dev/null; sha256sum < /run/blob >&2; cat /run/blob; rm /run/blob";
    let output = uvm.exec(VmProcess::new(["/bin/sh", "-c", script])).await?.output().await?;
    ensure!(output.stdout.len() == 64 << 20, "{} bytes", output.stdout.len());
    let sum = Digest::of(&output.stdout).hex();
    let expected = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(expected.starts_with(&sum), "sum {sum}, the guest said {expected}");
    Ok(())
}

async fn exit_statuses(lab: Arc<Lab>) -> Result<()> {
    for status in [0, 1, 7, 42, 255] {
        let output = lab.try_shell(&format!("exit {status}")).await?;
        ensure!(output.status == status, "{} instead of {status}", output.status);
    }
    Ok(())
}

async fn signals(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    for (signal, status) in [(None, 137), (Some(15), 143), (Some(10), 138), (Some(34), 162)] {
        let process = uvm.exec(VmProcess::new(["/bin/sleep", "1000"])).await?;
        process.signal(signal).await?;
        let ended = process.wait().await?;
        ensure!(ended == status, "signal {signal:?}: {ended} instead of {status}");
        // The status has been delivered, so the process is forgotten.
        ensure!(refusal(process.wait().await) == Some(HResult::NOT_FOUND));
        ensure!(refusal(process.signal(signal).await) == Some(HResult::NOT_FOUND));
    }
    Ok(())
}

async fn not_runnable(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let missing = uvm.exec(VmProcess::new(["/no/such/program"])).await;
    ensure!(refusal(missing) == Some(HResult::FILE_NOT_FOUND));
    let missing = uvm.exec(VmProcess::new(["no-such-program"])).await;
    ensure!(refusal(missing) == Some(HResult::FILE_NOT_FOUND));
    let data = uvm.exec(VmProcess::new(["/etc/passwd"])).await;
    ensure!(refusal(data) == Some(HResult::NOT_EXECUTABLE));
    Ok(())
}

async fn wait_timeout(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let process = uvm.exec(VmProcess::new(["/bin/sleep", "1000"])).await?;
    ensure!(refusal(process.wait_timeout(Duration::from_millis(50)).await) == Some(HResult::TIMEOUT));
    process.signal(None).await?;
    let (first, second) = tokio::try_join!(process.wait(), process.wait())?;
    ensure!((first, second) == (137, 137));
    Ok(())
}

async fn terminal(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let script = "read line; stty size; exit 3";
    let mut process =
        VmProcess::new(["/bin/sh", "-c", script]).stdio(Stdio { stdin: true, stdout: true, stderr: false });
    process.terminal = true;
    let mut process = uvm.exec(process).await?;
    process.resize(33, 101).await?;
    process.stdin.as_mut().expect("asked for").write_all(b"go\n").await?;
    let mut text = String::new();
    process.stdout.take().expect("asked for").read_to_string(&mut text).await?;
    ensure!(text.contains("33 101"), "{text:?}");
    ensure!(process.wait().await? == 3);
    Ok(())
}

async fn hundred_streams(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let mut tasks = Vec::new();
    for number in 0..50 {
        let uvm = Arc::clone(&uvm);
        tasks.push(tokio::spawn(async move {
            let script = format!("echo out {number}; echo err {number} >&2; exit {number}");
            let output = uvm.exec(VmProcess::new(["/bin/sh", "-c", &script])).await?.output().await?;
            let texts = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
            ensure!(texts == (format!("out {number}\n"), format!("err {number}\n")), "{texts:?}");
            ensure!(output.status == number);
            Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

async fn log_is_json(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let lines = uvm.guest().logs().lines();
    ensure!(!lines.is_empty());
    for line in lines {
        ensure!(matches!(line, LogLine::Json(_)), "the log stream carries what is no JSON: {line:?}");
    }
    Ok(())
}
