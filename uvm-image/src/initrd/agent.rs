//! The guest agent's binary.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::linked::{self, LinkedError};
use crate::elf::{self, ElfError};
use crate::hex::hex;
use crate::sbom::Package;

/// What precedes the version in an agent that states one; the version ends at the first byte that is no printable ASCII.
const VERSION_MARK: &[u8] = b"LCOW_AGENT_VERSION=";

/// Why a file cannot be the agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// It cannot be read.
    #[error("cannot read the guest agent {}; build it with `cargo xtask build`, or name one with --agent FILE", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It would not run.
    #[error("{} cannot be the guest agent", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ElfError,
    },
    /// What is said of it is damaged.
    #[error(transparent)]
    Linked(#[from] LinkedError),
}

/// A program fit to be the agent: a static x86-64 ELF file.
#[derive(Debug, Default)]
pub struct Agent {
    /// The binary.
    pub bytes: Vec<u8>,
    /// The version it states, if any.
    pub version: Option<String>,
    /// What is linked into it; `None` if nobody knows.
    pub linked: Option<Vec<Package>>,
}

impl Agent {
    /// Reads and checks the file at `path`.
    pub fn read(path: &Path) -> Result<Self, AgentError> {
        let bytes = fs::read(path).map_err(|source| AgentError::Read { path: path.to_owned(), source })?;
        elf::check_static_program(&bytes)
            .map_err(|source| AgentError::Unusable { path: path.to_owned(), source })?;
        let version = stated_version(&bytes);
        let agent = Self { bytes, version, linked: None };
        let linked = linked::read(path, &agent.sha256())?;
        Ok(Self { linked, ..agent })
    }

    /// The binary's SHA-256 in hexadecimal.
    pub fn sha256(&self) -> String {
        hex(&Sha256::digest(&self.bytes))
    }
}

fn stated_version(bytes: &[u8]) -> Option<String> {
    let start =
        bytes.windows(VERSION_MARK.len()).position(|window| window == VERSION_MARK)? + VERSION_MARK.len();
    let version: String =
        bytes[start..].iter().take(64).take_while(|b| b.is_ascii_graphic()).map(|b| char::from(*b)).collect();
    (!version.is_empty()).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn read(bytes: &[u8]) -> Result<Agent, AgentError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("guest-agent");
        fs::write(&path, bytes).unwrap();
        Agent::read(&path)
    }

    #[test]
    fn reads_version_and_digest() {
        let mut bytes = testing::static_program();
        assert_eq!(read(&bytes).unwrap().version, None);
        bytes.extend_from_slice(b"LCOW_AGENT_VERSION=0.1.0\0more");
        assert_eq!(read(&bytes).unwrap().version.as_deref(), Some("0.1.0"));
        let empty = Agent::default();
        assert_eq!(empty.sha256(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn refuses_what_would_not_run() {
        let error = read(b"#!/bin/sh\n").unwrap_err();
        assert!(error.to_string().contains("cannot be the guest agent"), "{error}");
        let error = Agent::read(Path::new("/nonexistent/guest-agent")).unwrap_err();
        assert!(error.to_string().contains("--agent FILE"), "{error}");
    }
}
