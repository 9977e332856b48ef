//! The agent inside an LCOW utility VM.

fn main() {}
