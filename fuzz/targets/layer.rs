//! Compressed layers, as registries and archives give them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lcow_oci::fuzz::layer(bytes));
