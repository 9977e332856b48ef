//! Secrets are taken out of what is logged (spec section 13).

use serde_json::Value;

/// What stands in a secret's place.
const SCRUBBED: &str = "<scrubbed>";
/// Members whose values may be secrets, in lower case: annotations and environments, however they are spelled.
const SECRET: [&str; 3] = ["annotations", "env", "environment"];

/// Replaces what may be secret in a request, also in objects that travel as text.
pub(crate) fn scrub(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if SECRET.contains(&name.to_ascii_lowercase().as_str()) {
                    *member = SCRUBBED.into();
                } else {
                    scrub(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(scrub),
        Value::String(text) => {
            if let Ok(mut inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text) {
                scrub(&mut inner);
                *text = inner.to_string();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_secret_is_left_at_any_depth() {
        let spec =
            json!({"annotations": {"token": "s3cret"}, "process": {"env": ["PW=s3cret"], "args": ["sh"]}});
        let settings = json!({"OciSpecification": spec.to_string()}).to_string();
        let mut create = json!({"ContainerConfig": settings, "ContainerId": "c1"});
        scrub(&mut create);
        let mut execute = json!({"Settings": {"ProcessParameters":
            json!({"Environment": {"PW": "s3cret"}, "CommandArgs": ["ls"]}).to_string()}});
        scrub(&mut execute);
        for scrubbed in [create.to_string(), execute.to_string()] {
            assert!(!scrubbed.contains("s3cret"), "{scrubbed}");
        }
        assert!(create.to_string().contains("sh") && execute.to_string().contains("ls"));
    }
}
