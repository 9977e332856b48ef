//! Log lines in the shape that hosts parse: a JSON object per line with `level`, `msg`, `time` and the event's
//! own fields. A host gives up on the stream at the first thing that is none, so a line is one write.

use std::fmt::Debug;
use std::fs::File;
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::writer::Writer;

/// Longest text of one field in bytes; hosts forward messages in small packets.
const MAX_TEXT: usize = 4096;

/// A field that becomes `message` beside the event's own `msg`.
pub(super) const MESSAGE_FIELD: &str = "kernel_message";

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `-log-format json`, for hosts.
    Json,
    /// `-log-format text`, for people.
    Text,
}

/// The subscriber that makes the lines.
pub(crate) struct Log {
    format: Format,
    level: Level,
    writer: Writer,
}

impl Log {
    /// A log of everything down to `level` that is written to `sink` once its [`Writer`] runs.
    pub(crate) fn new(format: Format, level: Level, sink: File) -> Self {
        let notice = move |dropped: u64| {
            let mut fields = Map::new();
            fields.insert("message".to_owned(), "log lines were dropped".into());
            fields.insert("count".to_owned(), dropped.into());
            line(format, Level::WARN, fields)
        };
        Self { format, level, writer: Writer::new(sink, notice) }
    }

    /// What waits to be written.
    pub(crate) fn writer(&self) -> Writer {
        self.writer.clone()
    }
}

fn line(format: Format, level: Level, fields: Map<String, Value>) -> Vec<u8> {
    let time = DateTime::<Utc>::from(SystemTime::now()).to_rfc3339_opts(SecondsFormat::Nanos, true);
    let level = level_name(level);
    let mut line = match format {
        Format::Json => json_line(level, time, fields),
        Format::Text => text_line(level, &time, &fields),
    };
    line.push(b'\n');
    line
}

/// A line of a process that ends without a log of its own.
pub(crate) fn fatal_line(message: &str) -> Vec<u8> {
    let mut fields = Map::new();
    fields.insert("message".to_owned(), message.into());
    line(Format::Json, Level::ERROR, fields)
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::TRACE => "trace",
        Level::DEBUG => "debug",
        Level::INFO => "info",
        Level::WARN => "warning",
        Level::ERROR => "error",
    }
}

fn json_line(level: &str, time: String, mut fields: Map<String, Value>) -> Vec<u8> {
    let message = fields.remove("message").unwrap_or_default();
    let mut object = Map::new();
    object.insert("level".to_owned(), level.into());
    object.insert("msg".to_owned(), message);
    object.insert("time".to_owned(), time.into());
    for (key, value) in fields {
        let key = if key == MESSAGE_FIELD { "message".to_owned() } else { key };
        // An event's own field must not hide one of ours.
        object.entry(key).or_insert(value);
    }
    serde_json::to_vec(&Value::Object(object)).unwrap_or_default()
}

fn text_line(level: &str, time: &str, fields: &Map<String, Value>) -> Vec<u8> {
    let mut line = format!("{time} {level}");
    for (key, value) in fields {
        match value {
            Value::String(text) if key == "message" => line.extend([" ", text]),
            value => line.extend([" ", key, "=", &value.to_string()]),
        }
    }
    line.into_bytes()
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        self.writer.send(line(self.format, *event.metadata().level(), fields.0));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Collects an event's fields.
struct Fields(Map<String, Value>);

impl Fields {
    fn insert(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, lcow_protocol::envelope::truncated(value, MAX_TEXT).into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_str(field, &crate::causes::with_causes(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("message".to_owned(), "hello \"you\"\n".into());
        fields.insert("cid".to_owned(), "c1".into());
        fields.insert("time".to_owned(), "mine".into());
        fields.insert(MESSAGE_FIELD.to_owned(), "oops".into());
        fields
    }

    #[test]
    fn a_json_line_is_one_object_with_the_fields_that_hosts_read() {
        let line = line(Format::Json, Level::WARN, fields());
        assert_eq!(line.split_inclusive(|byte| *byte == b'\n').count(), 1);
        let object: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(object["level"], "warning");
        assert_eq!(object["msg"], "hello \"you\"\n");
        assert_eq!((&object["cid"], &object["message"]), (&"c1".into(), &"oops".into()));
        assert!(DateTime::parse_from_rfc3339(object["time"].as_str().unwrap()).is_ok());
    }

    #[test]
    fn a_text_line_starts_with_time_and_level() {
        let line = String::from_utf8(text_line("info", "now", &fields())).unwrap();
        assert!(line.starts_with("now info"), "{line}");
        assert!(line.contains("cid=\"c1\""), "{line}");
    }
}
