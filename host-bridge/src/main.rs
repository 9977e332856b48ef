//! `lcow`: Linux containers, each in its own utility VM.
#![forbid(unsafe_code)]

fn main() {}
