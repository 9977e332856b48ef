//! `lcow`: Linux containers, each in its own utility VM.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => {
            let status = runtime.block_on(host_bridge::cli::main());
            // A conversion that a signal has interrupted must not hold up the end.
            runtime.shutdown_background();
            status
        }
        Err(error) => {
            eprintln!("lcow: cannot start: {error}");
            ExitCode::from(125)
        }
    }
}
