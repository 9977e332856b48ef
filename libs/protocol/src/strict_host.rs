//! The rules whose breach makes a real host drop the whole bridge (spec section 16.4), as a check on one frame.
//!
//! The agent asserts it on everything it sends in debug builds; tests assert it on everything they receive.

use serde_json::Value;
use uuid::Uuid;

use crate::frame::{HEADER_LEN, Header, MAX_TO_HOST};
use crate::messages::PROTOCOL_VERSION;
use crate::{Kind, MessageType};

/// The rule that a frame to the host breaks, if any. Rules about ids (answered twice, never asked) need the
/// conversation and are the caller's.
pub fn violation(frame: &[u8]) -> Option<String> {
    check(frame).err()
}

fn check(frame: &[u8]) -> Result<(), String> {
    let header_bytes = frame.first_chunk::<HEADER_LEN>().ok_or("shorter than a header")?;
    let header = Header::decode(header_bytes, MAX_TO_HOST).map_err(|error| error.to_string())?;
    let body = &frame[HEADER_LEN..];
    if body.len() != header.body_len as usize {
        return Err(format!("size says {} bytes of body, there are {}", header.body_len, body.len()));
    }
    let body: Value = serde_json::from_slice(body).map_err(|error| format!("body is not JSON: {error}"))?;
    let body = body.as_object().ok_or("body is not an object")?;
    match header.message_type.kind() {
        Kind::Response => {}
        Kind::Notification if header.message_type == MessageType::CONTAINER_NOTIFICATION => {
            if body.contains_key("ResultInfo") {
                return Err("a notification with ResultInfo".to_owned());
            }
        }
        _ => return Err(format!("a guest may not send {:?}", header.message_type)),
    }
    if !body.get("Result").is_none_or(is_i32) {
        return Err("Result is not a signed 32-bit number".to_owned());
    }
    if !body.get("ActivityId").is_none_or(is_guid) {
        return Err("ActivityId is not a GUID".to_owned());
    }
    for record in body.get("ErrorRecords").and_then(Value::as_array).into_iter().flatten() {
        if record.get("Line").is_some_and(|line| line.as_u64().is_none_or(|n| u32::try_from(n).is_err())) {
            return Err("an error record's Line is not an unsigned 32-bit number".to_owned());
        }
    }
    if let Some(properties) = body.get("Properties") {
        let text = properties.as_str().ok_or("Properties is not a string")?;
        serde_json::from_str::<Value>(text).map_err(|error| format!("Properties is not JSON: {error}"))?;
    }
    let succeeded = body.get("Result").and_then(Value::as_i64).unwrap_or(0) == 0;
    if header.message_type == MessageType::NEGOTIATE_PROTOCOL.response() && succeeded {
        check_negotiation(body)?;
    }
    Ok(())
}

fn check_negotiation(body: &serde_json::Map<String, Value>) -> Result<(), String> {
    if body.get("Version").and_then(Value::as_u64) != Some(u64::from(PROTOCOL_VERSION)) {
        return Err("the negotiated version is not 4".to_owned());
    }
    let capabilities = body.get("Capabilities").ok_or("no Capabilities")?;
    if capabilities.get("GuestDefinedCapabilities").is_none() {
        return Err("no GuestDefinedCapabilities".to_owned());
    }
    Ok(())
}

fn is_i32(value: &Value) -> bool {
    value.as_i64().is_some_and(|n| i32::try_from(n).is_ok())
}

fn is_guid(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() == 36 && Uuid::parse_str(text).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::encode;

    fn response(json: &str) -> Option<String> {
        let frame = encode(MessageType::START.response(), 1, json.as_bytes(), MAX_TO_HOST).unwrap();
        violation(&frame)
    }

    #[test]
    fn each_fatal_row_of_the_specification_is_found() {
        assert_eq!(response(r#"{"Result":0}"#), None);
        assert_eq!(response(r#"{"Result":0,"Properties":"{}"}"#), None);
        for fatal in [
            "",
            "[]",
            "{",
            r#"{"Result":3224830222}"#,
            r#"{"Result":0,"ActivityId":""}"#,
            r#"{"Result":0,"ActivityId":"x"}"#,
            r#"{"Result":-1,"ErrorRecords":[{"Line":-1}]}"#,
            r#"{"Result":0,"Properties":""}"#,
            r#"{"Result":0,"Properties":{}}"#,
        ] {
            assert!(response(fatal).is_some(), "{fatal}");
        }
    }

    #[test]
    fn requests_and_foreign_notifications_are_fatal() {
        for kind in [MessageType::START, MessageType(0x3010_0201), MessageType(0x1)] {
            assert!(violation(&encode(kind, 1, b"{}", MAX_TO_HOST).unwrap()).is_some(), "{kind:?}");
        }
        let info = br#"{"ResultInfo":""}"#;
        let frame = encode(MessageType::CONTAINER_NOTIFICATION, 0, info, MAX_TO_HOST).unwrap();
        assert!(violation(&frame).is_some());
    }

    #[test]
    fn a_negotiation_must_carry_version_and_capabilities() {
        let negotiated = |json: &str| {
            let kind = MessageType::NEGOTIATE_PROTOCOL.response();
            violation(&encode(kind, 0, json.as_bytes(), MAX_TO_HOST).unwrap())
        };
        assert_eq!(
            negotiated(r#"{"Result":0,"Version":4,"Capabilities":{"GuestDefinedCapabilities":null}}"#),
            None
        );
        assert_eq!(negotiated(r#"{"Result":-1070137076}"#), None);
        assert!(negotiated(r#"{"Result":0,"Version":4,"Capabilities":{}}"#).is_some());
        assert!(
            negotiated(r#"{"Result":0,"Version":5,"Capabilities":{"GuestDefinedCapabilities":{}}}"#)
                .is_some()
        );
    }
}
