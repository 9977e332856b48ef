//! Memory does not grow with what a layer holds. One test in a program of its own: memory is counted by process.
#![cfg(target_os = "linux")]

use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::thread;

use lcow_disk::ext4::layer::{Options, convert};
use lcow_disk::tar::{Entry, Writer};

/// Where a disk goes that nobody reads.
#[derive(Default)]
struct Nowhere(u64);

impl Write for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Nowhere {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        if let SeekFrom::Start(at) = to {
            self.0 = at;
        }
        Ok(self.0)
    }
}

/// The most memory that this process ever had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn a_large_layer_takes_no_more_than_48_megabytes() {
    let (reader, writer) = io::pipe().unwrap();
    let packing = thread::spawn(move || {
        let mut tar = Writer::new(BufWriter::with_capacity(1 << 18, writer));
        tar.append(&Entry::file("large", 0o644, 1 << 30), io::repeat(b'x')).unwrap();
        for number in 0..50_000 {
            let path = format!("directory-{}/file-{number}", number / 100);
            tar.append(&Entry::file(path, 0o644, 100), io::repeat(b'y')).unwrap();
        }
        tar.finish().unwrap().flush().unwrap();
    });
    let stats = convert(reader, Nowhere::default(), &Options::default()).unwrap();
    packing.join().unwrap();
    assert!(stats.inodes > 50_000 && stats.file_system_bytes > 1 << 30);
    assert!(peak() < 48_000_000, "{} bytes", peak());
}
