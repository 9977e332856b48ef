//! The bridge under a host of our own making, on a utility VM behind Unix sockets: pipelining, nonsense, redials.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Result, ensure};
use lcow_protocol::frame::encode;
use lcow_protocol::messages::{INFINITE, WaitForProcess};
use lcow_protocol::{ContainerId, HResult, MessageType, ProcessId};
use lcow_tests::Lab;
use lcow_tests::foreign::{Bridge, ForeignHost, Stream};
use lcow_tests::suite::Suite;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    // One VM for all of these: each spoils the connection in its own way.
    Suite::new("bridge", lab)
        .sharing(|| ForeignHost::boot(&[]))
        .test("fifty_pipelined_requests", |host| Box::pin(pipelined(host, 50)))
        .test("nonsense_is_answered_with_its_error", |host| Box::pin(nonsense(host)))
        .test("what_is_no_frame_costs_the_connection_and_no_more", |host| Box::pin(garbage(host)))
        .test("late_answers_go_to_the_same_host", |host| Box::pin(late_answers(host)))
        .test("a_new_host_gets_no_old_answers", |host| Box::pin(new_host(host)))
        .test("output_reaches_the_socket_of_its_port", |host| Box::pin(output(host)))
        .test("a_thousand_requests_at_once", |host| Box::pin(pipelined(host, 1000)))
        .test("a_traced_request_leaves_a_span_in_the_log", |host| Box::pin(traced(host)))
        .done()
}

fn wait(pid: u64) -> WaitForProcess {
    let process_id = ProcessId(u32::try_from(pid).unwrap_or(u32::MAX));
    WaitForProcess { process_id, timeout_in_ms: INFINITE }
}

async fn pipelined(host: &mut ForeignHost, requests: usize) -> Result<()> {
    let mut bridge = host.connect(0).await?;
    let body = serde_json::to_vec(&json!({"ContainerId": ContainerId::NULL, "ProcessId": 4_000_000}))?;
    let (mut ids, mut bytes) = (BTreeSet::new(), Vec::new());
    for _ in 0..requests {
        let (id, frame) = bridge.frame(MessageType::WAIT_FOR_PROCESS, &body)?;
        ids.insert(id);
        bytes.extend(frame);
    }
    bridge.send_bytes(&bytes).await?;
    while !ids.is_empty() {
        let (header, body) = bridge.receive().await?;
        ensure!(ids.remove(&header.id), "an answer to {}, which nobody waits for", header.id);
        ensure!(body["Result"] == HResult::NOT_FOUND.0, "{body}");
    }
    Ok(())
}

async fn nonsense(host: &mut ForeignHost) -> Result<()> {
    let mut bridge = host.accept().await?;
    let id = bridge.send(MessageType::GET_PROPERTIES, b"{}").await?;
    expect(&bridge.answer(id).await?, HResult::NOT_IMPL, "a request before the negotiation")?;
    let id =
        bridge.send(MessageType::NEGOTIATE_PROTOCOL, b"{\"MinimumVersion\":5,\"MaximumVersion\":9}").await?;
    expect(&bridge.answer(id).await?, HResult::UNSUPPORTED_PROTOCOL_VERSION, "versions of the future")?;
    bridge.negotiate().await?;
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let deep_member = [b"{\"ContainerId\":".as_slice(), &b"[".repeat(500), &b"]".repeat(500), b"}"].concat();
    let cases: [(&str, u32, &[u8], HResult); 12] = [
        (
            "a second negotiation",
            0x1010_0b01,
            b"{\"MinimumVersion\":4,\"MaximumVersion\":4}",
            HResult::NOT_IMPL,
        ),
        ("an unknown message", 0x1010_ff01, b"{}", HResult::NOT_IMPL),
        ("an unknown category", 0x10ff_0101, b"{}", HResult::NOT_IMPL),
        ("another version", 0x1010_0102, b"{}", HResult::NOT_IMPL),
        ("modify service settings", 0x1020_0101, b"{}", HResult::NOT_IMPL),
        ("an open object", 0x1010_0901, b"{", HResult::INVALID_JSON),
        ("nothing", 0x1010_0901, b"", HResult::INVALID_JSON),
        ("two documents", 0x1010_0901, b"{}{}", HResult::INVALID_JSON),
        ("no UTF-8", 0x1010_0901, b"{\"ContainerId\":\"\xff\"}", HResult::INVALID_JSON),
        ("another type", 0x1010_0901, b"{\"ContainerId\":7}", HResult::INVALID_JSON),
        ("deep lists", 0x1010_0901, &deep, HResult::INVALID_JSON),
        ("a deep member", 0x1010_0901, &deep_member, HResult::INVALID_JSON),
    ];
    for (what, message, body, result) in cases {
        let id = bridge.send(MessageType(message), body).await?;
        expect(&bridge.answer(id).await?, result, what)?;
    }
    still_works(&mut bridge).await
}

fn expect(answer: &Value, result: HResult, what: &str) -> Result<()> {
    ensure!(answer["Result"] == result.0, "{what}: {answer} instead of {result}");
    ensure!(answer["ErrorMessage"].as_str().is_some_and(|text| !text.is_empty()), "{what}: {answer}");
    Ok(())
}

async fn still_works(bridge: &mut Bridge) -> Result<()> {
    let id = bridge.request(&ContainerId::null(), wait(4_000_000)).await?;
    let answer = bridge.answer(id).await?;
    ensure!(answer["Result"] == HResult::NOT_FOUND.0, "{answer}");
    Ok(())
}

async fn garbage(host: &mut ForeignHost) -> Result<()> {
    let mut small = encode(MessageType::GET_PROPERTIES, 1, b"{}", 1 << 20)?;
    small[4] = 3;
    let huge = vec![0xff; 100_000];
    let text = b"GET / HTTP/1.1\r\nHost: utility-vm\r\n\r\n".to_vec();
    for bytes in [small, huge, text] {
        let mut bridge = host.connect(0).await?;
        // Fails when the agent has dropped the connection before the last byte.
        let _ = bridge.send_bytes(&bytes).await;
        bridge.dropped().await?;
    }
    // The host goes away in the middle of a frame.
    let mut bridge = host.connect(0).await?;
    let frame = encode(MessageType::GET_PROPERTIES, 1, &[b' '; 1000], 1 << 20)?;
    bridge.send_bytes(&frame[..500]).await?;
    drop(bridge);
    still_works(&mut host.connect(0).await?).await
}

async fn late_answers(host: &mut ForeignHost) -> Result<()> {
    let mut bridge = host.connect(0).await?;
    let (pid, stdin) = host.shell(&mut bridge, "read line; exit 7", Stream::Input).await?;
    let asked = bridge.request(&ContainerId::null(), wait(pid)).await?;
    // Frames are taken in order, so the wait is under way once this is answered.
    still_works(&mut bridge).await?;
    drop(bridge);
    let mut bridge = host.connect(100).await?;
    drop(stdin);
    let answer = bridge.answer(asked).await?;
    ensure!(answer["Result"] == 0 && answer["ExitCode"] == 7, "{answer}");
    still_works(&mut bridge).await
}

async fn new_host(host: &mut ForeignHost) -> Result<()> {
    let mut bridge = host.connect(0).await?;
    let (pid, mut stdin) = host.shell(&mut bridge, "read line; exit $line", Stream::Input).await?;
    // Ids far above those that the new host uses.
    for _ in 0..20 {
        still_works(&mut bridge).await?;
    }
    bridge.request(&ContainerId::null(), wait(pid)).await?;
    still_works(&mut bridge).await?;
    drop(bridge);
    let mut bridge = host.connect(0).await?;
    let again = bridge.request(&ContainerId::null(), wait(pid)).await?;
    stdin.write_all(b"9\n").await?;
    // `answer` fails on an answer with any other id.
    let answer = bridge.answer(again).await?;
    ensure!(answer["Result"] == 0 && answer["ExitCode"] == 9, "{answer}");
    still_works(&mut bridge).await
}

async fn output(host: &mut ForeignHost) -> Result<()> {
    let line: Value = serde_json::from_str(&host.log_line().await?)?;
    ensure!(line.is_object(), "{line}");
    let mut bridge = host.connect(0).await?;
    let (pid, mut stdout) = host.shell(&mut bridge, "echo over a foreign host", Stream::Output).await?;
    let mut text = String::new();
    stdout.read_to_string(&mut text).await?;
    ensure!(text == "over a foreign host\n", "{text:?}");
    drop(stdout);
    let id = bridge.request(&ContainerId::null(), wait(pid)).await?;
    let answer = bridge.answer(id).await?;
    ensure!(answer["ExitCode"] == 0, "{answer}");
    Ok(())
}

async fn traced(host: &mut ForeignHost) -> Result<()> {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let mut bridge = host.connect(0).await?;
    let traces = [
        json!({"traceparent": format!("00-{TRACE}-b7ad6b7169203331-01"), "tracestate": "vendor=value"}),
        json!({"traceparent": "what nobody can read"}),
        json!({}),
        Value::Null,
    ];
    for trace in traces {
        let body = json!({"ContainerId": ContainerId::NULL, "ProcessId": 4_000_000, "otsc": trace});
        let id = bridge.send(MessageType::WAIT_FOR_PROCESS, &serde_json::to_vec(&body)?).await?;
        expect(&bridge.answer(id).await?, HResult::NOT_FOUND, "a traced request")?;
    }
    loop {
        let line: Value = serde_json::from_str(&host.log_line().await?)?;
        if line["msg"] == "Span" {
            ensure!(line["traceID"] == TRACE && line["parentSpanID"] == "b7ad6b7169203331", "{line}");
            ensure!(line["name"] == "WaitForProcess" && line["level"] == "error", "{line}");
            ensure!(line["spanID"].as_str().is_some_and(|id| id.len() == 16), "{line}");
            return Ok(());
        }
    }
}
