//! The bridge contract between an LCOW host and its guest agent: frames, messages, HRESULTs.
#![forbid(unsafe_code)]
