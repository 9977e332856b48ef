//! Any file system: everything that can be asked of it.
#![no_main]
use std::io::{self, Cursor};
use std::sync::LazyLock;

use lcow_disk::ext4::export::{self, Form};
use lcow_disk::ext4::reader::Reader;
use lcow_fuzz::{damaged, file_system};
use libfuzzer_sys::fuzz_target;

static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(file_system);

fuzz_target!(|input: &[u8]| {
    let Some((form, input)) = input.split_first() else { return };
    let Ok(mut disk) = Reader::open(Cursor::new(damaged(&WHOLE, input))) else { return };
    let form = if form & 1 == 0 { Form::Layer } else { Form::Plain };
    let root = disk.root();
    let _ = export::write(&mut disk, root, form, Bounded(1 << 22));
    let _ = disk.resolve(b"d/file").and_then(|inode| disk.read_link(inode));
});

/// Takes so many bytes: a sparse file of a terabyte is no mistake, but takes its time.
struct Bounded(usize);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
