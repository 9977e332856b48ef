//! `-r`: stays the program's parent and carries its output to the host's port, over as many connections as it takes.
//! A VM that moves to another host loses its connections; its log goes on.

use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::{Error, Plan};
use crate::transport;

/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// How long the last output of a program that has ended may take.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// Runs the program to its end; the status is its own, 128 plus the number for a signal.
pub(super) fn run(plan: &Plan) -> Result<ExitCode, Error> {
    let [output, error] = [1, 2].map(|stream| plan.streams.get(&stream).copied());
    let port = error.or(output).ok_or_else(|| Error::Usage("-r needs -o or -e".to_owned()))?;
    let failed = |source| Error::Exec { program: plan.program.clone(), source };
    let (reader, writer) = io::pipe().map_err(failed)?;
    let mut command = Command::new(&plan.program);
    command.args(&plan.arguments);
    if output.is_some() {
        command.stdout(writer.try_clone().map_err(failed)?);
    }
    if error.is_some() {
        command.stderr(writer.try_clone().map_err(failed)?);
    }
    let mut child = command.spawn().map_err(failed)?;
    // What still has the pipe open after this keeps the relay going.
    drop((writer, command));
    let (done, ended) = mpsc::channel();
    thread::spawn(move || {
        carry(reader, || transport::dial_blocking(port).map(File::from), RECONNECT_PAUSE);
        // Fails when nobody waits any more.
        let _ = done.send(());
    });
    let status = child.wait().map_err(failed)?;
    // Without it some output is lost, but an unreachable host must not keep us.
    let _ = ended.recv_timeout(LAST_OUTPUT);
    let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    Ok(ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX)))
}

/// Carries everything from `source` to connections; what one did not take goes to the next.
fn carry<C: Write, E>(mut source: PipeReader, mut connect: impl FnMut() -> Result<C, E>, pause: Duration) {
    let mut connection: Option<C> = None;
    let mut chunk = vec![0; CHUNK];
    while let Ok(length @ 1..) = source.read(&mut chunk) {
        let mut rest = &chunk[..length];
        while !rest.is_empty() {
            let Some(open) = &mut connection else {
                match connect() {
                    Ok(open) => connection = Some(open),
                    Err(_) => thread::sleep(pause),
                }
                continue;
            };
            match open.write(rest) {
                Ok(0) => connection = None,
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => connection = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Takes so many bytes and then breaks.
    struct Breaks(usize, Arc<Mutex<Vec<u8>>>);

    impl Write for Breaks {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            if taken == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.0 -= taken;
            self.1.lock().unwrap().extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_one_connection_does_not_take_goes_to_the_next() {
        let (reader, mut writer) = io::pipe().unwrap();
        let text: Vec<u8> = (0..200_u8).cycle().take(10_000).collect();
        let expected = text.clone();
        let feeder = thread::spawn(move || writer.write_all(&text));
        let received = Arc::new(Mutex::new(Vec::new()));
        let mut tries = VecDeque::from([Some(100), None, None, Some(1), Some(5_000), None, Some(usize::MAX)]);
        let connect = || {
            let next = tries.pop_front().expect("no further try is needed");
            next.map(|bytes| Breaks(bytes, Arc::clone(&received))).ok_or(())
        };
        carry(reader, connect, Duration::ZERO);
        feeder.join().unwrap().unwrap();
        assert_eq!(*received.lock().unwrap(), expected);
    }
}
