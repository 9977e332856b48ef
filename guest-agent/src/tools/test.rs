//! `test EXPRESSION`: what a single test of POSIX `test` can express, and `!`.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::process::ExitCode;

use nix::unistd::{AccessFlags, access};

/// Evaluates its arguments: 0 true, 1 false, 2 not understood.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    let args = super::texts(args);
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match evaluate(&words) {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::FAILURE,
        None => super::usage(
            "test",
            "[!] [-bcdefhLnprswxzS ARGUMENT | ARGUMENT {=|!=|-eq|-ne|-lt|-le|-gt|-ge} ARGUMENT]",
        ),
    }
}

fn evaluate(words: &[&str]) -> Option<bool> {
    match words {
        [] => Some(false),
        [word] => Some(!word.is_empty()),
        ["!", rest @ ..] => evaluate(rest).map(|result| !result),
        [operator, operand] => unary(operator, operand),
        [left, operator, right] => binary(left, operator, right),
        _ => None,
    }
}

fn unary(operator: &str, operand: &str) -> Option<bool> {
    let kind = |is: fn(&fs::Metadata) -> bool| fs::metadata(operand).is_ok_and(|metadata| is(&metadata));
    let may = |flags| access(operand, flags).is_ok();
    Some(match operator {
        "-n" => !operand.is_empty(),
        "-z" => operand.is_empty(),
        "-e" => kind(|_| true),
        "-f" => kind(fs::Metadata::is_file),
        "-d" => kind(fs::Metadata::is_dir),
        "-s" => kind(|metadata| metadata.len() > 0),
        "-b" => kind(|metadata| metadata.file_type().is_block_device()),
        "-c" => kind(|metadata| metadata.file_type().is_char_device()),
        "-p" => kind(|metadata| metadata.file_type().is_fifo()),
        "-S" => kind(|metadata| metadata.file_type().is_socket()),
        "-h" | "-L" => fs::symlink_metadata(operand).is_ok_and(|metadata| metadata.is_symlink()),
        "-r" => may(AccessFlags::R_OK),
        "-w" => may(AccessFlags::W_OK),
        "-x" => may(AccessFlags::X_OK),
        _ => return None,
    })
}

fn binary(left: &str, operator: &str, right: &str) -> Option<bool> {
    if let "=" | "!=" = operator {
        return Some((left == right) == (operator == "="));
    }
    let (left, right): (i64, i64) = (left.parse().ok()?, right.parse().ok()?);
    Some(match operator {
        "-eq" => left == right,
        "-ne" => left != right,
        "-lt" => left < right,
        "-le" => left <= right,
        "-gt" => left > right,
        "-ge" => left >= right,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_texts_and_numbers_can_be_tested() {
        let cases: &[(&[&str], Option<bool>)] = &[
            (&[], Some(false)),
            (&["x"], Some(true)),
            (&["-e", "/"], Some(true)),
            (&["-d", "/"], Some(true)),
            (&["-f", "/"], Some(false)),
            (&["-c", "/dev/null"], Some(true)),
            (&["-L", "/proc/self"], Some(true)),
            (&["!", "-e", "/no/such/path"], Some(true)),
            (&["a", "=", "a"], Some(true)),
            (&["a", "!=", "a"], Some(false)),
            (&["2", "-lt", "10"], Some(true)),
            (&["two", "-lt", "10"], None),
            (&["-q", "x"], None),
            (&["a", "b", "c", "d"], None),
        ];
        for (words, expected) in cases {
            assert_eq!(evaluate(words), *expected, "{words:?}");
        }
    }
}
