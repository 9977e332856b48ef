//! What the end-to-end suites share: the utility VM that they run on and the tests' registration.
#![forbid(unsafe_code)]

mod lab;
pub mod suite;

pub use lab::{Lab, boot_files};

/// The code of a guest's refusal; `None` for a success or another kind of error.
pub fn refusal<T>(result: Result<T, host_bridge::guest::GuestError>) -> Option<lcow_protocol::HResult> {
    match result {
        Err(host_bridge::guest::GuestError::Refused { result, .. }) => Some(result),
        _ => None,
    }
}
