//! What people and tools hear of a pull.

use std::fs;

use serde_json::Value;

use crate::bench::{Bench, text};
use crate::hub::Hub;
use crate::server::{Fault, Server};

/// The JSON lines about `task`.
fn events(said: &str, task: &str) -> Vec<Value> {
    let lines = said.lines().filter(|line| line.starts_with('{'));
    let events = lines.map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}")));
    events.filter(|event| event["task"] == task).collect()
}

fn number(event: &Value, key: &str) -> u64 {
    event[key].as_u64().unwrap_or_else(|| panic!("{key} of {event}"))
}

/// Builds with progress in this style; gives what was said.
fn said(bench: &Bench, name: &str, style: &str) -> String {
    let output = bench.command(name, &["--pull", "--progress", style]).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{}", text(&output.stderr));
    text(&output.stderr)
}

#[test]
fn tools_hear_of_every_byte_in_order() {
    let Some(hub) = Hub::start(false) else { return };
    let bench = Bench::new();
    hub.push(&bench.path().join("layout"), "latest", "me/app:v1");
    let name = hub.name("me/app:v1");
    let size = fs::metadata(bench.path().join("layout").join(bench.layer().replace(':', "/"))).unwrap().len();
    let task = format!("pulling {name}");
    // The second time all of it is here.
    for _ in 0..2 {
        let said = said(&bench, &name, "json");
        let events = events(&said, &task);
        let done: Vec<u64> = events.iter().map(|event| number(event, "done")).collect();
        assert!(done.len() > 1 && done.is_sorted(), "{said}");
        assert!(events.iter().all(|event| number(event, "total") == size), "{said}");
        let (last, before) = events.split_last().unwrap();
        assert_eq!((number(last, "done"), &last["finished"]), (size, &Value::Bool(true)));
        assert!(before.iter().all(|event| event.get("finished").is_none()), "{said}");
        let at = |text: &str| said.find(text).unwrap_or_else(|| panic!("{text}: {said}"));
        assert!(at("\"task\":\"pulling") < at("\"task\":\"unpacking"), "{said}");
        assert!(at("\"task\":\"unpacking") < at("\"task\":\"writing tar"), "{said}");
    }
}

#[test]
fn tools_hear_that_something_is_tried_again() {
    let bench = Bench::new();
    let server = Server::start(&bench.path().join("layout"));
    server.faults(&bench.layer(), [Fault::Status(500), Fault::Cut(200_000)]);
    let said = said(&bench, &server.name(), "json");
    let events = events(&said, &format!("pulling {}", server.name()));
    let (messages, counts): (Vec<&Value>, Vec<&Value>) =
        events.iter().partition(|event| event.get("message").is_some());
    assert_eq!(messages.len(), 2, "{said}");
    assert!(messages.iter().all(|event| event["message"].as_str().unwrap().contains("trying again")));
    // What had come does not come again.
    let last = counts.last().unwrap();
    assert_eq!(number(last, "done"), number(last, "total"), "{said}");
}

#[test]
fn whoever_reads_a_log_hears_little_and_nobody_else_anything() {
    let Some(hub) = Hub::start(false) else { return };
    let bench = Bench::new();
    hub.push(&bench.path().join("layout"), "latest", "me/app:v1");
    let name = hub.name("me/app:v1");
    let plain = said(&bench, &name, "plain");
    let lines: Vec<&str> = plain.lines().filter(|line| line.starts_with("pulling")).collect();
    assert_eq!(lines.len(), 2, "{plain}");
    assert_eq!(lines[0], format!("pulling {name} …"));
    assert!(lines[1].starts_with(&format!("pulling {name}: 48")) && lines[1].contains(" KiB, "), "{plain}");
    // Not a terminal: neither bars nor the sequences that move them.
    for style in ["auto", "none"] {
        let quiet = said(&bench, &name, style);
        assert!(!quiet.contains("pulling") && !quiet.contains('\u{1b}') && !quiet.contains('\r'), "{quiet}");
    }
}
