//! Pulling: from a real registry, and from a server that misbehaves in every way we could think of.
mod faults;
mod hub;
mod pulls;
mod server;
mod sinks;
mod support;
mod tokens;
