//! What is mounted in a container: the usual file systems, then what the description adds, by destination.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::container::{Container, Mount};
use super::places::At;

/// Why there are no mounts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// A bind without a destination.
    #[error("{0:?} is not a bind: SOURCE:DESTINATION[:OPTIONS] is wanted")]
    Bind(String),
    /// A file system in memory without a destination.
    #[error("{0:?} is no file system in memory: DESTINATION[:OPTIONS] is wanted")]
    Tmpfs(String),
    /// Nothing says what to mount.
    #[error("mount for destination {0} is missing type")]
    Type(String),
    /// Nothing says where.
    #[error("mount of {0} is missing its destination")]
    Destination(String),
    /// A volume that the description does not have.
    #[error("volume {volume} not found in container {container}")]
    Volume {
        /// The volume.
        volume: String,
        /// The container.
        container: String,
    },
    /// A volume nobody may write to.
    #[error("volume {volume} is read-only, but container {container} mounts it read-write; say ro")]
    ReadOnly {
        /// The volume.
        volume: String,
        /// The container.
        container: String,
    },
}

/// The description's volumes, and whether each is read-only.
pub type Volumes = BTreeMap<String, bool>;

/// Where the mounts of volume `name` are in the root.
pub fn volume_path(name: &str) -> String {
    format!("/containers/volumes/{name}/merged")
}

/// Type, destination and options of what every container has; `true`: read-only with the root.
const USUAL: &[(&str, &str, &[&str], bool)] = &[
    ("proc", "/proc", &["nosuid", "nodev", "noexec", "relatime"], false),
    ("tmpfs", "/dev", &["nosuid", "strictatime", "mode=755", "size=65536k"], true),
    ("devpts", "/dev/pts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"], false),
    ("sysfs", "/sys", &["nosuid", "noexec", "nodev"], true),
    ("cgroup", "/sys/fs/cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"], false),
];

/// Where file systems are mounted whose source or type says enough.
const INFERRED: &[(&str, &str)] = &[
    ("mqueue", "/dev/mqueue"),
    ("devpts", "/dev/pts"),
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("cgroup", "/sys/fs/cgroup"),
];

/// All mounts of `container`, sorted by destination.
pub fn all(container: &Container, volumes: &Volumes) -> Result<Vec<Value>, At<MountError>> {
    let mut mounts: BTreeMap<String, Mount> = BTreeMap::new();
    let mut add = |mount: Mount| mounts.insert(mount.destination.clone(), mount);
    for (kind, destination, options, follows_root) in USUAL {
        let mut usual = mount(kind, kind, destination, options);
        if *follows_root && container.readonly {
            usual.options.push("ro".to_owned());
        }
        add(usual);
    }
    for (at, text) in container.tmpfs.iter().enumerate() {
        add(tmpfs(text).map_err(|error| At::new(&[&"tmpfs", &at], error))?);
    }
    for (at, text) in container.binds.iter().enumerate() {
        add(bind(text, container, volumes).map_err(|error| At::new(&[&"binds", &at], error))?);
    }
    for (at, given) in container.mounts.iter().enumerate() {
        add(complete(given, container, volumes).map_err(|error| At::new(&[&"mounts", &at], error))?);
    }
    Ok(mounts.values().map(to_json).collect())
}

/// `mount` as the runtime takes it.
pub fn to_json(mount: &Mount) -> Value {
    let mut value = json!({"destination": mount.destination, "type": mount.kind, "source": mount.source});
    let lists = [
        ("options", json!(mount.options)),
        ("uidMappings", json!(mount.uidmappings)),
        ("gidMappings", json!(mount.gidmappings)),
    ];
    for (key, list) in lists {
        if list.as_array().is_some_and(|list| !list.is_empty()) {
            value[key] = list;
        }
    }
    value
}

/// A mount without mappings.
pub fn mount(kind: &str, source: &str, destination: &str, options: &[&str]) -> Mount {
    Mount {
        kind: kind.to_owned(),
        source: source.to_owned(),
        destination: destination.to_owned(),
        options: options.iter().map(|&option| option.to_owned()).collect(),
        ..Mount::default()
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split(',').filter(|word| !word.is_empty()).collect()
}

fn tmpfs(text: &str) -> Result<Mount, MountError> {
    let (destination, options) = text.split_once(':').unwrap_or((text, ""));
    if destination.is_empty() {
        return Err(MountError::Tmpfs(text.to_owned()));
    }
    Ok(mount("tmpfs", "tmpfs", destination, &words(options)))
}

fn bind(text: &str, container: &Container, volumes: &Volumes) -> Result<Mount, MountError> {
    let (source, destination, options) = match text.split(':').collect::<Vec<_>>()[..] {
        [source, destination] => (source, destination, vec!["rw", "rbind", "rshared"]),
        [source, destination, options] => (source, destination, [words(options), vec!["rbind"]].concat()),
        _ => return Err(MountError::Bind(text.to_owned())),
    };
    if source.is_empty() || destination.is_empty() {
        return Err(MountError::Bind(text.to_owned()));
    }
    let source = source_of(source, options.contains(&"ro"), container, volumes)?;
    Ok(mount("bind", &source, destination, &options))
}

/// A source, which is a volume's name if it is no path.
fn source_of(source: &str, ro: bool, container: &Container, volumes: &Volumes) -> Result<String, MountError> {
    if source.starts_with('/') {
        return Ok(source.to_owned());
    }
    let (volume, container) = (source.to_owned(), container.name.clone());
    match volumes.get(source) {
        None => Err(MountError::Volume { volume, container }),
        Some(true) if !ro => Err(MountError::ReadOnly { volume, container }),
        Some(_) => Ok(volume_path(source)),
    }
}

/// Infers what `given` leaves out.
fn complete(given: &Mount, container: &Container, volumes: &Volumes) -> Result<Mount, MountError> {
    let mut mount = given.clone();
    if mount.kind.is_empty() {
        let known = INFERRED.iter().find(|(kind, _)| *kind == mount.source);
        mount.kind = match known {
            Some((kind, _)) => (*kind).to_owned(),
            None if mount.destination == "/dev" => "tmpfs".to_owned(),
            None => return Err(MountError::Type(mount.destination)),
        };
    }
    if mount.source.is_empty() {
        mount.source.clone_from(&mount.kind);
    }
    if mount.destination.is_empty() {
        let known = INFERRED.iter().find(|(kind, _)| *kind == mount.kind);
        let (_, destination) = known.ok_or_else(|| MountError::Destination(mount.source.clone()))?;
        (*destination).clone_into(&mut mount.destination);
    }
    let is_bind =
        mount.kind == "bind" || mount.options.iter().any(|word| matches!(word.as_str(), "bind" | "rbind"));
    if is_bind {
        let ro = mount.options.iter().any(|word| word == "ro");
        mount.source = source_of(&mount.source, ro, container, volumes)?;
    }
    Ok(mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_of(item: &Value, volumes: &Volumes) -> Result<Vec<Value>, At<MountError>> {
        all(&Container::of(item.as_object().unwrap(), serde_json::Map::new()).unwrap(), volumes)
    }

    fn at<'a>(mounts: &'a [Value], destination: &str) -> &'a Value {
        mounts.iter().find(|mount| mount["destination"] == destination).unwrap()
    }

    #[test]
    fn the_description_overrides_by_destination() {
        let item = json!({
            "name": "n", "image": "i", "readonly": true, "tmpfs": ["/tmp:size=1m", "/run"],
            "binds": ["/a:/b", "/c:/d:ro"], "mounts": [{"source": "proc"}, {"type": "cgroup", "options": ["rw"]}],
        });
        let mounts = all_of(&item, &Volumes::new()).unwrap();
        let order: Vec<&str> = mounts.iter().map(|mount| mount["destination"].as_str().unwrap()).collect();
        assert_eq!(
            order,
            ["/b", "/d", "/dev", "/dev/pts", "/proc", "/run", "/sys", "/sys/fs/cgroup", "/tmp"]
        );
        assert_eq!(at(&mounts, "/b")["options"], json!(["rw", "rbind", "rshared"]));
        assert_eq!(at(&mounts, "/d")["options"], json!(["ro", "rbind"]));
        assert_eq!(*at(&mounts, "/proc"), json!({"destination": "/proc", "type": "proc", "source": "proc"}));
        assert_eq!(at(&mounts, "/sys/fs/cgroup")["options"], json!(["rw"]));
        assert_eq!(at(&mounts, "/sys")["options"][3], "ro");
        assert_eq!(at(&mounts, "/tmp")["options"], json!(["size=1m"]));
    }

    #[test]
    fn volumes_are_sources_by_name() {
        let volumes = Volumes::from([("v".to_owned(), false), ("r".to_owned(), true)]);
        let item = json!({
            "name": "n", "image": "i", "binds": ["v:/v", "r:/r:ro"],
            "mounts": [{"type": "bind", "source": "v", "destination": "/m", "options": ["rbind"]}],
        });
        let mounts = all_of(&item, &volumes).unwrap();
        assert_eq!(at(&mounts, "/v")["source"], "/containers/volumes/v/merged");
        assert_eq!(at(&mounts, "/m")["source"], "/containers/volumes/v/merged");
        for (bind, expected) in
            [("x:/x", "volume x not found in container n"), ("r:/r", "volume r is read-only")]
        {
            let item = json!({"name": "n", "image": "i", "binds": [bind]});
            let error = all_of(&item, &volumes).unwrap_err().error.to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
