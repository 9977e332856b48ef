//! What the end-to-end suites share: the utility VM that they run on and the tests' registration.
#![forbid(unsafe_code)]

pub mod command;
pub mod debian;
pub mod documents;
pub mod foreign;
pub mod image;
mod lab;
pub mod plan9;
pub mod suite;

pub use lab::{Lab, LabContainer, boot_files};

use host_bridge::guest::GuestError;
use lcow_protocol::HResult;

/// The code of a guest's refusal; `None` for a success or another kind of error.
pub fn refusal<T>(result: Result<T, GuestError>) -> Option<HResult> {
    match result.err()? {
        GuestError::Refused { result, .. } => Some(result),
        _ => None,
    }
}
