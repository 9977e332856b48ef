//! Spans: how long a request took, in the log, under the trace that the host has named (spec sections 4.2 and 13; W3C
//! Trace Context).

use chrono::{DateTime, SecondsFormat, Utc};
use lcow_protocol::MessageType;
use lcow_protocol::envelope::TraceContext;

/// A request of a host that traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    trace: String,
    parent: String,
    id: String,
    started: DateTime<Utc>,
}

impl Span {
    /// A span that begins now; `None` if the host does not trace, or names no trace that can be read.
    pub(super) fn begin(context: Option<&TraceContext>) -> Option<Self> {
        let (trace, parent) = parse(&context?.traceparent)?;
        // Without random numbers spans of one trace look alike, which costs nothing but clarity.
        let id = format!("{:016x}", crate::random::number().unwrap_or(1));
        Some(Self { trace, parent, id, started: Utc::now() })
    }

    /// Logs it.
    pub(super) fn end(self, message: MessageType, failed: bool) {
        let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Nanos, true);
        let ended = Utc::now();
        let duration = format!("{} µs", (ended - self.started).num_microseconds().unwrap_or_default());
        macro_rules! span {
            ($level:ident) => {
                tracing::$level!(
                    traceID = self.trace, parentSpanID = self.parent, spanID = self.id, spanKind = "server",
                    name = %message, startTime = time(self.started), endTime = time(ended), duration, "Span"
                )
            };
        }
        if failed {
            span!(error);
        } else {
            span!(info);
        }
    }
}

/// The trace and the span of a `traceparent`: `00-<32 hex>-<16 hex>-<2 hex>`, none of them all zeros.
fn parse(text: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags, ..] = parts[..] else { return None };
    let hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let known = hex(version, 2) && version != "ff" && (version != "00" || parts.len() == 4) && hex(flags, 2);
    let names = |text: &str, length| hex(text, length) && text.bytes().any(|byte| byte != b'0');
    (known && names(trace, 32) && names(parent, 16)).then(|| (trace.to_owned(), parent.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "b7ad6b7169203331";

    #[test]
    fn a_parent_is_read_as_the_standard_writes_it() {
        let good = format!("00-{TRACE}-{PARENT}-01");
        assert_eq!(parse(&good), Some((TRACE.to_owned(), PARENT.to_owned())));
        assert!(parse(&format!("cc-{TRACE}-{PARENT}-01-what-the-future-says")).is_some());
        for bad in [
            String::new(),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("00-{TRACE}-{PARENT}"),
            format!("00-{TRACE}-{PARENT}-01-x"),
            format!("00-{}-{PARENT}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{}-{PARENT}-01", TRACE.to_uppercase()),
        ] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn each_span_has_a_name_of_its_own() {
        let context =
            TraceContext { traceparent: format!("00-{TRACE}-{PARENT}-00"), ..TraceContext::default() };
        let span = Span::begin(Some(&context)).unwrap();
        assert_eq!((span.trace.as_str(), span.parent.as_str(), span.id.len()), (TRACE, PARENT, 16));
        assert_ne!(span.id, Span::begin(Some(&context)).unwrap().id);
        assert_eq!(Span::begin(None), None);
    }
}
