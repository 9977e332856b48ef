//! `modprobe [-qv] [-d ROOT] [-a] MODULE… | MODULE [PARAMETER=VALUE…]`: also what the kernel runs to load modules on
//! demand.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::boot_disks;
use crate::kernel_modules::{self, Index};

const USAGE: &str = "[-qv] [-d ROOT] [-a] MODULE… | MODULE [PARAMETER=VALUE…]";

#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    quiet: bool,
    all: bool,
    root: Option<PathBuf>,
    words: Vec<String>,
}

impl Options {
    fn parse(args: Vec<String>) -> Option<Self> {
        let mut options = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--" => break,
                "-q" | "--quiet" => options.quiet = true,
                // Blacklists there are none, and there is nothing to be verbose about.
                "-b" | "--use-blacklist" | "-v" | "--verbose" => {}
                "-a" | "--all" => options.all = true,
                "-d" | "--dirname" => options.root = Some(args.next()?.into()),
                text if text.starts_with('-') => return None,
                _ => options.words.push(arg),
            }
        }
        options.words.extend(args);
        (!options.words.is_empty()).then_some(options)
    }
}

/// Loads modules with everything they need.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    let Some(options) = Options::parse(super::texts(args)) else { return super::usage("modprobe", USAGE) };
    match load(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if options.quiet => ExitCode::FAILURE,
        Err(error) => super::failed("modprobe", &error),
    }
}

fn load(options: &Options) -> Result<(), kernel_modules::Error> {
    let directory = boot_disks::directory().unwrap_or_default();
    let directory = match &options.root {
        Some(root) => root.join(directory.strip_prefix("/").unwrap_or(Path::new(""))),
        None => directory,
    };
    let index = Index::read(&directory)?;
    if options.all {
        return options.words.iter().try_for_each(|module| kernel_modules::load(&index, module, ""));
    }
    let (module, parameters) =
        options.words.split_first().map_or(("", &[][..]), |(first, rest)| (first, rest));
    kernel_modules::load(&index, module, &parameters.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Options> {
        Options::parse(line.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn reads_what_the_kernel_and_hosts_say() {
        let kernel = parse("-q -- fs-9p").unwrap();
        assert!(kernel.quiet && kernel.words == ["fs-9p"]);
        let host = parse("-d /run/drivers/x/content -a nvidia nvidia-uvm").unwrap();
        assert!(host.all && host.words == ["nvidia", "nvidia-uvm"]);
        assert_eq!(host.root.as_deref(), Some(Path::new("/run/drivers/x/content")));
        for bad in ["", "-q", "-x a", "-d"] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
