//! Documents and names of images, as registries and archives give them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    lcow_oci::fuzz::documents(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        lcow_oci::fuzz::names(text);
    }
});
