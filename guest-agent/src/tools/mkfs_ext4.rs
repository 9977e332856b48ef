//! `mkfs.ext4 [-F] [-q] [-E HOW]… [-O FEATURES]… DEVICE`: makes an ext4 file system on all of a device. It is the one
//! that hosts ask for with `-E` and `-O` when they make a scratch disk (spec section 8.6), whatever they ask for.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::storage;

const USAGE: &str = "[-F] [-q] [-E HOW[,…]] [-O FEATURE[,…]] DEVICE";

/// What decides how the work is done and not what is there after it: the part before `=`.
const HOW: [&str; 4] = ["lazy_itable_init", "lazy_journal_init", "discard", "nodiscard"];

/// What holds for every file system that this makes. `uninit_bg` may be asked for and is not there: it spares old
/// kernels and checkers the reading of unused inodes.
const FEATURES: [&str; 12] = [
    "^has_journal",
    "^resize_inode",
    "^sparse_super",
    "sparse_super2",
    "^metadata_csum",
    "^64bit",
    "uninit_bg",
    "^uninit_bg",
    "extent",
    "flex_bg",
    "dir_index",
    "ext_attr",
];

/// Formats the device. Never asks.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    match device(args) {
        Err(Mistake::Usage) => super::usage("mkfs.ext4", USAGE),
        Err(Mistake::Option(option, word)) => {
            eprintln!("mkfs.ext4: {option} {word:?} is not known here");
            ExitCode::from(super::USAGE)
        }
        Ok(device) => match storage::format_ext4(&device) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => super::failed("mkfs.ext4", &error),
        },
    }
}

/// What is wrong with the arguments.
#[derive(Debug, PartialEq, Eq)]
enum Mistake {
    Usage,
    /// An option, and the word of its list that asks for something else.
    Option(&'static str, String),
}

fn device(args: Vec<OsString>) -> Result<PathBuf, Mistake> {
    let mut devices = Vec::new();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.to_str() {
            // It is always forced, and quiet anyway.
            Some("-F" | "-q") => {}
            Some("-E") => check("-E", args.next(), |word| {
                HOW.contains(&word.split_once('=').map_or(word, |(name, _)| name))
            })?,
            Some("-O") => check("-O", args.next(), |word| FEATURES.contains(&word))?,
            Some(text) if text.starts_with('-') => return Err(Mistake::Usage),
            _ => devices.push(PathBuf::from(arg)),
        }
    }
    match <[PathBuf; 1]>::try_from(devices) {
        Ok([device]) => Ok(device),
        Err(_) => Err(Mistake::Usage),
    }
}

fn check(option: &'static str, list: Option<OsString>, known: impl Fn(&str) -> bool) -> Result<(), Mistake> {
    let list = list.ok_or(Mistake::Usage)?.to_string_lossy().into_owned();
    match list.split(',').find(|word| !known(word)) {
        None => Ok(()),
        Some(word) => Err(Mistake::Option(option, word.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<PathBuf, Mistake> {
        device(line.split(' ').map(OsString::from).collect())
    }

    #[test]
    fn reads_the_lines_that_hosts_send() {
        for line in [
            "-q -E lazy_itable_init=0,nodiscard -O ^has_journal,sparse_super2,^resize_inode /dev/sdb",
            "-q -E lazy_itable_init=1 -O ^has_journal,sparse_super2,uninit_bg,^resize_inode /dev/sdb",
            "-F /dev/sdb",
            "/dev/sdb",
        ] {
            assert_eq!(asked(line), Ok(PathBuf::from("/dev/sdb")), "{line}");
        }
    }

    #[test]
    fn what_it_does_not_make_is_refused_by_name() {
        assert_eq!(
            asked("-O sparse_super2,has_journal /dev/sdb"),
            Err(Mistake::Option("-O", "has_journal".to_owned()))
        );
        assert_eq!(asked("-E stride=4 /dev/sdb"), Err(Mistake::Option("-E", "stride=4".to_owned())));
        for line in ["-q", "-O", "/dev/sdb -E", "-b 1024 /dev/sdb", "/dev/sdb /dev/sdc"] {
            assert_eq!(asked(line), Err(Mistake::Usage), "{line}");
        }
    }
}
