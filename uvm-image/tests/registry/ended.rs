//! Builds that are ended while a layer is coming.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use crate::bench::Bench;
use crate::server::{Fault, Server};

/// Bytes of the layer that come before the registry falls silent.
const STALL: usize = 200_000;

impl Bench {
    fn store(&self, part: &str) -> PathBuf {
        self.path().join("kept/uvm-build/images").join(part)
    }

    /// Starts a build and comes back when so much of the layer is on the disk; the rest does not come.
    fn stalled(&self, server: &Server) -> Child {
        server.faults(&self.layer(), [Fault::Stall(STALL)]);
        let mut command = self.command(&server.name(), &["--pull"]);
        let mut build = command.stderr(Stdio::piped()).spawn().unwrap();
        let partial = self.store("tmp").join(format!("{}.partial", self.digest().replace("sha256:", "")));
        while partial.metadata().map_or(0, |metadata| metadata.len()) < STALL as u64 {
            assert!(build.try_wait().unwrap().is_none(), "it does not wait for the rest");
            thread::yield_now();
        }
        build
    }

    /// The build has ended in the middle: there is no output and no whole blob of the layer.
    fn is_unfinished(&self) {
        let blob = self.digest().replace("sha256:", "");
        assert!(!names(&self.store("blobs/sha256")).contains(&blob));
        let outputs = names(self.path());
        assert!(outputs.iter().all(|name| name != "x.tar" && !name.starts_with(".uvm-build")), "{outputs:?}");
    }

    /// The next build fetches what is missing and no more, and leaves nothing half-done.
    fn goes_on(&self, server: &Server) {
        self.built(&server.name());
        let ranges: Vec<_> = server.asked(&self.layer()).into_iter().map(|asked| asked.range).collect();
        assert_eq!(ranges, [None, Some(STALL as u64)]);
        assert_eq!(names(&self.store("tmp")), [""; 0], "temporary files of the store");
        assert_eq!(names(&self.path().join("tmp")), [""; 0], "temporary directories");
        // Now it is here.
        self.built(&server.name());
        assert_eq!(server.asked(&self.layer()).len(), 2);
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn end(build: &mut Child, signal: &str) -> ExitStatus {
    assert!(Command::new("kill").args([signal, &build.id().to_string()]).status().unwrap().success());
    build.wait().unwrap()
}

#[test]
fn an_interrupted_pull_goes_on_where_it_was() {
    for signal in ["-INT", "-TERM"] {
        let bench = Bench::new();
        let server = Server::start(&bench.path().join("layout"));
        let mut build = bench.stalled(&server);
        assert_eq!(end(&mut build, signal).code(), Some(130));
        assert_eq!(names(&bench.path().join("tmp")), [""; 0]);
        bench.is_unfinished();
        bench.goes_on(&server);
    }
}

#[test]
fn a_killed_pull_goes_on_where_it_was() {
    let bench = Bench::new();
    let server = Server::start(&bench.path().join("layout"));
    let mut build = bench.stalled(&server);
    assert_eq!(end(&mut build, "-KILL").code(), None);
    assert_eq!(names(&bench.path().join("tmp")).len(), 1, "nothing to clear up");
    bench.is_unfinished();
    bench.goes_on(&server);
}
