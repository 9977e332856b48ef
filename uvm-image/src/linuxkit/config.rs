//! A description with types, merged from its files.

use serde::Deserialize;
use serde_json::{Map, Value};

/// A container as the description has it; its type is [`super::container::Container`] once its image's label is known.
pub type Item = Map<String, Value>;

/// Everything a description says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Description {
    /// The kernel, if there is one.
    pub kernel: Option<Kernel>,
    /// Images that make the root, the later over the earlier.
    pub init: Vec<String>,
    /// Run one by one before the services.
    pub onboot: Vec<Item>,
    /// Run one by one at the end.
    pub onshutdown: Vec<Item>,
    /// Run all together.
    pub services: Vec<Item>,
    /// Who signed images: nobody checks that any more.
    pub trust: Option<Value>,
    /// Files of their own.
    pub files: Vec<File>,
    /// Directories that containers share.
    pub volumes: Vec<Volume>,
    /// Our own additions.
    pub lcow: Lcow,
}

impl Description {
    /// All containers, by the lists that they stand in, in the order of the root.
    pub fn containers(&self) -> [(&'static str, &[Item]); 3] {
        [("onboot", &self.onboot), ("onshutdown", &self.onshutdown), ("services", &self.services)]
    }
}

/// The kernel.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Kernel {
    /// Its image.
    pub image: Option<String>,
    /// Its command line.
    pub cmdline: String,
    /// The name of the kernel in the image; `kernel` if it is not given.
    pub binary: Option<String>,
    /// The name of the archive with modules; `kernel.tar` if it is not given.
    pub tar: Option<String>,
    /// The name of the archive with processor microcode.
    pub ucode: Option<String>,
}

impl Kernel {
    /// The kernel's name in its image.
    pub fn binary(&self) -> &str {
        self.binary.as_deref().unwrap_or("kernel")
    }

    /// The name of the archive with modules, unless there shall be none.
    pub fn tar(&self) -> Option<&str> {
        Some(self.tar.as_deref().unwrap_or("kernel.tar")).filter(|name| !matches!(*name, "" | "none"))
    }

    /// The name of the archive with microcode.
    pub fn ucode(&self) -> Option<&str> {
        self.ucode.as_deref().filter(|name| !name.is_empty())
    }
}

/// Our own additions to the language, under the key `lcow`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Lcow {
    /// Whether the guest agent is added; if it is not said, it is unless the init images bring an init.
    pub agent: Option<bool>,
    /// Kernel modules besides those that every utility VM needs.
    pub modules: Vec<String>,
    /// Whether `rootfs.vhd` is checked by hash.
    pub verity: bool,
}

/// A user's or group's number, or the name of the container that has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Id {
    /// The number.
    Number(u32),
    /// The name.
    Name(String),
}

/// A file, directory or link.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct File {
    /// Where it goes.
    pub path: String,
    /// Whether it is a directory.
    pub directory: bool,
    /// The target of a link.
    pub symlink: Option<String>,
    /// What is in it.
    pub contents: Option<String>,
    /// The file on this machine with what is in it.
    pub source: Option<String>,
    /// `yaml` or `json`: the description itself is in it.
    pub metadata: Option<String>,
    /// Whether it may be left out when its source is not there.
    pub optional: bool,
    /// Permissions, octal.
    pub mode: Option<String>,
    /// Its owner.
    pub uid: Option<Id>,
    /// Its group.
    pub gid: Option<Id>,
}

/// A directory that containers share.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// What is in it at first.
    pub image: Option<String>,
    /// Whether nobody may write to it.
    pub readonly: bool,
    /// `filesystem`, which it is if nothing is said, or `oci`.
    pub format: Option<String>,
    /// Of an image of format `oci`, what platforms are kept.
    pub platforms: Vec<String>,
}

/// Puts `over` on `under`: the kernel's and our own fields one by one, lists one after the other.
pub fn merge(under: &mut Map<String, Value>, over: Map<String, Value>) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Object(below)), Value::Object(above)) if key == "trust" => merge(below, above),
            (Some(Value::Object(below)), Value::Object(above)) => below.extend(above),
            (Some(Value::Array(below)), Value::Array(above)) => below.extend(above),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_second_file_adds_and_overrides() {
        let object = |value: Value| value.as_object().unwrap().clone();
        let mut all = object(json!({"kernel": {"image": "k", "ucode": "u"}, "onboot": [{"name": "a"}]}));
        merge(&mut all, object(json!({"kernel": {"ucode": ""}, "onboot": [{"name": "b"}], "init": ["i"]})));
        let all: Description = serde_json::from_value(Value::Object(all)).unwrap();
        let kernel = all.kernel.unwrap();
        assert_eq!(
            (kernel.image.as_deref(), kernel.ucode(), kernel.tar()),
            (Some("k"), None, Some("kernel.tar"))
        );
        let names: Vec<_> = all.onboot.iter().map(|item| item["name"].as_str().unwrap()).collect();
        assert_eq!((names, all.init), (vec!["a", "b"], vec!["i".to_owned()]));
    }
}
