//! Telling how far long work has come: a bar for people at a terminal, lines of text for logs, JSON lines for tools.

use std::io::{self, IsTerminal, Write};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The least time between two JSON lines of one task.
const JSON_INTERVAL: Duration = Duration::from_millis(200);

/// How progress is shown, on stderr in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Style {
    /// Bars when stderr is a terminal, else nothing.
    #[default]
    Auto,
    /// A line when a task begins, and one with what it came to when it ends.
    Plain,
    /// Nothing.
    Quiet,
    /// A line `{"task":…,"done":…,"total":…}` now and then; `total` is null when unknown, and the last line of a task
    /// has `"finished":true`. Besides, `{"task":…,"message":…}` where people should know something.
    Json,
}

/// A style nobody knows.
#[derive(Debug, thiserror::Error)]
#[error("progress is one of auto, plain, json, none")]
pub struct UnknownStyle;

impl FromStr for Style {
    type Err = UnknownStyle;

    fn from_str(text: &str) -> Result<Self, UnknownStyle> {
        match text {
            "auto" => Ok(Self::Auto),
            "plain" => Ok(Self::Plain),
            "none" => Ok(Self::Quiet),
            "json" => Ok(Self::Json),
            _ => Err(UnknownStyle),
        }
    }
}

/// What the numbers of a task count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Anything else.
    Steps,
}

/// Makes [`Task`]s.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    style: Style,
}

impl Progress {
    /// Progress shown as `style` says.
    pub fn new(style: Style) -> Self {
        Self { style }
    }

    /// Begins the work `name`, which ends at `total` if that is known.
    pub fn task(&self, name: impl Into<String>, total: Option<u64>, unit: Unit) -> Task {
        let name = name.into();
        let sink = match self.style {
            Style::Auto if io::stderr().is_terminal() => Sink::Bar(bar(&name, total, unit)),
            Style::Plain => Sink::Plain(PlainTask::begin(name, unit)),
            Style::Json => Sink::Json(Mutex::new(JsonTask { name, total, done: 0, told: None })),
            Style::Auto | Style::Quiet => Sink::Nothing,
        };
        Task { sink: Arc::new(sink) }
    }
}

fn bar(name: &str, total: Option<u64>, unit: Unit) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    let template = match (total, unit) {
        (Some(_), Unit::Bytes) => "{msg:24} [{bar:30}] {bytes}/{total_bytes} {eta}",
        (Some(_), Unit::Steps) => "{msg:24} [{bar:30}] {percent}% {eta}",
        (None, Unit::Bytes) => "{msg:24} {spinner} {bytes} {elapsed}",
        (None, Unit::Steps) => "{msg:24} {spinner} {pos} {elapsed}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(name.to_owned());
    bar
}

/// One piece of work; may be told of from several threads. It ends when its last copy is dropped.
#[derive(Debug, Clone)]
pub struct Task {
    sink: Arc<Sink>,
}

#[derive(Debug)]
enum Sink {
    Nothing,
    Bar(ProgressBar),
    Plain(PlainTask),
    Json(Mutex<JsonTask>),
}

impl Task {
    /// `more` is done.
    pub fn add(&self, more: u64) {
        match &*self.sink {
            Sink::Nothing => {}
            Sink::Bar(bar) => bar.inc(more),
            Sink::Plain(task) => drop(task.done.fetch_add(more, Ordering::Relaxed)),
            Sink::Json(task) => task.lock().unwrap_or_else(PoisonError::into_inner).add(more),
        }
    }

    /// There is so much more to do than was known.
    pub fn lengthen(&self, more: u64) {
        match &*self.sink {
            Sink::Nothing | Sink::Plain(_) => {}
            Sink::Bar(bar) => bar.inc_length(more),
            Sink::Json(task) => {
                let mut task = task.lock().unwrap_or_else(PoisonError::into_inner);
                task.total = Some(task.total.unwrap_or_default() + more);
            }
        }
    }

    /// Something people should know while it goes on, in a line of its own; in JSON lines it is the `message` of the task.
    pub fn say(&self, line: &str) {
        match &*self.sink {
            Sink::Nothing => {}
            Sink::Bar(bar) => bar.println(line),
            Sink::Plain(_) => {
                let _ = writeln!(io::stderr(), "{line}");
            }
            Sink::Json(task) => task.lock().unwrap_or_else(PoisonError::into_inner).say(line),
        }
    }

    /// A reader that tells of every byte that comes from `inner`.
    pub fn reader<R: io::Read>(&self, inner: R) -> Counted<R> {
        Counted { inner, task: self.clone() }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// A reader whose bytes are counted.
#[derive(Debug)]
pub struct Counted<R> {
    inner: R,
    task: Task,
}

impl<R: io::Read> io::Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.task.add(count as u64);
        Ok(count)
    }
}

#[derive(Debug)]
struct PlainTask {
    name: String,
    unit: Unit,
    done: AtomicU64,
    began: Instant,
}

impl PlainTask {
    fn begin(name: String, unit: Unit) -> Self {
        let _ = writeln!(io::stderr(), "{name} …");
        Self { name, unit, done: AtomicU64::new(0), began: Instant::now() }
    }

    fn end(&self) -> String {
        let done = self.done.load(Ordering::Relaxed);
        let what = match self.unit {
            Unit::Bytes => format!("{}, ", HumanBytes(done)),
            Unit::Steps => String::new(),
        };
        format!("{}: {what}{:.1} s", self.name, self.began.elapsed().as_secs_f64())
    }
}

impl Drop for PlainTask {
    fn drop(&mut self) {
        let _ = writeln!(io::stderr(), "{}", self.end());
    }
}

#[derive(Debug)]
struct JsonTask {
    name: String,
    total: Option<u64>,
    done: u64,
    told: Option<Instant>,
}

impl JsonTask {
    fn add(&mut self, more: u64) {
        self.done += more;
        if self.told.is_none_or(|told| told.elapsed() >= JSON_INTERVAL) {
            self.told = Some(Instant::now());
            self.tell(false);
        }
    }

    fn tell(&self, finished: bool) {
        // Nobody is hurt when nobody listens.
        let _ = writeln!(io::stderr(), "{}", self.line(finished));
    }

    fn say(&self, message: &str) {
        let line = serde_json::json!({"task": self.name, "message": message});
        let _ = writeln!(io::stderr(), "{line}");
    }

    fn line(&self, finished: bool) -> String {
        let mut line = serde_json::json!({"task": self.name, "done": self.done, "total": self.total});
        if finished {
            line["finished"] = true.into();
        }
        line.to_string()
    }
}

impl Drop for JsonTask {
    fn drop(&mut self) {
        self.tell(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn json_lines_can_be_read_by_tools() {
        let task = JsonTask { name: "a \"b\"".into(), total: None, done: 3, told: None };
        let line: serde_json::Value = serde_json::from_str(&task.line(true)).unwrap();
        assert_eq!(line, serde_json::json!({"task": "a \"b\"", "done": 3, "total": null, "finished": true}));
    }

    #[test]
    fn a_counted_reader_passes_on_every_byte() {
        let json = JsonTask { name: "x".into(), total: Some(5), done: 0, told: Some(Instant::now()) };
        let task = Task { sink: Arc::new(Sink::Json(Mutex::new(json))) };
        let mut text = String::new();
        task.reader(&b"hello"[..]).read_to_string(&mut text).unwrap();
        let Sink::Json(json) = &*task.sink else { unreachable!() };
        assert_eq!((text.as_str(), json.lock().unwrap().done), ("hello", 5));
    }

    #[test]
    fn plain_lines_say_how_much_there_was() {
        let task = PlainTask::begin("unpacking x".into(), Unit::Bytes);
        task.done.fetch_add(2048, Ordering::Relaxed);
        assert!(task.end().starts_with("unpacking x: 2.00 KiB, "), "{}", task.end());
    }

    #[test]
    fn styles_have_names() {
        assert_eq!("json".parse::<Style>().unwrap(), Style::Json);
        assert!("loud".parse::<Style>().is_err());
    }
}
