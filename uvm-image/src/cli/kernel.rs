//! `uvm-build kernel`.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use uvm_image::cache::Cache;
use uvm_image::interrupt::Unfinished;
use uvm_image::kernel::build::Options;
use uvm_image::kernel::check::{self, Findings, Strictness};
use uvm_image::kernel::fragment::{self, LCOW_CONFIG, Setting};
use uvm_image::kernel::{self, source};

use super::making::Shown;
use super::output::{say, tell};

/// The tailored kernel: build it, explain its configuration, check any kernel against it.
#[derive(Debug, Subcommand)]
pub(crate) enum Kernel {
    Build(Build),
    Config(Config),
    Check(Check),
    Path(Path),
}

impl Kernel {
    pub(crate) fn run(self, unfinished: &Unfinished) -> Result<ExitCode> {
        match self {
            Self::Build(command) => command.run(unfinished),
            Self::Config(command) => command.run(),
            Self::Check(command) => command.run(),
            Self::Path(command) => command.run(),
        }
    }
}

const BUILD_EXAMPLES: &str = "\
Examples:
  uvm-build kernel build
      from the source that `cargo xtask setup` downloaded
  uvm-build kernel build --source linux-source-6.12_6.12.200-1_all.deb --allow-new
      from a source that nobody has tried yet

The kernel is kept in the cache (LCOW_CACHE) under a hash of source, configuration and compiler; building it again takes no
time. What is needed: gcc, make, flex, bison, bc, libelf's headers, xz; `cargo xtask setup` installs them.";

/// Build the tailored kernel (10 to 20 minutes on two processors) and print the directory it is in.
#[derive(Debug, Args)]
#[command(after_help = BUILD_EXAMPLES)]
pub(crate) struct Build {
    /// A linux-source package or the .tar.xz inside one [default: the best one in the cache]
    #[arg(long, value_name = "FILE")]
    source: Option<PathBuf>,

    /// Take a source that is not in kernel/sources.toml; the newest one, if none is named
    #[arg(long)]
    allow_new: bool,

    /// How many compilers run at once [default: as many as there are processors]
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,

    #[command(flatten)]
    shown: Shown,
}

impl Build {
    fn run(self, unfinished: &Unfinished) -> Result<ExitCode> {
        let options = Options {
            source: self.source,
            allow_new: self.allow_new,
            jobs: self.jobs.map(NonZeroUsize::get),
            progress: self.shown.progress(),
            unfinished: unfinished.clone(),
        };
        let known = source::known();
        let built = Cache::of_user()?.kernels().build(&options, &known)?;
        if known.iter().all(|known| known.sha256 != built.source_sha256) {
            tell(format_args!(
                "warning: this source has not been tried; for kernel/sources.toml: sha256 = \"{}\"",
                built.source_sha256
            ));
        }
        say(|out| writeln!(out, "{}", built.dir.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Print the tailored kernel's configuration, or why an option is in it.
#[derive(Debug, Args)]
pub(crate) struct Config {
    /// Options to explain, with or without CONFIG_; without any, the whole configuration is printed
    options: Vec<String>,
}

impl Config {
    fn run(self) -> Result<ExitCode> {
        if self.options.is_empty() {
            say(|out| write!(out, "{LCOW_CONFIG}"))?;
            return Ok(ExitCode::SUCCESS);
        }
        let settings = fragment::tailored();
        let mut lines = Vec::new();
        for name in &self.options {
            let option = format!("CONFIG_{}", name.trim_start_matches("CONFIG_").to_uppercase());
            match settings.iter().find(|setting| setting.option == option) {
                Some(Setting { value: Some(value), level, reason, .. }) => {
                    lines.push(format!("{option}={value} ({level}): {reason}"));
                }
                Some(Setting { level, reason, .. }) => {
                    lines.push(format!("{option} is not set ({level}): {reason}"));
                }
                None => bail!(
                    "kernel/lcow.config does not mention {option}: it has the kernel's own default, or is off"
                ),
            }
        }
        say(|out| lines.iter().try_for_each(|line| writeln!(out, "{line}")))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Check a kernel's configuration against what utility VMs need; status 1 when something required is missing.
///
/// Takes the text of a configuration, a kernel image that carries its own (`CONFIG_IKCONFIG`), a directory with a kernel, or
/// a linux-image package.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// What to check
    #[arg(value_name = "CONFIG|KERNEL|DIR|FILE.deb")]
    path: PathBuf,

    /// Hold it against every line of the tailored kernel's configuration
    #[arg(long)]
    tailored: bool,
}

impl Check {
    fn run(self) -> Result<ExitCode> {
        let config = kernel::configuration(&self.path, &std::env::temp_dir())
            .with_context(|| format!("cannot check {}", self.path.display()))?;
        let strictness = if self.tailored { Strictness::Tailored } else { Strictness::Any };
        let settings = fragment::tailored();
        let findings = check::check(&config, &settings, strictness);
        say(|out| print(&findings, out))?;
        Ok(if findings.is_usable() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Print the directory of the tailored kernel, if it was built; status 1 if not.
#[derive(Debug, Args)]
pub(crate) struct Path {}

impl Path {
    #[expect(clippy::unused_self, reason = "as the other commands")]
    fn run(self) -> Result<ExitCode> {
        let Some(dir) = Cache::of_user()?.kernels().newest() else { return Ok(ExitCode::FAILURE) };
        say(|out| writeln!(out, "{}", dir.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn print(findings: &Findings<'_>, out: &mut dyn Write) -> io::Result<()> {
    for finding in &findings.differences {
        writeln!(out, "{finding}")?;
    }
    if !findings.modules.is_empty() {
        let names: Vec<_> = findings.modules.iter().map(|setting| setting.option).collect();
        writeln!(
            out,
            "modules   {} options: they need their modules in the image: {}",
            names.len(),
            names.join(" ")
        )?;
    }
    let verdict = if findings.is_usable() { "a utility VM can use it" } else { "no utility VM can use it" };
    writeln!(out, "{} options checked, {} differ: {verdict}", findings.checked, findings.differences.len())
}
