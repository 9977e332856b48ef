//! A file that is there when it is whole.
use std::fs::{File, Permissions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

/// Written beside its place; gone unless it is kept.
pub(super) struct Output {
    file: NamedTempFile,
    path: PathBuf,
}

impl Output {
    pub(super) fn new(path: &Path) -> Result<Self> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let mut builder = tempfile::Builder::new();
        if let Some(permissions) = usual_permissions() {
            builder.permissions(permissions);
        }
        let file = builder.tempfile_in(parent.unwrap_or(Path::new(".")));
        let file = file.with_context(|| format!("creating {}", path.display()))?;
        Ok(Self { file, path: path.to_owned() })
    }

    pub(super) fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// It is whole.
    pub(super) fn keep(self) -> Result<()> {
        let kept = self.file.persist(&self.path).map_err(|failed| failed.error);
        kept.with_context(|| format!("creating {}", self.path.display())).map(drop)
    }
}

/// What files get that people ask for, less what their mask takes away; temporary files are their owner's alone.
#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere there are none")]
fn usual_permissions() -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn usual_permissions() -> Option<Permissions> {
    None
}
