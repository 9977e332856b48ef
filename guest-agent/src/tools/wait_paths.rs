//! `wait-paths --paths A,B --timeout SECONDS`: a hook that waits until files exist.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(10);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const USAGE: &str = "--paths PATH[,PATH…] [--timeout SECONDS]";

/// Waits.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    let Some((paths, timeout)) = parse(&super::texts(args)) else {
        return super::usage("wait-paths", USAGE);
    };
    let deadline = Instant::now() + timeout;
    loop {
        let Some(missing) = paths.iter().find(|path| !Path::new(path).exists()) else {
            return ExitCode::SUCCESS;
        };
        if Instant::now() >= deadline {
            eprintln!("wait-paths: {missing} did not appear within {} s", timeout.as_secs());
            return ExitCode::FAILURE;
        }
        thread::sleep(POLL);
    }
}

fn parse(args: &[String]) -> Option<(Vec<String>, Duration)> {
    let (mut paths, mut timeout) = (Vec::new(), DEFAULT_TIMEOUT);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let flag = arg.trim_start_matches('-');
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, value),
            None => (flag, args.next()?.as_str()),
        };
        match name {
            "paths" | "p" => {
                paths = value.split(',').filter(|path| !path.is_empty()).map(str::to_owned).collect();
            }
            "timeout" | "t" => timeout = Duration::from_secs(value.parse().ok()?),
            _ => return None,
        }
    }
    (!paths.is_empty()).then_some((paths, timeout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_in_both_spellings() {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let expected = Some((vec!["/a".to_owned(), "/b".to_owned()], Duration::from_secs(5)));
        assert_eq!(parse(&words("--paths /a,/b --timeout 5")), expected);
        assert_eq!(parse(&words("-paths=/a,/b -timeout=5")), expected);
        for bad in ["", "--paths", "--paths ,", "--paths /a --timeout x", "--other x"] {
            assert!(parse(&words(bad)).is_none(), "{bad}");
        }
    }
}
