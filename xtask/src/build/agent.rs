//! The guest agent: one static binary for x86-64 Linux.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::cargo;
use crate::elf;
use crate::places;
use crate::process::{self, command, output};

/// With an explicit target the flags below spare proc-macros and build scripts, which cannot be static.
pub(super) const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds the agent and returns where it is.
pub(super) fn build() -> Result<PathBuf> {
    let libraries = library_dir("libseccomp.a")?;
    process::run(
        cargo()
            .args(["build", "--profile", "agent", "-p", "guest-agent", "--target", TARGET])
            // This variable overrules all other places for flags, so none of them can make the agent dynamic.
            .env("CARGO_ENCODED_RUSTFLAGS", rust_flags(env::var("RUSTFLAGS").ok().as_deref()))
            .env("LIBSECCOMP_LINK_TYPE", "static")
            .env("LIBSECCOMP_LIB_PATH", libraries),
    )
    .context("cannot build the guest agent; `cargo xtask setup` installs the libraries it needs")?;
    let agent = places::target().join(TARGET).join("agent/guest-agent");
    if !elf::is_static(&agent)? {
        bail!("{} is dynamically linked; a utility VM has no shared libraries", agent.display());
    }
    let size = fs::metadata(&agent)?.len();
    eprintln!("guest-agent: static, {}.{:02} MB", size / 1_000_000, size % 1_000_000 / 10_000);
    Ok(agent)
}

/// What makes the agent static. At a fixed address it is smaller and has nothing to relocate when it starts.
const FLAGS: [&str; 4] = ["-C", "target-feature=+crt-static", "-C", "relocation-model=static"];

/// The user's flags and ours, separated as cargo wants it.
fn rust_flags(users: Option<&str>) -> String {
    users.unwrap_or_default().split_whitespace().chain(FLAGS).collect::<Vec<_>>().join("\x1f")
}

/// The directory in which the C compiler finds the archive `name`.
fn library_dir(name: &str) -> Result<PathBuf> {
    let path = output(command("cc").arg(format!("-print-file-name={name}")))?;
    match Path::new(path.trim()).parent() {
        // A name without directory is the compiler's way to say that there is none.
        Some(dir) if dir.is_absolute() => Ok(dir.to_owned()),
        _ => bail!("the C compiler finds no {name}; run `cargo xtask setup`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_is_static_whatever_the_users_flags() {
        let ours = FLAGS.join("\x1f");
        assert_eq!(rust_flags(None), ours);
        assert_eq!(rust_flags(Some("-D  warnings")), format!("-D\x1fwarnings\x1f{ours}"));
        assert!(ours.contains("+crt-static"));
    }

    #[test]
    fn a_missing_library_names_the_way_out() {
        match library_dir("libno-such-library.a") {
            Ok(dir) => panic!("found in {}", dir.display()),
            Err(error) => {
                let error = error.to_string();
                assert!(error.contains("cargo xtask setup") || error.contains("cannot run `cc"), "{error}");
            }
        }
    }
}
