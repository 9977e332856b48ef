//! `regex-lite` under the name of `regex`.
//!
//! libcontainer and oci-spec check short texts with a handful of patterns, and the engine behind `regex`, made for speed,
//! is with its tables 0.9 MB of an agent that may have six. `regex-lite` comes from the same people with the same interface
//! and the same bounds on time; classes such as `\w` mean ASCII only. The workspace's `[patch.crates-io]` puts this in place.
#![forbid(unsafe_code)]

pub use regex_lite::*;
