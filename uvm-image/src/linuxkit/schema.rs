//! The description's language as tables: objects, their fields, and the fields' types. Source: LinuxKit's YAML as of 2026
//! (its `docs/yaml.md`), and the key `lcow`, which is our own.

/// The type of a value.
#[derive(Debug, Clone, Copy)]
pub enum Type {
    /// A string.
    Text,
    /// A string of these characters: `a-z`, `0-9`, `_`, `-`.
    VolumeName,
    /// A number without a fraction, from the first to the second.
    Integer(i128, i128),
    /// `true` or `false`.
    Boolean,
    /// A number, or the name of something that has one.
    Id,
    /// Any number of values of one type.
    List(&'static Type),
    /// Keys of one's own with strings.
    Words,
    /// An object of the table.
    Object(&'static Object),
}

/// An object: what it may have, and what it must.
#[derive(Debug)]
pub struct Object {
    /// Its fields.
    pub fields: &'static [(&'static str, Type)],
    /// Those that must be there.
    pub required: &'static [&'static str],
}

const fn object(fields: &'static [(&'static str, Type)]) -> Object {
    Object { fields, required: &[] }
}

use Type::{Boolean, Id, Text, VolumeName, Words};

/// As the runtime has them (OCI runtime-spec 1.2, `config-linux.md`, `specs-go`).
const SIGNED: Type = Type::Integer(i64::MIN as i128, i64::MAX as i128);
const UNSIGNED: Type = Type::Integer(0, u64::MAX as i128);
const UP_TO_32_BITS: Type = Type::Integer(0, u32::MAX as i128);
const UP_TO_16_BITS: Type = Type::Integer(0, u16::MAX as i128);
/// `proc(5)`, `/proc/PID/oom_score_adj`.
const OOM_SCORE: Type = Type::Integer(-1000, 1000);
/// A device's numbers; -1 stands for all.
const DEVICE_NUMBER: Type = Type::Integer(-1, u32::MAX as i128);

const TEXTS: Type = Type::List(&Text);

/// A whole description.
pub static DESCRIPTION: Object = object(&[
    ("kernel", Type::Object(&KERNEL)),
    ("init", TEXTS),
    ("onboot", Type::List(&Type::Object(&CONTAINER))),
    ("onshutdown", Type::List(&Type::Object(&CONTAINER))),
    ("services", Type::List(&Type::Object(&CONTAINER))),
    ("trust", Type::Object(&TRUST)),
    ("files", Type::List(&Type::Object(&FILE))),
    ("volumes", Type::List(&Type::Object(&VOLUME))),
    ("lcow", Type::Object(&LCOW)),
]);

static KERNEL: Object =
    object(&[("image", Text), ("cmdline", Text), ("binary", Text), ("tar", Text), ("ucode", Text)]);

static TRUST: Object = object(&[("image", TEXTS), ("org", TEXTS)]);

static LCOW: Object = object(&[("agent", Boolean), ("modules", TEXTS), ("verity", Boolean)]);

static FILE: Object = object(&[
    ("path", Text),
    ("directory", Boolean),
    ("symlink", Text),
    ("contents", Text),
    ("source", Text),
    ("metadata", Text),
    ("optional", Boolean),
    ("mode", Text),
    ("uid", Id),
    ("gid", Id),
]);

static VOLUME: Object = object(&[
    ("name", VolumeName),
    ("image", Text),
    ("readonly", Boolean),
    ("format", Text),
    ("platforms", TEXTS),
]);

/// A container in a description.
pub static CONTAINER: Object = Object { fields: CONTAINER_FIELDS, required: &["name", "image"] };

/// A container in a label of its image, which has a name and an image already.
pub static LABEL: Object = object(LABEL_FIELDS);

const CONTAINER_FIELDS: &[(&str, Type)] = &with_name(LABEL_FIELDS);

/// The fields of a label, and those that only a description has.
const fn with_name(fields: &[(&'static str, Type)]) -> [(&'static str, Type); LABEL_FIELDS.len() + 2] {
    let mut all = [("name", Text); LABEL_FIELDS.len() + 2];
    all[1] = ("image", Text);
    let mut at = 0;
    while at < fields.len() {
        all[at + 2] = fields[at];
        at += 1;
    }
    all
}

const LABEL_FIELDS: &[(&str, Type)] = &[
    ("command", TEXTS),
    ("env", TEXTS),
    ("cwd", Text),
    ("capabilities", TEXTS),
    ("capabilities.add", TEXTS),
    ("ambient", TEXTS),
    ("mounts", Type::List(&Type::Object(&MOUNT))),
    ("binds", TEXTS),
    ("binds.add", TEXTS),
    ("tmpfs", TEXTS),
    ("devices", Type::List(&Type::Object(&DEVICE))),
    ("net", Text),
    ("ipc", Text),
    ("uts", Text),
    ("userns", Text),
    ("pid", Text),
    ("hostname", Text),
    ("readonly", Boolean),
    ("maskedPaths", TEXTS),
    ("readonlyPaths", TEXTS),
    ("uid", Id),
    ("gid", Id),
    ("additionalGids", Type::List(&Id)),
    ("noNewPrivileges", Boolean),
    ("oomScoreAdj", OOM_SCORE),
    ("rootfsPropagation", Text),
    ("cgroupsPath", Text),
    ("resources", Type::Object(&RESOURCES)),
    ("sysctl", Words),
    ("annotations", Words),
    ("rlimits", TEXTS),
    ("uidMappings", Type::List(&Type::Object(&MAPPING))),
    ("gidMappings", Type::List(&Type::Object(&MAPPING))),
    ("runtime", Type::Object(&RUNTIME)),
];

static MOUNT: Object = object(&[
    ("type", Text),
    ("source", Text),
    ("destination", Text),
    ("options", TEXTS),
    ("uidmappings", Type::List(&Type::Object(&MAPPING))),
    ("gidmappings", Type::List(&Type::Object(&MAPPING))),
]);

static DEVICE: Object = object(&[
    ("path", Text),
    ("type", Text),
    ("major", DEVICE_NUMBER),
    ("minor", DEVICE_NUMBER),
    ("mode", Text),
]);

static MAPPING: Object =
    object(&[("hostID", UP_TO_32_BITS), ("containerID", UP_TO_32_BITS), ("size", UP_TO_32_BITS)]);

static RUNTIME: Object = object(&[
    ("cgroups", TEXTS),
    ("mounts", Type::List(&Type::Object(&MOUNT))),
    ("mkdir", TEXTS),
    ("interfaces", Type::List(&Type::Object(&INTERFACE))),
    ("bindNS", Type::Object(&BIND_NS)),
    ("namespace", Text),
]);

static INTERFACE: Object =
    object(&[("name", Text), ("add", Text), ("peer", Text), ("createInRoot", Boolean)]);

static BIND_NS: Object = object(&[
    ("cgroup", Text),
    ("ipc", Text),
    ("mnt", Text),
    ("net", Text),
    ("pid", Text),
    ("user", Text),
    ("uts", Text),
]);

static RESOURCES: Object = object(&[
    ("devices", Type::List(&Type::Object(&DEVICE_RULE))),
    ("memory", Type::Object(&MEMORY)),
    ("cpu", Type::Object(&CPU)),
    ("pids", Type::Object(&PIDS)),
    ("blockio", Type::Object(&BLOCK_IO)),
    ("hugepageLimits", Type::List(&Type::Object(&HUGE_PAGES))),
    ("network", Type::Object(&NETWORK)),
]);

static DEVICE_RULE: Object = object(&[
    ("allow", Boolean),
    ("type", Text),
    ("major", DEVICE_NUMBER),
    ("minor", DEVICE_NUMBER),
    ("access", Text),
]);

static MEMORY: Object = object(&[
    ("limit", SIGNED),
    ("reservation", SIGNED),
    ("swap", SIGNED),
    ("kernel", SIGNED),
    ("kernelTCP", SIGNED),
    ("swappiness", UNSIGNED),
    ("disableOOMKiller", Boolean),
]);

static CPU: Object = object(&[
    ("shares", UNSIGNED),
    ("quota", SIGNED),
    ("period", UNSIGNED),
    ("realtimeRuntime", SIGNED),
    ("realtimePeriod", UNSIGNED),
    ("cpus", Text),
    ("mems", Text),
]);

static PIDS: Object = object(&[("limit", SIGNED)]);

static BLOCK_IO: Object = object(&[
    ("weight", UP_TO_16_BITS),
    ("leafWeight", UP_TO_16_BITS),
    ("weightDevice", Type::List(&Type::Object(&WEIGHT_DEVICE))),
    ("throttleReadBpsDevice", RATES),
    ("throttleWriteBpsDevice", RATES),
    ("throttleReadIOPSDevice", RATES),
    ("throttleWriteIOPSDevice", RATES),
]);

const RATES: Type = Type::List(&Type::Object(&RATE));

static WEIGHT_DEVICE: Object = object(&[
    ("major", DEVICE_NUMBER),
    ("minor", DEVICE_NUMBER),
    ("weight", UP_TO_16_BITS),
    ("leafWeight", UP_TO_16_BITS),
]);

static RATE: Object = object(&[("major", DEVICE_NUMBER), ("minor", DEVICE_NUMBER), ("rate", UNSIGNED)]);

static HUGE_PAGES: Object = object(&[("pageSize", Text), ("limit", UNSIGNED)]);

static NETWORK: Object =
    object(&[("classID", UP_TO_32_BITS), ("priorities", Type::List(&Type::Object(&PRIORITY)))]);

static PRIORITY: Object = object(&[("name", Text), ("priority", UP_TO_32_BITS)]);
