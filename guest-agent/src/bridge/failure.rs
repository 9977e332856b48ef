//! The one place where errors become HRESULTs (spec section 4.4).

use std::error::Error as StdError;

use lcow_protocol::json::DecodeError;
use lcow_protocol::{HResult, InvalidContainerId};

use crate::causes::with_causes;
use crate::{container, network, process, runtime, storage, transport};

/// An error answer: its code and the text that users see.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) result: HResult,
    pub(crate) text: String,
}

impl Failure {
    /// An error with a code of its own.
    pub(crate) fn new(result: HResult, error: &dyn StdError) -> Self {
        Self { result, text: with_causes(error) }
    }

    /// An error that is only text.
    pub(crate) fn text(result: HResult, text: impl Into<String>) -> Self {
        Self { result, text: text.into() }
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self::new(HResult::INVALID_JSON, &error)
    }
}

impl From<InvalidContainerId> for Failure {
    fn from(error: InvalidContainerId) -> Self {
        Self::new(HResult::INVALID_ARG, &error)
    }
}

impl From<transport::DialError> for Failure {
    fn from(error: transport::DialError) -> Self {
        Self::new(HResult::FAIL, &error)
    }
}

impl From<process::VmProcessError> for Failure {
    fn from(error: process::VmProcessError) -> Self {
        let result = match &error {
            process::VmProcessError::Runtime(error) => runtime_result(error),
            _ => HResult::FAIL,
        };
        Self::new(result, &error)
    }
}

impl From<storage::Error> for Failure {
    fn from(error: storage::Error) -> Self {
        Self::new(HResult::FAIL, &error)
    }
}

impl From<network::Error> for Failure {
    fn from(error: network::Error) -> Self {
        Self::new(HResult::FAIL, &error)
    }
}

impl From<runtime::Error> for Failure {
    fn from(error: runtime::Error) -> Self {
        Self::new(runtime_result(&error), &error)
    }
}

impl From<container::Error> for Failure {
    fn from(error: container::Error) -> Self {
        use container::Error as E;
        let result = match &error {
            E::NotFound(_) => HResult::SYSTEM_NOT_FOUND,
            E::Exists(_) => HResult::SYSTEM_ALREADY_EXISTS,
            E::Creating(_) | E::StillRunning(_) | E::AlreadyStarted(_) => HResult::INVALID_STATE,
            E::NoNetwork(_) => HResult::NOT_FOUND,
            E::NotRunning(_) => HResult::SYSTEM_ALREADY_STOPPED,
            E::InvalidId(_) => HResult::INVALID_ARG,
            E::Schema { .. } => HResult::INVALID_JSON,
            E::Runtime { source, .. } => runtime_result(source),
            _ => HResult::FAIL,
        };
        Self::new(result, &error)
    }
}

fn runtime_result(error: &runtime::Error) -> HResult {
    use runtime::FailureKind as Kind;
    match error {
        runtime::Error::Job(failure) => match failure.kind {
            Kind::ProgramNotFound => HResult::FILE_NOT_FOUND,
            Kind::ProgramNotExecutable => HResult::NOT_EXECUTABLE,
            Kind::NoSuchProcess => HResult::NOT_FOUND,
            Kind::Other => HResult::FAIL,
        },
        _ => HResult::FAIL,
    }
}
