//! The error codes of the bridge (spec section 4.4).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A Windows error code as it travels in `Result`: a signed 32-bit number, zero for success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HResult(pub i32);

macro_rules! hresults {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        impl HResult {
            $($(#[$doc])* pub const $name: Self = Self(u32::cast_signed($value));)*

            /// The symbolic name, where the code is one of the protocol's own.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

hresults! {
    /// Success.
    OK = 0, "OK";
    /// Unknown message type, or one not valid in the current protocol version.
    NOT_IMPL = 0x8000_4001, "NotImpl";
    /// Every error that has no code of its own.
    FAIL = 0x8000_4005, "Fail";
    /// Malformed container id.
    INVALID_ARG = 0x8007_0057, "InvalidArg";
    /// Unknown process, process already gone, or unknown network namespace.
    NOT_FOUND = 0x8007_0490, "NotFound";
    /// The container is in the wrong state for the request.
    INVALID_STATE = 0x8037_0105, "VmcomputeInvalidState";
    /// A wait's time is over.
    TIMEOUT = 0xC037_0109, "VmcomputeTimeout";
    /// Defined by the protocol, not used by agents.
    UNKNOWN_MESSAGE = 0xC037_010B, "VmcomputeUnknownMessage";
    /// The host's version range does not include 4.
    UNSUPPORTED_PROTOCOL_VERSION = 0xC037_010C, "VmcomputeUnsupportedProtocolVersion";
    /// JSON that does not parse, or a schema version below 2.1.
    INVALID_JSON = 0xC037_010D, "VmcomputeInvalidJSON";
    /// Unknown container id.
    SYSTEM_NOT_FOUND = 0xC037_010E, "VmcomputeSystemNotFound";
    /// Create with an id that is in use.
    SYSTEM_ALREADY_EXISTS = 0xC037_010F, "VmcomputeSystemAlreadyExists";
    /// The container's init is already gone.
    SYSTEM_ALREADY_STOPPED = 0xC037_0110, "VmcomputeSystemAlreadyStopped";
    /// The executable was not found. Ours: hosts show it as text; `lcow` makes exit status 127 of it.
    /// It is Windows' own `ERROR_FILE_NOT_FOUND`.
    FILE_NOT_FOUND = 0x8007_0002, "FileNotFound";
    /// The file is not executable. Ours: `lcow` makes exit status 126 of it. Windows' `ERROR_BAD_EXE_FORMAT`.
    NOT_EXECUTABLE = 0x8007_00C1, "NotExecutable";
}

impl HResult {
    /// Whether this is a success code.
    pub fn is_ok(self) -> bool {
        self.0 >= 0
    }
}

impl fmt::Display for HResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HRESULT 0x{:08x}", self.0)?;
        self.name().map_or(Ok(()), |name| write!(f, " ({name})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_the_signed_ones_of_the_specification() {
        assert_eq!(HResult::SYSTEM_NOT_FOUND.0, -1_070_137_074);
        assert_eq!(HResult::NOT_IMPL.0, -2_147_467_263);
        assert_eq!(HResult::INVALID_STATE.0, -2_143_878_907);
        assert_eq!(HResult::NOT_FOUND.0, -2_147_023_728);
        assert_eq!(HResult::SYSTEM_NOT_FOUND.to_string(), "HRESULT 0xc037010e (VmcomputeSystemNotFound)");
    }
}
