//! Standard output and standard error, either of which may be closed or full.

use std::fmt::Display;
use std::io::{self, BufWriter, Write};

use anyhow::{Context, Result};

/// Has `write` write to standard output. A reader that has gone has seen enough, which is no error.
pub(crate) fn say(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    to(io::stdout().lock(), write)
}

/// A line for people on standard error, which begins with the program's name. When that cannot be written there is nobody
/// left to tell.
pub(crate) fn tell(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "uvm-build: {text}");
}

fn to(stream: impl Write, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut out = BufWriter::new(stream);
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            // Its end would write what is left once more.
            drop(out.into_parts());
            Ok(())
        }
        result => result.context("cannot write to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fails(io::ErrorKind);

    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_may_go_but_a_full_disk_is_an_error() {
        let write = |out: &mut dyn Write| writeln!(out, "text");
        to(Fails(io::ErrorKind::BrokenPipe), write).unwrap();
        let error = to(Fails(io::ErrorKind::StorageFull), write).unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot write to standard output: "), "{error:#}");
        let mut text = Vec::new();
        to(&mut text, write).unwrap();
        assert_eq!(text, b"text\n");
    }
}
