//! Processes of the VM itself (spec section 8.6).

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use lcow_protocol::ProcessId;
use lcow_protocol::messages::ProcessParameters;

use super::stdio::null;
use super::{Extras, Process, Pty, Relays, Wanted};
use crate::runtime::{self, SpawnJob};

/// A VM-level process that could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(&'static str),
    /// Its streams could not be prepared.
    #[error("preparing the process's streams")]
    Streams(#[from] io::Error),
    /// It could not be run.
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
}

/// The table of VM-level processes.
#[derive(Debug, Default)]
pub(crate) struct VmProcesses(RefCell<HashMap<ProcessId, Rc<Process>>>);

impl VmProcesses {
    /// Starts a process with its streams connected to the host.
    pub(crate) async fn start(
        &self,
        runtime: &runtime::Client,
        parameters: ProcessParameters,
        streams: Wanted,
    ) -> Result<ProcessId, Error> {
        let terminal = parameters.emulate_console;
        let size = parameters.console_size.clone();
        let job = job(parameters)?;
        let process = if terminal {
            let (pty, slave) = Pty::open()?;
            if let [rows, columns] = size[..] {
                pty.resize(rows, columns)?;
            }
            let fds = [slave.as_raw_fd(); 3];
            let child = runtime.spawn(job, &fds).await?;
            drop(slave);
            let pty = Rc::new(pty);
            let process = Process::new(child, Some(Rc::clone(&pty)));
            process.supervise(Relays::of_terminal(&pty, streams, &Extras::none(&process)));
            process
        } else {
            // The process gets the connections themselves: they close when it, and all its children, have.
            let fds = blocking_fds(streams)?;
            let child = runtime.spawn(job, &[0, 1, 2].map(|stream: usize| fds[stream].as_raw_fd())).await?;
            let process = Process::new(child, None);
            process.supervise(Relays::default());
            process
        };
        let id = process.id();
        self.0.borrow_mut().insert(id, process);
        Ok(id)
    }

    /// The process with that id.
    pub(crate) fn get(&self, id: ProcessId) -> Option<Rc<Process>> {
        self.0.borrow().get(&id).cloned()
    }

    /// Forgets a process whose exit status the host has got.
    pub(crate) fn forget(&self, id: ProcessId) {
        self.0.borrow_mut().remove(&id);
    }

    /// Ids and exit statuses, for people.
    pub(crate) fn describe(&self) -> Vec<String> {
        let table = self.0.borrow();
        table.values().map(|process| format!("vm process {}: {:?}", process.id(), process.status())).collect()
    }
}

fn job(parameters: ProcessParameters) -> Result<SpawnJob, Error> {
    let args = if parameters.command_args.is_empty() {
        split_command_line(&parameters.command_line)?
    } else {
        parameters.command_args
    };
    if args.is_empty() {
        return Err(Error::Invalid("neither CommandArgs nor CommandLine is given"));
    }
    Ok(SpawnJob {
        args,
        directory: parameters.working_directory,
        environment: parameters.environment,
        terminal: parameters.emulate_console,
    })
}

fn blocking_fds(streams: Wanted) -> io::Result<[OwnedFd; 3]> {
    let fd = |stream: Option<crate::transport::HostStream>| match stream {
        Some(stream) => stream.into_blocking_fd(),
        None => null(),
    };
    Ok([fd(streams.stdin)?, fd(streams.stdout)?, fd(streams.stderr)?])
}

/// Splits a command line as a shell does, with quotes and backslashes but without expanding anything.
fn split_command_line(line: &str) -> Result<Vec<String>, Error> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, ' ' | '\t' | '\n') => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == character => quote = None,
            (None, '\\') => {
                let escaped = characters.next().ok_or(Error::Invalid("CommandLine ends with a backslash"))?;
                word.get_or_insert_default().push(escaped);
            }
            (Some('"'), '\\') => {
                let escaped = characters.next().ok_or(Error::Invalid("CommandLine ends inside quotes"))?;
                if !matches!(escaped, '"' | '\\' | '$' | '`') {
                    word.get_or_insert_default().push('\\');
                }
                word.get_or_insert_default().push(escaped);
            }
            _ => word.get_or_insert_default().push(character),
        }
    }
    if quote.is_some() {
        return Err(Error::Invalid("CommandLine ends inside quotes"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_split_like_a_shell_does() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("  ls   -l ", &["ls", "-l"]),
            (r#"sh -c 'echo "a b"' x"#, &["sh", "-c", "echo \"a b\"", "x"]),
            (r#"a"b c"d '' "\n\"\$x""#, &["ab cd", "", r#"\n"$x"#]),
            (r"a\ b \'", &["a b", "'"]),
            ("echo $HOME *", &["echo", "$HOME", "*"]),
        ];
        for (line, words) in cases {
            assert_eq!(split_command_line(line).unwrap(), *words, "{line}");
        }
        for bad in ["'a", "\"a", "a\\", "\"a\\"] {
            assert!(split_command_line(bad).is_err(), "{bad}");
        }
    }
}
