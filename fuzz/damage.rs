//! What the targets share: whole files to start from, for bytes from nowhere hardly get past the first signature.
#![forbid(unsafe_code)]

use std::io::Cursor;

use lcow_disk::ext4::layer::{Options, convert};
use lcow_disk::tar::{Entry, Kind, Writer};

/// An archive with one of everything.
pub fn archive() -> Vec<u8> {
    let mut tar = Writer::new(Vec::new());
    let mut add = |entry: &Entry| tar.append(entry, &[7; 9000][..]).expect("written to memory");
    add(&Entry::directory("d", 0o755));
    let mut file = Entry::file("d/file", 0o644, 9000);
    file.xattrs = vec![(b"user.a".to_vec(), vec![1; 20]), (b"user.b".to_vec(), vec![2; 300])];
    add(&file);
    add(&Entry { link: b"d/file".to_vec(), ..Entry::new("link", Kind::HardLink, 0o644) });
    add(&Entry::symlink("long", "t/".repeat(60)));
    add(&Entry::file("d/.wh.gone", 0, 0));
    add(&Entry::new("null", Kind::CharDevice(1, 3), 0o666));
    for n in 0..180 {
        add(&Entry::file(format!("many/{n}-{}", "n".repeat(190)), 0o644, 0));
    }
    tar.finish().expect("written to memory")
}

/// A file system made of it; small, so that damage hits something.
pub fn file_system() -> Vec<u8> {
    let mut disk = Cursor::new(Vec::new());
    let options = Options { max_size: 1 << 30, ..Options::default() };
    convert(archive().as_slice(), &mut disk, &options).expect("a good archive");
    disk.into_inner()
}

/// `whole` with changes: of every six bytes of `input`, four tell where and two what is written there.
pub fn damaged(whole: &[u8], input: &[u8]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for change in input.chunks_exact(6) {
        let place = u32::from_le_bytes([change[0], change[1], change[2], change[3]]) as usize;
        let at = place % (bytes.len() - 1);
        bytes[at..at + 2].copy_from_slice(&change[4..]);
    }
    bytes
}
