//! `regex-lite` under the name of `regex`.
//!
//! libcontainer and oci-spec check two short ASCII patterns with regular expressions, and the engine behind `regex`, made for speed,
//! is a third of a megabyte of an agent that may have six. `regex-lite` comes from the same people with the same interface
//! and the same bounds on time; classes such as `\w` mean ASCII only. The workspace's `[patch.crates-io]` puts this in place.
#![forbid(unsafe_code)]

pub use regex_lite::*;
