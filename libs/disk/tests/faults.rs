//! Disks that fail: an error that says where, whatever the moment.
mod support;

use std::error::Error;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

use lcow_disk::ext4::layer::{LayerError, Options, convert};
use lcow_disk::ext4::mkfs;
use lcow_disk::ext4::reader::Reader;
use lcow_disk::{verity, vhdx};
use support::Tar;

/// Memory that fails after so many bytes were read or written.
#[derive(Debug)]
struct Failing {
    inner: Cursor<Vec<u8>>,
    left: usize,
}

impl Failing {
    fn new(bytes: Vec<u8>, left: usize) -> Self {
        Self { inner: Cursor::new(bytes), left }
    }

    fn take(&mut self, count: usize) -> io::Result<()> {
        // EIO.
        self.left = self.left.checked_sub(count).ok_or_else(|| io::Error::from_raw_os_error(5))?;
        Ok(())
    }
}

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.take(buffer.len())?;
        self.inner.read(buffer)
    }
}

impl Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes.len())?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Failing {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

fn sample() -> Vec<u8> {
    let mut tar = Tar::new();
    // Longer than what is written at a time.
    tar.xattr("user.a", &[1; 500]).file("a", &vec![7; 3_000_000]).symlink("l", &"t/".repeat(90)).dir("d");
    tar.finish()
}

/// The system's error at the bottom of it all.
fn cause(error: &(dyn Error + 'static)) -> Option<i32> {
    let mut error = Some(error);
    while let Some(current) = error {
        if let Some(io) = current.downcast_ref::<io::Error>() {
            return io.raw_os_error().or_else(|| io.get_ref().and_then(|inner| cause(inner)));
        }
        error = current.source();
    }
    None
}

#[test]
fn a_failing_disk_is_reported_wherever_it_fails() {
    let tar = sample();
    let whole = support::image(&tar).unwrap();
    let options = Options::default();
    for left in (0..whole.len()).step_by(100_000) {
        let error = convert(tar.as_slice(), Failing::new(Vec::new(), left), &options).unwrap_err();
        assert!(matches!(error, LayerError::Write { .. }) && cause(&error) == Some(5), "{left}: {error}");
        let error = convert(Failing::new(tar.clone(), left), Cursor::new(Vec::new()), &options);
        assert!(left > tar.len() / 2 || cause(&error.unwrap_err()) == Some(5), "{left}");
        let error = verity::append(&mut Failing::new(whole.clone(), left), whole.len() as u64, [1; 16]);
        assert_eq!(cause(&error.unwrap_err()), Some(5), "{left}");
    }
    for left in [0, 4096, 100_000, 140_000] {
        let error = mkfs::format(&mut Failing::new(Vec::new(), left), 1 << 30, &mkfs::Options::default());
        assert_eq!(cause(&error.unwrap_err()), Some(5), "{left}");
    }
    let mut disk = vhdx::Disk::new(Failing::new(Vec::new(), 1000), 1 << 30, [1; 16]).unwrap();
    disk.write_all(&[1; 500]).unwrap();
    assert_eq!(cause(&disk.finish().unwrap_err()), Some(5));
}

#[test]
fn a_failing_source_is_reported_wherever_it_fails() {
    let whole = support::image(&sample()).unwrap();
    for left in (0..60_000).step_by(1000) {
        let Ok(mut reader) = Reader::open(Failing::new(whole.clone(), left)) else { continue };
        let read = reader.resolve(b"a").map_err(io::Error::other).and_then(|inode| {
            let mut file = reader.file(inode).map_err(io::Error::other)?;
            file.read_to_end(&mut Vec::new())
        });
        assert_eq!(cause(&read.unwrap_err()), Some(5), "{left}");
    }
}

#[test]
fn an_interrupted_growth_is_completed_by_the_next() {
    const OLD: u64 = 40 << 20;
    // More groups than one block of the list has room for: bitmaps have to move.
    const NEW: u64 = 20 << 30;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.img");
    let mut interrupted = 0;
    for left in (0..60_000).step_by(4000) {
        let _ = std::fs::remove_file(&path);
        mkfs::create(&path, OLD, &mkfs::Options::default()).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        file.set_len(NEW).unwrap();
        let mut disk = FailingFile { file, left };
        interrupted += u32::from(mkfs::grow(&mut disk, NEW, mkfs::Backing::Zeroed).is_err());
        disk.left = usize::MAX;
        mkfs::grow(&mut disk, NEW, mkfs::Backing::Zeroed).unwrap();
        support::assert_clean(&path);
    }
    assert!(interrupted > 2, "{interrupted}");
}

/// A file that fails after so many bytes were written.
struct FailingFile {
    file: File,
    left: usize,
}

impl Read for FailingFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Write for FailingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(4096);
        self.left = self.left.checked_sub(count).ok_or_else(|| io::Error::from_raw_os_error(5))?;
        self.file.write(&bytes[..count])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for FailingFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_reported() {
    let full = || File::options().read(true).write(true).open("/dev/full").unwrap();
    // ENOSPC.
    let error = convert(sample().as_slice(), full(), &Options::default()).unwrap_err();
    assert_eq!(cause(&error), Some(28), "{error}");
    let error = mkfs::format(&mut full(), 1 << 30, &mkfs::Options::default()).unwrap_err();
    assert_eq!(cause(&error), Some(28), "{error}");
}
