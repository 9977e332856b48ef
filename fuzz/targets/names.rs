//! Any names, whiteouts among them, in layers on top of each other.
#![no_main]
use std::io::{self, Cursor};

use lcow_disk::ext4::layer::{Options, Whiteouts, Writer};
use lcow_disk::tar::{Entry, Kind};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let whiteouts = if input.len() % 2 == 0 { Whiteouts::Overlay } else { Whiteouts::Apply };
    let options = Options { whiteouts, max_size: 1 << 26, ..Options::default() };
    let Ok(mut disk) = Writer::new(Cursor::new(Vec::new()), &options) else { return };
    for line in input.split(|&byte| byte == b'\n') {
        let Some((what, name)) = line.split_first() else {
            // An empty line begins the next layer: an archive with nothing in it.
            let _ = disk.add_layer(&[0; 1024][..]);
            continue;
        };
        let (path, link) = name.split_at(name.iter().position(|&byte| byte == 0).unwrap_or(name.len()));
        let entry = match what % 5 {
            0 => Entry::directory(path, 0o755),
            1 => Entry::symlink(path, link.get(1..).unwrap_or_default()),
            2 => Entry {
                link: link.get(1..).unwrap_or_default().to_vec(),
                ..Entry::new(path, Kind::HardLink, 0)
            },
            3 => Entry::file([b".wh.", path].concat(), 0, 0),
            _ => Entry::file(path, 0o644, 0),
        };
        if disk.add(&entry, io::empty()).is_err() {
            return;
        }
    }
    disk.finish().expect("what was accepted can be written");
});
