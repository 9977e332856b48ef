//! Building the tailored kernel from source, once for each source, configuration and compiler.

mod kept;
mod make;

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::check::{self, Strictness};
use super::config::KernelConfig;
use super::fragment::{self, LCOW_CONFIG};
use super::source::{self, Archive, Known, SourceError};
use crate::hex::hex;
use crate::interrupt::{self, Directory, Unfinished};
use crate::progress::{Progress, Unit};
use make::{Make, MakeError};

pub use kept::Kept;

/// Raised when the way from a source to a kernel changes, so that old kernels are not taken for new ones.
const FORMAT: u32 = 1;

/// What to build.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The source, else the best one in the cache.
    pub source: Option<PathBuf>,
    /// Whether a source may be used that nobody has tried.
    pub allow_new: bool,
    /// How many compilers run at once; `None`: as many as there are processors.
    pub jobs: Option<usize>,
    /// How progress is shown.
    pub progress: Progress,
    /// What goes when the program is ended early.
    pub unfinished: Unfinished,
}

/// Why there is no kernel.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// There is no source, or not a good one.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The cache cannot be used.
    #[error("cannot use {} to build a kernel in", path.display())]
    Cache {
        /// The directory or file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A step of the build failed.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// Somebody is building.
    #[error("a kernel is being built in {} just now; try again when that is done", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// The source does not know what the configuration asks for.
    #[error("the kernel source cannot be configured as kernel/lcow.config says:\n{}", lines(differences))]
    Configuration {
        /// The differences, a line each.
        differences: Vec<String>,
    },
}

fn lines(differences: &[String]) -> String {
    differences.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// A kernel that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// A directory with `kernel` (the bzImage), `config`, and `made-of.txt`.
    pub dir: PathBuf,
    /// Whether it was there already.
    pub cached: bool,
    /// SHA-256 of the source's archive, in hexadecimal.
    pub source_sha256: String,
}

/// The tailored kernels in the cache directory `cache`.
#[derive(Debug, Clone)]
pub struct Kernels {
    cache: PathBuf,
}

impl Kernels {
    /// Kernels below `cache`, the directory where downloads are.
    pub fn in_cache(cache: &Path) -> Self {
        Self { cache: cache.to_owned() }
    }

    fn dir(&self) -> PathBuf {
        self.cache.join("kernel")
    }

    /// The newest kernel that was built with the present configuration, whatever compiler made it.
    pub fn newest(&self) -> Option<PathBuf> {
        let wanted = format!("configuration={}", hex(&Sha256::digest(LCOW_CONFIG)));
        let entries = fs::read_dir(self.dir()).ok()?.flatten();
        let usable = entries.filter(|entry| {
            let made_of = fs::read_to_string(entry.path().join("made-of.txt")).unwrap_or_default();
            made_of.lines().any(|line| line == wanted)
        });
        usable
            .max_by_key(|entry| entry.metadata().and_then(|meta| meta.modified()).ok())
            .map(|entry| entry.path())
    }

    /// Builds a kernel as `options` say, unless that very kernel is there.
    pub fn build(&self, options: &Options, known: &[Known]) -> Result<Built, BuildError> {
        let dir = self.dir();
        let _lock = Lock::take(&dir)?;
        let path = match &options.source {
            Some(path) => path.clone(),
            None => source::find(&self.cache, known, options.allow_new)?,
        };
        let work = work_dir(&dir, &options.unfinished)?;
        let archive = Archive::open(&path, work.path())?;
        if !options.allow_new {
            archive.must_be_known(known)?;
        }
        let made_of = made_of(&archive.sha256, &make::compiler()?);
        let place = dir.join(&hex(&Sha256::digest(&made_of))[..16]);
        let source_sha256 = archive.sha256.clone();
        if place.join("kernel").is_file() {
            return Ok(Built { dir: place, cached: true, source_sha256 });
        }
        let unpacking = options.progress.task("unpacking the source", Some(archive.len()), Unit::Bytes);
        let tree = archive.unpack(&work.path().join("source"), &unpacking)?;
        drop(unpacking);
        let make = Make::new(&tree, &work.path().join("build"), options.jobs, &options.unfinished)?;
        configure(&make)?;
        let image = make.kernel(&options.progress)?;
        let result = work.path().join("result");
        keep(&result, &[("kernel", &image), ("config", &make.config())], &made_of)?;
        move_to(&result, &place)?;
        Ok(Built { dir: place, cached: false, source_sha256 })
    }
}

/// What decides about every byte of the kernel.
fn made_of(source: &str, compiler: &str) -> String {
    let configuration = hex(&Sha256::digest(LCOW_CONFIG));
    format!("format={FORMAT}\nsource={source}\nconfiguration={configuration}\ncompiler={compiler}\n")
}

/// Configures the tree, and refuses to go on when it silently dropped a setting.
fn configure(make: &Make) -> Result<(), BuildError> {
    make.configure(LCOW_CONFIG)?;
    let path = make.config();
    let text = fs::read_to_string(&path).map_err(|source| BuildError::Cache { path, source })?;
    let settings = fragment::tailored();
    let findings = check::check(&KernelConfig::parse(&text), &settings, Strictness::Tailored);
    if findings.differences.is_empty() {
        return Ok(());
    }
    Err(BuildError::Configuration {
        differences: findings.differences.iter().map(ToString::to_string).collect(),
    })
}

/// Copies `files` and what they were made of to the directory `dir`.
fn keep(dir: &Path, files: &[(&str, &Path)], made_of: &str) -> Result<(), BuildError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| BuildError::Cache { path, source }
    };
    fs::create_dir_all(dir).map_err(failed(dir))?;
    for (name, from) in files {
        fs::copy(from, dir.join(name)).map_err(failed(from))?;
    }
    fs::write(dir.join("made-of.txt"), made_of).map_err(failed(dir))
}

fn move_to(from: &Path, to: &Path) -> Result<(), BuildError> {
    // What is there has no kernel in it: somebody's leftovers.
    let _ = fs::remove_dir_all(to);
    fs::rename(from, to).map_err(|source| BuildError::Cache { path: to.to_owned(), source })
}

/// One build at a time: two would want all processors, and mostly the same kernel.
struct Lock(#[expect(dead_code, reason = "the file is the lock")] File);

impl Lock {
    fn take(dir: &Path) -> Result<Self, BuildError> {
        let path = dir.join("lock");
        let failed = |source| BuildError::Cache { path: path.clone(), source };
        fs::create_dir_all(dir).map_err(failed)?;
        let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let _ = writeln!(io::stderr(), "uvm-build: waiting for another build of a kernel");
                file.lock().map_err(failed)?;
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        Ok(Self(file))
    }
}

/// A directory in `dir` of 3 GB that must not stay behind.
fn work_dir(dir: &Path, unfinished: &Unfinished) -> Result<Directory, BuildError> {
    let failed = |source| BuildError::Cache { path: dir.to_owned(), source };
    for old in fs::read_dir(dir).map_err(failed)?.flatten() {
        // Whoever was killed here held the lock that is ours now.
        if old.file_name().to_string_lossy().starts_with(WORK) {
            interrupt::remove(&old.path()).map_err(failed)?;
        }
    }
    unfinished.directory(WORK, dir).map_err(failed)
}

/// How the names of directories begin in which kernels are built.
const WORK: &str = "work";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ingredient_changes_the_key() {
        let texts = [made_of("a", "gcc 12"), made_of("b", "gcc 12"), made_of("a", "gcc 14")];
        assert!(texts[0] != texts[1] && texts[0] != texts[2]);
    }

    #[test]
    fn a_kernel_of_another_configuration_is_not_taken() {
        let cache = tempfile::tempdir().unwrap();
        let kernels = Kernels::in_cache(cache.path());
        assert_eq!(kernels.newest(), None);
        let dir = cache.path().join("kernel/one");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("made-of.txt"), "configuration=other\n").unwrap();
        assert_eq!(kernels.newest(), None);
        fs::write(dir.join("made-of.txt"), made_of("a", "b")).unwrap();
        assert_eq!(kernels.newest(), Some(dir));
    }

    #[test]
    fn a_failed_build_leaves_nothing() {
        let cache = tempfile::tempdir().unwrap();
        let source = cache.path().join("linux-source-9_9_all.deb");
        fs::write(&source, "no package").unwrap();
        let options = Options { source: Some(source), ..Options::default() };
        let error = Kernels::in_cache(cache.path()).build(&options, &[]).unwrap_err();
        assert!(error.to_string().contains("is not a Debian package"), "{error}");
        let left: Vec<_> = fs::read_dir(cache.path().join("kernel")).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "only the lock: {left:?}");
    }
}
