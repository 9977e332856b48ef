//! Running what was parsed.

use std::io::{self, BufRead, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, Stdio};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::parse::{self, Step, Then};
use crate::sys;

/// How often a console shell looks after what it has started.
const LOOK: u16 = 500;

/// Statuses as shells have them.
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
const NOT_UNDERSTOOD: u8 = 2;

/// Whether to go on, or to end with a status.
enum Flow {
    Go(u8),
    Exit(u8),
}

/// Runs a whole script; the status is that of its last command.
pub(super) fn script(text: &str) -> ExitCode {
    ExitCode::from(match run(text) {
        Flow::Go(status) | Flow::Exit(status) => status,
    })
}

/// Runs lines from standard input. As the first process of a machine the shell ends when something that was started in
/// its background has: that is the agent, and without it the machine is of no use.
pub(super) fn interactive() -> ExitCode {
    let console = io::stdin().is_terminal();
    let guards_agent = nix::unistd::getppid().as_raw() == 1;
    let mut status = 0;
    loop {
        if console {
            // Nobody reads a prompt that cannot be written.
            let _ = io::stdout().write_all(b"# ").and_then(|()| io::stdout().flush());
        }
        if guards_agent && let Some(ended) = wait_for_line() {
            return ExitCode::from(ended);
        }
        let mut line = String::new();
        match io::stdin().lock().read_line(&mut line) {
            Ok(1..) => {}
            _ if guards_agent => return ExitCode::from(wait_for_children()),
            _ => return ExitCode::from(status),
        }
        match run(&line) {
            Flow::Go(new) => status = new,
            Flow::Exit(new) => return ExitCode::from(new),
        }
    }
}

/// Waits for input; the status of a child that ends meanwhile.
fn wait_for_line() -> Option<u8> {
    let stdin = io::stdin();
    loop {
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        if !matches!(poll(&mut fds, PollTimeout::from(LOOK)), Ok(0) | Err(Errno::EINTR)) {
            return None;
        }
        if let Ok(Some(reaped)) = sys::reap(false) {
            return Some(u8::try_from(reaped.status).unwrap_or(u8::MAX));
        }
    }
}

/// The status of the first child that ends; 0 if there is none.
fn wait_for_children() -> u8 {
    match sys::reap(true) {
        Ok(Some(reaped)) => u8::try_from(reaped.status).unwrap_or(u8::MAX),
        _ => 0,
    }
}

fn run(text: &str) -> Flow {
    let steps = match parse::parse(text) {
        Ok(steps) => steps,
        Err(error) => {
            eprintln!("sh: {error}");
            return Flow::Go(NOT_UNDERSTOOD);
        }
    };
    let mut status = 0;
    let mut skip = false;
    for Step { words, then } in &steps {
        if !std::mem::take(&mut skip) {
            status = match command(words, *then == Then::Background) {
                Flow::Go(status) => status,
                exit @ Flow::Exit(_) => return exit,
            };
        }
        skip = match then {
            Then::OnSuccess => status != 0,
            Then::OnFailure => status == 0,
            Then::Next | Then::Background => false,
        };
    }
    Flow::Go(status)
}

fn command(words: &[String], background: bool) -> Flow {
    let (name, args) = words.split_first().map_or(("", &[][..]), |(name, args)| (name.as_str(), args));
    match (name, args) {
        ("exec", [program, args @ ..]) => {
            let error = Command::new(program).args(args).exec();
            Flow::Exit(not_run(program, &error))
        }
        ("exit", []) => Flow::Exit(0),
        ("exit", [status]) => Flow::Exit(status.parse().unwrap_or(NOT_UNDERSTOOD)),
        ("cd", [directory]) => Flow::Go(match std::env::set_current_dir(directory) {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("sh: {directory}: {error}");
                1
            }
        }),
        ("echo", words) => {
            println!("{}", words.join(" "));
            Flow::Go(0)
        }
        (program, args) => Flow::Go(start(program, args, background)),
    }
}

fn start(program: &str, args: &[String], background: bool) -> u8 {
    let mut command = Command::new(program);
    command.args(args);
    if background {
        command.stdin(Stdio::null());
    }
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return not_run(program, &error),
    };
    if background {
        return 0;
    }
    let mut child = child;
    match child.wait() {
        Ok(status) => {
            let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
            u8::try_from(status).unwrap_or(u8::MAX)
        }
        Err(error) => not_run(program, &error),
    }
}

fn not_run(program: &str, error: &io::Error) -> u8 {
    eprintln!("sh: {program}: {error}");
    if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(text: &str) -> u8 {
        match run(text) {
            Flow::Go(status) | Flow::Exit(status) => status,
        }
    }

    #[test]
    fn the_last_command_decides_and_conditions_hold() {
        assert_eq!(status("true"), 0);
        assert_eq!(status("false"), 1);
        assert_eq!(status("false && exit 3; exit 4"), 4);
        assert_eq!(status("false || exit 3"), 3);
        assert_eq!(status("true || exit 3"), 0);
        assert_eq!(status("/no/such/program"), NOT_FOUND);
        assert_eq!(status("/etc/passwd"), NOT_EXECUTABLE);
        assert_eq!(status("a | b"), NOT_UNDERSTOOD);
    }
}
