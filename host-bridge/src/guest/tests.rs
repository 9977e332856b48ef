//! The bridge client against a guest of our own making, without a VM.

use std::time::{Duration, Instant};

use lcow_protocol::frame::{self, HEADER_LEN, Header, MAX_TO_GUEST, MAX_TO_HOST};
use lcow_protocol::{ContainerId, MessageType, VsockPort, ports};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::{Doors, Guest, Process, Stage, Stdio, VmProcess, connect};
use crate::guest::GuestError;
use crate::transport::Transport;

/// The guest's side.
#[derive(Clone)]
struct FakeGuest(Transport);

struct FakeBridge(UnixStream);

impl FakeGuest {
    fn dial(&self, port: VsockPort) -> UnixStream {
        UnixStream::from_std(self.0.registry.offer(port.0).expect("a listener")).expect("socket")
    }

    /// Boots: entropy, log, bridge.
    async fn boot(&self) -> FakeBridge {
        let mut entropy = Vec::new();
        self.dial(ports::ENTROPY).read_to_end(&mut entropy).await.expect("entropy");
        assert_eq!(entropy.len(), ports::ENTROPY_BYTES);
        let mut log = self.dial(ports::LOG);
        log.write_all(b"{\"level\":\"info\",\"msg\":\"hello\"}\n").await.expect("log");
        self.bridge().await
    }

    async fn bridge(&self) -> FakeBridge {
        let mut bridge = FakeBridge(self.dial(ports::BRIDGE));
        let (header, body) = bridge.request().await;
        assert_eq!(header.message_type, MessageType::NEGOTIATE_PROTOCOL);
        assert_eq!(body["MaximumVersion"], 4);
        bridge.answer(header, json!({"Version": 4, "Capabilities": {"RuntimeOsType": "Linux"}})).await;
        bridge
    }
}

impl FakeBridge {
    async fn request(&mut self) -> (Header, Value) {
        let mut raw = [0; HEADER_LEN];
        self.0.read_exact(&mut raw).await.expect("header");
        let header = Header::decode(&raw, MAX_TO_GUEST).expect("frame");
        let mut body = vec![0; header.body_len as usize];
        self.0.read_exact(&mut body).await.expect("body");
        (header, serde_json::from_slice(&body).expect("JSON"))
    }

    async fn answer(&mut self, request: Header, body: Value) {
        self.frame(request.message_type.response(), request.id, &body).await;
    }

    async fn frame(&mut self, message: MessageType, id: u64, body: &Value) {
        let frame = frame::encode(message, id, body.to_string().as_bytes(), MAX_TO_HOST).expect("frame");
        self.0.write_all(&frame).await.expect("write");
    }
}

async fn booted() -> (FakeGuest, FakeBridge, Guest) {
    let transport = Transport::default();
    let doors = Doors::open(&transport).expect("ports");
    let fake = FakeGuest(transport);
    let stage = watch::Sender::new(Stage::Kernel);
    let (bridge, guest) = tokio::join!(fake.boot(), connect(doors, Instant::now(), &stage));
    assert_eq!(*stage.borrow(), Stage::Negotiated);
    (fake, bridge, guest.expect("connected").0)
}

#[tokio::test]
async fn boot_times_count_from_the_start_that_is_given() {
    let transport = Transport::default();
    let doors = Doors::open(&transport).expect("ports");
    let fake = FakeGuest(transport);
    let stage = watch::Sender::new(Stage::Kernel);
    let hour = Duration::from_hours(1);
    let start = Instant::now().checked_sub(hour).expect("an earlier time");
    let (_bridge, connected) = tokio::join!(fake.boot(), connect(doors, start, &stage));
    let times = connected.expect("connected").1;
    assert!(
        hour <= times.entropy && times.entropy <= times.log && times.log <= times.negotiated,
        "{times:?}"
    );
}

#[tokio::test]
async fn a_guest_boots_and_its_log_is_read() {
    let (_fake, _bridge, guest) = booted().await;
    let (kept, mut coming) = guest.logs().subscribe();
    let line = match kept.into_iter().next() {
        Some(line) => line,
        None => coming.recv().await.expect("a line"),
    };
    assert_eq!(line.message(), "hello");
}

#[tokio::test]
async fn pipelined_requests_get_their_own_answers() {
    let (_fake, mut bridge, guest) = booted().await;
    let calls: Vec<_> = (0..50)
        .map(|number| {
            let guest = guest.clone();
            let body = json!({"ContainerId": "", "Number": number}).to_string();
            tokio::spawn(async move { guest.call_raw(MessageType::START, body.as_bytes(), None).await })
        })
        .collect();
    let mut requests = Vec::new();
    for _ in 0..50 {
        requests.push(bridge.request().await);
    }
    // Answered in the opposite order.
    for (header, body) in requests.into_iter().rev() {
        bridge.answer(header, json!({"Result": 0, "Number": body["Number"]})).await;
    }
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.expect("task").expect("answer")["Number"], number);
    }
}

#[tokio::test]
async fn garbage_costs_the_connection_and_nothing_else() {
    for garbage in [[0xff; 16].as_slice(), &[1, 1, 0x10, 0x20, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]] {
        let (fake, mut bridge, guest) = booted().await;
        let failing = tokio::spawn({
            let guest = guest.clone();
            async move { guest.call_raw(MessageType::CREATE, b"{}", None).await }
        });
        let waiting = tokio::spawn({
            let process = Process {
                guest: guest.clone(),
                container: ContainerId::null(),
                pid: lcow_protocol::ProcessId(7),
                stdin: None,
                stdout: None,
                stderr: None,
            };
            async move { process.wait().await }
        });
        let ids = [bridge.request().await.0.id, bridge.request().await.0.id];
        bridge.0.write_all(garbage).await.expect("garbage");
        assert!(matches!(failing.await.expect("task"), Err(GuestError::Lost { .. })));

        let mut bridge = fake.bridge().await;
        let (header, body) = bridge.request().await;
        assert!(!ids.contains(&header.id), "ids go on across connections");
        assert_eq!(body["ProcessId"], 7, "the wait is asked again");
        // A late answer to a request of the old connection does no harm.
        bridge.frame(MessageType::CREATE.response(), ids[0], &json!({"Result": 0})).await;
        bridge.answer(header, json!({"Result": 0, "ExitCode": 3})).await;
        assert_eq!(waiting.await.expect("task").expect("status"), 3);
    }
}

#[tokio::test]
async fn errors_carry_the_guests_words_and_late_answers_are_ignored() {
    let (_fake, mut bridge, guest) = booted().await;
    let serve = async {
        let (header, _) = bridge.request().await;
        bridge.answer(header, json!({"Result": -2_147_467_259, "ErrorMessage": "no such thing"})).await;
        let (late, _) = bridge.request().await;
        let (header, _) = bridge.request().await;
        bridge.answer(late, json!({"Result": 0})).await;
        bridge.answer(header, json!({"Result": 0})).await;
    };
    let calls = async {
        let error = guest.call_raw(MessageType::CREATE, b"{}", None).await.expect_err("refused");
        assert!(error.to_string().contains("no such thing"), "{error}");
        let error = guest.call_raw(MessageType::CREATE, b"{}", Some(Duration::ZERO)).await.expect_err("late");
        assert!(matches!(error, GuestError::Timeout { .. }), "{error}");
        guest.call_raw(MessageType::CREATE, b"{}", None).await.expect("answer");
    };
    tokio::join!(serve, calls);
}

#[tokio::test]
async fn a_process_has_its_streams_and_its_status() {
    let (fake, mut bridge, guest) = booted().await;
    let serve = async {
        let (header, body) = bridge.request().await;
        let port = |name: &str| {
            let port = body["Settings"]["VsockStdioRelaySettings"][name].as_u64().expect("port");
            VsockPort(u32::try_from(port).expect("port"))
        };
        assert!(port("StdIn") >= ports::FIRST_STDIO);
        let [mut stdin, mut stdout, stderr] =
            [port("StdIn"), port("StdOut"), port("StdErr")].map(|port| fake.dial(port));
        bridge.answer(header, json!({"Result": 0, "ProcessId": 99})).await;
        let mut input = String::new();
        stdin.read_to_string(&mut input).await.expect("stdin ends");
        stdout.write_all(input.to_uppercase().as_bytes()).await.expect("stdout");
        drop((stdout, stderr));
        let (header, body) = bridge.request().await;
        assert_eq!(body["ProcessId"], 99);
        bridge.answer(header, json!({"Result": 0, "ExitCode": 5})).await;
    };
    let run = async {
        let mut process = guest.exec(VmProcess::new(["tr"]).stdio(Stdio::ALL)).await.expect("started");
        process.stdin.as_mut().expect("stdin").write_all(b"abc").await.expect("write");
        process.output().await.expect("output")
    };
    let ((), output) = tokio::join!(serve, run);
    assert_eq!((output.status, output.stdout.as_slice()), (5, b"ABC".as_slice()));
}
