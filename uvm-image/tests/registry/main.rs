//! `uvm-build build --pull`: from a real registry, and from a server that misbehaves.
#![cfg(unix)]

#[path = "../../src/linuxkit/tests/attest.rs"]
mod attest;
mod bench;
mod ended;
// The library's own tests pull from these as well.
#[allow(dead_code)]
#[path = "../../../libs/oci/tests/registry/hub.rs"]
mod hub;
mod progress;
mod pulls;
#[allow(dead_code)]
#[path = "../../../libs/oci/tests/registry/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;
