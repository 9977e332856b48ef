//! A container on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use anyhow::{Result, ensure};
use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};

use crate::home::Home;
use crate::{Test, boots};

pub(crate) const TESTS: &[Test] = &[boots("size_keys_resize_and_raw_mode", terminal)];

/// Reads until these words have been seen.
fn expect(from: &mut File, seen: &mut String, words: &str) -> Result<()> {
    let mut buffer = [0; 1024];
    while !seen.contains(words) {
        let count = from.read(&mut buffer)?;
        ensure!(count > 0, "no {words:?} in {seen:?}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    Ok(())
}

fn terminal(home: &Home) -> Result<()> {
    let size = Winsize { ws_row: 33, ws_col: 101, ws_xpixel: 0, ws_ypixel: 0 };
    let OpenptyResult { master, slave } = openpty(&size, None)?;
    let echoes = |slave: &OwnedFd| -> Result<bool> {
        Ok(tcgetattr(slave)?.local_flags.contains(LocalFlags::ECHO | LocalFlags::ICANON))
    };
    ensure!(echoes(&slave)?);
    let script = "trap 'stty size; read line; echo \"<$line>\"; exit 7' WINCH; stty size; \
        test -t 0 && test -t 1 && test -t 2 && echo all; while true; do sleep 1; done";
    let mut command = home.command(&["run", "--rm", "-it", "busybox", "sh", "-c", script]);
    command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    // It holds the terminal's other end.
    drop(command);
    let mut master = File::from(master);
    let mut seen = String::new();
    expect(&mut master, &mut seen, "33 101\r\nall\r\n")?;
    ensure!(!echoes(&slave)?, "the terminal is not raw while the container runs");
    resize(&slave, 50, 120)?;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child.id().cast_signed()),
        nix::sys::signal::Signal::SIGWINCH,
    )?;
    expect(&mut master, &mut seen, "50 120\r\n")?;
    master.write_all(b"typed\r")?;
    expect(&mut master, &mut seen, "<typed>\r\n")?;
    let status = child.wait()?;
    ensure!(status.code() == Some(7), "{status}: {seen}");
    ensure!(echoes(&slave)?, "the terminal stays raw");
    Ok(())
}

/// Sets a terminal's size.
fn resize(terminal: &OwnedFd, rows: u16, columns: u16) -> Result<()> {
    let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}
