//! The `Type` field of a frame (spec section 3.2).

use std::fmt;

/// What a frame is: the top nibble of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Host to guest.
    Request,
    /// Guest to host, carrying the id of its request.
    Response,
    /// Guest to host, unasked.
    Notification,
    /// Anything else.
    Unknown,
}

/// The `Type` of a frame: kind (4 bits), category (8), message (12) and version (8), highest bits first.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageType(pub u32);

const KIND_MASK: u32 = 0xF000_0000;
const RESPONSE: u32 = 0x2000_0000;

macro_rules! message_types {
    ($($name:ident = $value:literal, $text:literal;)*) => {
        impl MessageType {
            $(#[doc = concat!("`", $text, "`")] pub const $name: Self = Self($value);)*

            /// The message's own name, whichever of request or response it is.
            pub fn name(self) -> Option<&'static str> {
                match Self(if self.kind() == Kind::Response { self.0 ^ 0x3000_0000 } else { self.0 }) {
                    $(Self::$name => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

message_types! {
    CREATE = 0x1010_0101, "Create";
    START = 0x1010_0201, "Start";
    SHUTDOWN_GRACEFUL = 0x1010_0301, "ShutdownGraceful";
    SHUTDOWN_FORCED = 0x1010_0401, "ShutdownForced";
    EXECUTE_PROCESS = 0x1010_0501, "ExecuteProcess";
    WAIT_FOR_PROCESS = 0x1010_0601, "WaitForProcess";
    SIGNAL_PROCESS = 0x1010_0701, "SignalProcess";
    RESIZE_CONSOLE = 0x1010_0801, "ResizeConsole";
    GET_PROPERTIES = 0x1010_0901, "GetProperties";
    MODIFY_SETTINGS = 0x1010_0a01, "ModifySettings";
    NEGOTIATE_PROTOCOL = 0x1010_0b01, "NegotiateProtocol";
    DUMP_STACKS = 0x1010_0c01, "DumpStacks";
    DELETE_CONTAINER_STATE = 0x1010_0d01, "DeleteContainerState";
    UPDATE_CONTAINER = 0x1010_0e01, "UpdateContainer";
    LIFECYCLE_NOTIFICATION = 0x1010_0f01, "LifecycleNotification";
    MODIFY_SERVICE_SETTINGS = 0x1020_0101, "ModifyServiceSettings";
    CONTAINER_NOTIFICATION = 0x3010_0101, "ContainerNotification";
}

impl MessageType {
    /// What the frame is.
    pub fn kind(self) -> Kind {
        match self.0 & KIND_MASK {
            0x1000_0000 => Kind::Request,
            RESPONSE => Kind::Response,
            0x3000_0000 => Kind::Notification,
            _ => Kind::Unknown,
        }
    }

    /// The type of the answer to this request: the same with the kind replaced.
    #[must_use]
    pub fn response(self) -> Self {
        Self(self.0 & !KIND_MASK | RESPONSE)
    }
}

impl fmt::Debug for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08x}", self.0)?;
        self.name().map_or(Ok(()), |name| write!(f, " ({name})"))
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => name.fmt(f),
            None => write!(f, "0x{:08x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_differs_from_its_request_in_the_kind_alone() {
        assert_eq!(MessageType::NEGOTIATE_PROTOCOL.response().0, 0x2010_0b01);
        assert_eq!(MessageType::NEGOTIATE_PROTOCOL.response().name(), Some("NegotiateProtocol"));
        assert_eq!(MessageType::CONTAINER_NOTIFICATION.kind(), Kind::Notification);
        assert_eq!(MessageType::CONTAINER_NOTIFICATION.name(), Some("ContainerNotification"));
        assert_eq!(MessageType(0x1010_ff01).name(), None);
    }
}
