//! What all requests and all responses have in common (spec sections 4.2 and 4.3).

use serde::{Deserialize, Serialize};

use crate::{ActivityId, ContainerId, HResult};

/// The fields of every request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RequestBase {
    /// Whom the request addresses.
    pub container_id: ContainerId,
    /// Echoed in the response.
    pub activity_id: ActivityId,
    /// W3C trace context, when the host traces.
    #[serde(rename = "otsc", skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
}

/// W3C trace context as an OpenTelemetry carrier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TraceContext {
    /// `00-<32 hex>-<16 hex>-01`.
    pub traceparent: String,
    /// Vendor data.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tracestate: String,
}

/// The fields of every response, and all there is of one that reports an error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ResponseBase {
    /// Zero, or a negative code.
    pub result: HResult,
    /// That of the request.
    pub activity_id: ActivityId,
    /// The text that users see.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error_message: String,
    /// Details that hosts only log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub error_records: Vec<ErrorRecord>,
}

/// One cause of an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ErrorRecord {
    /// The code.
    pub result: HResult,
    /// The text.
    pub message: String,
    /// Where from, if known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stack_trace: String,
    /// Always `gcs`.
    pub module_name: String,
    /// Source file, or empty.
    pub file_name: String,
    /// Source line, 4294967295 when unknown. A host drops the bridge over a negative one.
    pub line: u32,
    /// Function, or empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub function_name: String,
}

impl Default for ErrorRecord {
    fn default() -> Self {
        Self {
            result: HResult::OK,
            message: String::new(),
            stack_trace: String::new(),
            module_name: "gcs".to_owned(),
            file_name: String::new(),
            line: u32::MAX,
            function_name: String::new(),
        }
    }
}

/// Longest error text in bytes that goes into a response. It occurs twice in a frame, and JSON may need six
/// bytes for one of it.
pub const MAX_ERROR_TEXT: usize = 4096;

impl ResponseBase {
    /// A success without payload.
    pub fn success(activity_id: ActivityId) -> Self {
        Self { activity_id, ..Self::default() }
    }

    /// A failure. Text above [`MAX_ERROR_TEXT`] bytes is cut, because a frame over the limit would cost the
    /// whole bridge.
    pub fn failure(activity_id: ActivityId, result: HResult, text: &str) -> Self {
        let text = truncated(text, MAX_ERROR_TEXT);
        let record = ErrorRecord { result, message: text.clone(), ..ErrorRecord::default() };
        Self { result, activity_id, error_message: text, error_records: vec![record] }
    }
}

/// `text`, cut at a character boundary to at most `limit` bytes with a mark where it was cut.
pub fn truncated(text: &str, limit: usize) -> String {
    const MARK: &str = " [cut]";
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(limit.saturating_sub(MARK.len()));
    format!("{}{MARK}", &text[..end])
}

/// A whole message: the common fields and its own, in one object.
#[derive(Debug, Serialize)]
pub struct Message<B, P> {
    /// The common fields.
    #[serde(flatten)]
    pub base: B,
    /// The message's own fields.
    #[serde(flatten)]
    pub payload: P,
}

impl<B: Serialize, P: Serialize> Message<B, P> {
    /// The message as the JSON that follows a header.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_and_failure_are_the_bytes_of_the_specification() {
        let ok = serde_json::to_string(&ResponseBase::success(ActivityId::default())).unwrap();
        assert_eq!(ok, r#"{"Result":0,"ActivityId":"00000000-0000-0000-0000-000000000000"}"#);

        let base =
            ResponseBase::failure(ActivityId::default(), HResult::SYSTEM_NOT_FOUND, "HRESULT: 0xc037010e");
        let expected = concat!(
            r#"{"Result":-1070137074,"ActivityId":"00000000-0000-0000-0000-000000000000","#,
            r#""ErrorMessage":"HRESULT: 0xc037010e","#,
            r#""ErrorRecords":[{"Result":-1070137074,"Message":"HRESULT: 0xc037010e","ModuleName":"gcs","#,
            r#""FileName":"","Line":4294967295}]}"#
        );
        assert_eq!(serde_json::to_string(&base).unwrap(), expected);
    }

    #[test]
    fn error_text_is_cut_between_characters() {
        let base = ResponseBase::failure(ActivityId::default(), HResult::FAIL, &"ä\u{1}".repeat(100_000));
        assert!(base.error_message.len() <= MAX_ERROR_TEXT);
        assert!(base.error_message.ends_with("[cut]"));
        assert!(serde_json::to_vec(&base).unwrap().len() < 60_000);
    }
}
