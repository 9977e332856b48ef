//! `busybox-image DIR`: writes the image `busybox` as an OCI layout. `cargo xtask demo` runs it.
#![forbid(unsafe_code)]

use std::path::Path;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let directory =
        std::env::args_os().nth(1).filter(|directory| !directory.as_encoded_bytes().starts_with(b"-"));
    let directory = directory.context("usage: busybox-image DIR")?;
    lcow_tests::image::write_busybox(Path::new(&directory))
}
