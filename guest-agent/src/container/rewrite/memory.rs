//! File systems in memory, whose root is everybody's unless they are told otherwise (the kernel's
//! `Documentation/filesystems/tmpfs.rst`).

use serde_json::{Value, json};

use super::is_bind;
use crate::container::Error;

/// An option of other runtimes, not of the kernel: to begin with what the directory has.
const COPY: &str = "tmpcopyup";

/// Whether a mount makes such a file system.
pub(super) fn is(mount: &Value) -> bool {
    mount["type"] == "tmpfs" && !is_bind(mount)
}

/// Gives it the permissions of the directory that it hides, if there is one and the host does not say others; as runc
/// does, a directory that is new makes no difference.
pub(super) fn adapt(mount: &mut Value, hidden: Option<u32>) -> Result<(), Error> {
    let words = |mount: &Value, wanted: fn(&str) -> bool| {
        let options = mount["options"].as_array().map(Vec::as_slice).unwrap_or_default();
        options.iter().filter_map(Value::as_str).any(|words| words.split(',').any(wanted))
    };
    if words(mount, |word| word == COPY) {
        let place = &mount["destination"];
        return Err(Error::Invalid(format!(
            "the mount on {place} has the option {COPY}, which is not known here"
        )));
    }
    if let Some(mode) = hidden.filter(|_| !words(mount, |word| word.starts_with("mode="))) {
        let options = &mut mount["options"];
        if options.is_null() {
            *options = json!([]);
        }
        if let Some(options) = options.as_array_mut() {
            options.push(format!("mode={mode:04o}").into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copying_is_refused_by_its_name() {
        let mut mount = json!({"destination": "/run", "type": "tmpfs", "options": ["rw", "tmpcopyup"]});
        let said = adapt(&mut mount, None).unwrap_err().to_string();
        assert!(said.contains("/run") && said.contains(COPY), "{said}");
        assert!(!is(&json!({"type": "tmpfs", "options": ["bind"]})));
    }
}
