//! Image config and command line → OCI runtime spec, with the defaults that Docker documents.
//!
//! What only the host bridge knows (root path, layers, network) is filled in there; what only the guest knows (the user's
//! numbers) is resolved there from `process.user.username`. Device nodes are not listed: runtimes make the default ones
//! themselves (runtime-spec, `config-linux.md`, "Default Devices").
mod defaults;
mod process;
mod resources;
pub mod seccomp;

use serde_json::{Value, json};

use crate::model::RunConfig;

/// What the command line says about a container.
#[derive(Clone, Debug, Default)]
pub struct ContainerOptions {
    /// Words of the command; they replace the image's `Cmd`.
    pub command: Vec<String>,
    /// Replaces the image's `Entrypoint` and drops its `Cmd`; an empty one just removes it.
    pub entrypoint: Option<Vec<String>>,
    /// `NAME=VALUE` sets, `NAME` alone removes a variable.
    pub env: Vec<String>,
    /// Current directory, absolute.
    pub working_dir: Option<String>,
    /// `USER[:GROUP]`, names or numbers.
    pub user: Option<String>,
    /// Host name in the container.
    pub hostname: String,
    /// Forbid writing to the root file system.
    pub read_only: bool,
    /// Give it a terminal.
    pub terminal: Option<Terminal>,
    /// Most memory, in bytes.
    pub memory: Option<u64>,
    /// Processor time, in billionths of a processor.
    pub nano_cpus: Option<u64>,
}

/// Size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Lines.
    pub height: u16,
    /// Characters in a line.
    pub width: u16,
}

/// Why no container can be made of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Neither the image nor the command line says what to run.
    #[error("no command: the image has none, and none was given")]
    NoCommand,
    /// A variable without a name.
    #[error("{0:?} is not an environment variable")]
    Env(String),
    /// The current directory is not absolute.
    #[error("the working directory {0:?} is not absolute")]
    WorkingDir(String),
    /// More memory or processors than numbers for them.
    #[error("the {0} limit is out of range")]
    Limit(&'static str),
}

/// The spec of a container of an image with configuration `image`, its root at `root` in the guest.
pub fn generate(image: &RunConfig, options: &ContainerOptions, root: &str) -> Result<Value, SpecError> {
    let namespaces = ["pid", "ipc", "uts", "mount", "network", "cgroup"];
    Ok(json!({
        "ociVersion": "1.0.2",
        "process": process::process(image, options)?,
        "root": { "path": root, "readonly": options.read_only },
        "hostname": options.hostname,
        "mounts": defaults::mounts(),
        "linux": {
            "namespaces": namespaces.map(|kind| json!({ "type": kind })),
            "maskedPaths": defaults::MASKED_PATHS,
            "readonlyPaths": defaults::READ_ONLY_PATHS,
            "resources": resources::resources(options)?,
            "seccomp": seccomp::profile(),
        },
    }))
}
