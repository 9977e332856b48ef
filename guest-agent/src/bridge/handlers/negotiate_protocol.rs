//! `NegotiateProtocol` (spec section 5.1).

use lcow_protocol::HResult;
use lcow_protocol::messages::{
    GuestCapabilities, NegotiateProtocol, NegotiateProtocolResponse, PROTOCOL_VERSION,
};

use crate::bridge::Failure;

/// Selects the version; it is in force for the connection that it was negotiated on.
pub(in crate::bridge) fn negotiate(message: NegotiateProtocol) -> Result<NegotiateProtocolResponse, Failure> {
    let range = message.minimum_version..=message.maximum_version;
    if !range.contains(&PROTOCOL_VERSION) {
        let text = format!(
            "protocol versions {} to {} do not include {PROTOCOL_VERSION}",
            range.start(),
            range.end()
        );
        return Err(Failure::text(HResult::UNSUPPORTED_PROTOCOL_VERSION, text));
    }
    Ok(NegotiateProtocolResponse { version: PROTOCOL_VERSION, capabilities: GuestCapabilities::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(minimum_version: u32, maximum_version: u32) -> Option<HResult> {
        negotiate(NegotiateProtocol { minimum_version, maximum_version }).err().map(|failure| failure.result)
    }

    #[test]
    fn only_a_range_with_four_in_it_is_accepted() {
        for (minimum, maximum) in [(4, 4), (0, 4), (4, u32::MAX)] {
            assert_eq!(result(minimum, maximum), None);
        }
        for (minimum, maximum) in [(0, 3), (5, 9), (5, 3), (0, 0)] {
            assert_eq!(result(minimum, maximum), Some(HResult::UNSUPPORTED_PROTOCOL_VERSION));
        }
    }
}
