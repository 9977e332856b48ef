//! What an OCI `linux.resources` object asks for (OCI runtime specification, `config-linux.md`), whichever version of
//! cgroups it is for. Names are paths in the object, such as `/memory/limit`.

use serde_json::Value;

use super::Error;

/// A file of a cgroup and the text that goes into it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) file: String,
    pub(super) text: String,
}

/// That text for that file.
pub(super) fn setting(file: impl Into<String>, text: &impl ToString) -> Setting {
    Setting { file: file.into(), text: text.to_string() }
}

/// Says of a limit why it cannot be set.
pub(super) fn refused(name: &str, reason: &'static str) -> Error {
    Error::Resource { name: name.trim_start_matches('/').replace('/', "."), reason }
}

/// A number, if there is one.
pub(super) fn number(resources: &Value, name: &str) -> Result<Option<i128>, Error> {
    resources.pointer(name).filter(|value| !value.is_null()).map(|value| whole(value, name)).transpose()
}

/// As [`number`], for limits where zero asks for nothing.
pub(super) fn nonzero(resources: &Value, name: &str) -> Result<Option<i128>, Error> {
    Ok(number(resources, name)?.filter(|number| *number != 0))
}

/// The number that is `value`, which is part of what `name` names.
pub(super) fn whole(value: &Value, name: &str) -> Result<i128, Error> {
    let number = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
    number.ok_or_else(|| refused(name, "is not a whole number"))
}

/// A text; the empty one asks for nothing.
pub(super) fn text<'a>(resources: &'a Value, name: &str) -> Result<Option<&'a str>, Error> {
    let value = resources.pointer(name).filter(|value| !asks_nothing(value));
    value.map(|value| value.as_str().ok_or_else(|| refused(name, "is not a text"))).transpose()
}

/// The entries of a list, none if it is not there.
pub(super) fn list<'a>(resources: &'a Value, name: &str) -> Result<&'a [Value], Error> {
    match resources.pointer(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(value) => value.as_array().map(Vec::as_slice).ok_or_else(|| refused(name, "is not a list")),
    }
}

/// A limit for one device: `MAJOR:MINOR` and the number.
pub(super) fn device(entry: &Value, field: &str, name: &str) -> Result<(String, i128), Error> {
    let number = |field: &str| whole(&entry[field], name);
    Ok((format!("{}:{}", number("major")?, number("minor")?), number(field)?))
}

/// A limit of huge pages: their size as the names of files have it, and the bytes.
pub(super) fn huge_pages(entry: &Value) -> Result<(&str, i128), Error> {
    const NAME: &str = "/hugepageLimits";
    let size = entry["pageSize"].as_str().filter(|size| is_file_name(size));
    let size = size.ok_or_else(|| refused(NAME, "has an entry without a size of pages"))?;
    Ok((size, whole(&entry["limit"], NAME)?))
}

/// Whether a text of the host's can be (part of) the name of a file in the cgroup's own directory.
pub(super) fn is_file_name(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('.') && !text.contains(['/', '\0'])
}

/// The first limit that is asked for and `is_known` does not know. Hosts send what they were given as a whole, so what
/// asks for nothing is no reason to refuse the rest.
pub(super) fn unknown(resources: &Value, is_known: impl Fn(&str) -> bool) -> Option<String> {
    let asked = |value: &Value, path: &str| {
        let Value::Object(fields) = value else { return Vec::new() };
        fields
            .iter()
            .filter(|(_, value)| !asks_nothing(value))
            .map(|(key, value)| (format!("{path}/{key}"), value.clone()))
            .collect::<Vec<_>>()
    };
    for (section, value) in asked(resources, "") {
        if is_known(&section) {
            continue;
        }
        let fields = asked(&value, &section);
        if fields.is_empty() {
            return Some(section);
        }
        if let Some((name, _)) = fields.into_iter().find(|(name, _)| !is_known(name)) {
            return Some(name);
        }
    }
    None
}

fn asks_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(asks_nothing),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_asked_for_and_not_known_is_named() {
        let known = |name: &str| ["/memory/limit", "/devices"].contains(&name);
        for (resources, name) in [
            (json!({"memory": {"limit": 1, "swappiness": 60}}), Some("/memory/swappiness")),
            (json!({"network": {"priorities": [{"name": "eth0"}]}}), Some("/network/priorities")),
            (json!({"rdma": 7}), Some("/rdma")),
            (json!({"memory": {"limit": 1, "swappiness": 0}, "rdma": {}, "devices": [1]}), None),
            (json!({"memory": {"disableOOMKiller": false}, "network": {"priorities": []}}), None),
            (Value::Null, None),
        ] {
            assert_eq!(unknown(&resources, known).as_deref(), name, "{resources}");
        }
    }

    #[test]
    fn a_limit_of_the_wrong_type_is_refused_by_its_name() {
        let resources =
            json!({"memory": {"limit": "64M"}, "cpu": {"cpus": 1, "quota": 0.5}, "hugepageLimits": {}});
        let said = |error: Error| error.to_string();
        assert_eq!(
            said(number(&resources, "/memory/limit").unwrap_err()),
            "memory.limit is not a whole number"
        );
        assert_eq!(said(number(&resources, "/cpu/quota").unwrap_err()), "cpu.quota is not a whole number");
        assert_eq!(said(text(&resources, "/cpu/cpus").unwrap_err()), "cpu.cpus is not a text");
        assert_eq!(said(list(&resources, "/hugepageLimits").unwrap_err()), "hugepageLimits is not a list");
        assert!(huge_pages(&json!({"pageSize": "../2MB", "limit": 1})).is_err());
        assert_eq!(number(&json!({"a": u64::MAX}), "/a").unwrap(), Some(i128::from(u64::MAX)));
    }
}
