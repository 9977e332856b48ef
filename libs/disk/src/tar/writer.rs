//! Writing archives that every reader of layers understands: ustar headers, and PAX records where they do not suffice.
use std::io::{self, Read, Write};

use super::{Entry, Kind, RECORD, Timestamp};

/// Writes one archive from front to back. The same entries always give the same bytes.
///
/// ```
/// use lcow_disk::tar::{Entry, Writer};
/// let mut tar = Writer::new(Vec::new());
/// tar.append(&Entry::file("etc/hostname", 0o644, 5), &b"lcow\n"[..])?;
/// let bytes = tar.finish()?;
/// # assert_eq!(bytes.len(), 4 * 512);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    buffer: Vec<u8>,
}

/// Bytes of data moved at a time.
const BUFFER: usize = 128 * 1024;

impl<W: Write> Writer<W> {
    /// Start an archive in `out`, which should be buffered where small writes are slow.
    pub fn new(out: W) -> Self {
        Self { out, buffer: vec![0; BUFFER] }
    }

    /// Append an entry with [`Entry::size`] bytes of `data`, if it is a file. Holes are written as zeros: readers of
    /// layers are not all able to read sparse entries. An error if `data` ends early.
    pub fn append(&mut self, entry: &Entry, data: impl Read) -> io::Result<()> {
        self.append_with(entry, &[], data)
    }

    /// The same with further PAX records, which most readers ignore: key (`VENDOR.keyword`) and value.
    pub fn append_with(&mut self, entry: &Entry, extra: &[(&str, &str)], data: impl Read) -> io::Result<()> {
        let mut records = records(entry);
        for (key, value) in extra {
            push(&mut records, key.as_bytes(), value.as_bytes());
        }
        if !records.is_empty() {
            let header = Header::new(b"PaxHeaders/entry", b'x', 0o644).size(records.len() as u64);
            self.out.write_all(&header.finish())?;
            self.padded(&records)?;
        }
        self.out.write_all(&header(entry))?;
        if entry.kind == Kind::File { self.data(entry.size, data) } else { Ok(()) }
    }

    /// Write the end marker.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * RECORD])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.pad(bytes.len() as u64)
    }

    fn data(&mut self, size: u64, mut data: impl Read) -> io::Result<()> {
        let mut left = size;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER);
            data.read_exact(&mut self.buffer[..wanted])?;
            self.out.write_all(&self.buffer[..wanted])?;
            left -= wanted as u64;
        }
        self.pad(size)
    }

    fn pad(&mut self, written: u64) -> io::Result<()> {
        let padding = written.wrapping_neg() % RECORD as u64;
        self.out.write_all(&[0; RECORD][..usize::try_from(padding).unwrap_or_default()])
    }
}

/// Largest numbers of the octal fields.
const MAX_ID: u32 = 0o7_777_777;
const MAX_SIZE: u64 = 0o77_777_777_777;
/// Bytes of the name fields.
const NAME: usize = 100;

/// What the header cannot say.
fn records(entry: &Entry) -> Vec<u8> {
    let mut records = Vec::new();
    if entry.path.len() > NAME {
        push(&mut records, b"path", &entry.path);
    }
    if entry.link.len() > NAME {
        push(&mut records, b"linkpath", &entry.link);
    }
    if entry.size > MAX_SIZE {
        push(&mut records, b"size", entry.size.to_string().as_bytes());
    }
    for (key, id) in [(&b"uid"[..], entry.uid), (b"gid", entry.gid)] {
        if id > MAX_ID {
            push(&mut records, key, id.to_string().as_bytes());
        }
    }
    let whole =
        entry.mtime.nanoseconds == 0 && u64::try_from(entry.mtime.seconds).is_ok_and(|s| s <= MAX_SIZE);
    if !whole {
        push(&mut records, b"mtime", decimal(entry.mtime).as_bytes());
    }
    for (key, time) in [(&b"atime"[..], entry.atime), (b"ctime", entry.ctime)] {
        if let Some(time) = time {
            push(&mut records, key, decimal(time).as_bytes());
        }
    }
    for (name, value) in &entry.xattrs {
        push(&mut records, &[b"SCHILY.xattr.", &name[..]].concat(), value);
    }
    records
}

/// Append `"LENGTH KEY=VALUE\n"`; the length counts its own digits.
fn push(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let digits = (1..20).find(|&digits| (rest + digits).to_string().len() == digits).unwrap_or_default();
    records.extend_from_slice((rest + digits).to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// Decimal seconds; the fraction counts away from zero, as the sign says.
fn decimal(time: Timestamp) -> String {
    let (sign, seconds, nanoseconds) = match (time.seconds < 0, time.nanoseconds) {
        (true, 1..) => ("-", (time.seconds + 1).unsigned_abs(), 1_000_000_000 - time.nanoseconds),
        (true, 0) => ("-", time.seconds.unsigned_abs(), 0),
        (false, nanoseconds) => ("", time.seconds.unsigned_abs(), nanoseconds),
    };
    let text = format!("{sign}{seconds}.{nanoseconds:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn header(entry: &Entry) -> [u8; RECORD] {
    let (flag, device) = match entry.kind {
        Kind::File => (b'0', (0, 0)),
        Kind::HardLink => (b'1', (0, 0)),
        Kind::Symlink => (b'2', (0, 0)),
        Kind::CharDevice(major, minor) => (b'3', (major, minor)),
        Kind::BlockDevice(major, minor) => (b'4', (major, minor)),
        Kind::Directory => (b'5', (0, 0)),
        Kind::Fifo => (b'6', (0, 0)),
    };
    let mut header = Header::new(&entry.path, flag, entry.mode);
    header.text(157, &entry.link);
    header.octal(108, 7, if entry.uid > MAX_ID { 0 } else { entry.uid.into() });
    header.octal(116, 7, if entry.gid > MAX_ID { 0 } else { entry.gid.into() });
    header.octal(136, 11, u64::try_from(entry.mtime.seconds).unwrap_or_default().min(MAX_SIZE));
    header.octal(329, 7, device.0.into());
    header.octal(337, 7, device.1.into());
    header.size(if entry.kind == Kind::File { entry.size } else { 0 }).finish()
}

struct Header([u8; RECORD]);

impl Header {
    fn new(path: &[u8], flag: u8, mode: u16) -> Self {
        let mut header = Self([0; RECORD]);
        header.text(0, path);
        header.octal(100, 7, mode.into());
        for (at, digits) in [(108, 7), (116, 7), (136, 11), (329, 7), (337, 7)] {
            header.octal(at, digits, 0);
        }
        header.0[156] = flag;
        header.0[257..265].copy_from_slice(b"ustar\x0000");
        header
    }

    fn size(mut self, size: u64) -> Self {
        self.octal(124, 11, if size > MAX_SIZE { 0 } else { size });
        self
    }

    fn text(&mut self, at: usize, text: &[u8]) {
        let length = text.len().min(NAME);
        self.0[at..at + length].copy_from_slice(&text[..length]);
    }

    fn octal(&mut self, at: usize, digits: usize, value: u64) {
        self.0[at..at + digits].copy_from_slice(format!("{value:0digits$o}").as_bytes());
    }

    fn finish(mut self) -> [u8; RECORD] {
        self.0[148..156].fill(b' ');
        let sum: u64 = self.0.iter().map(|&byte| u64::from(byte)).sum();
        self.octal(148, 6, sum);
        self.0[154] = 0;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::Reader;

    #[test]
    fn whatever_an_entry_holds_reads_back() {
        let time = |seconds, nanoseconds| Timestamp { seconds, nanoseconds };
        let mut long = Entry::file("d/".repeat(90), 0o4755, 700);
        long.path.push(b'f');
        (long.uid, long.gid, long.mtime) = (u32::MAX - 1, 1 << 21, time(-2, 500_000_000));
        (long.atime, long.ctime) = (Some(time(5_000_000_000, 1)), Some(time(-7, 0)));
        long.xattrs = vec![(b"user.a".to_vec(), b"\0\n=".to_vec()), (b"user.b".to_vec(), vec![7; 9000])];
        let mut exact = Entry::symlink("n".repeat(100), "t".repeat(101));
        exact.mtime = time(1 << 33, 0);
        let device = Entry::new("null", Kind::CharDevice(259, 70_000), 0o600);
        let mut tar = Writer::new(Vec::new());
        for entry in [&long, &exact, &device] {
            tar.append(entry, &[b'x'; 700][..]).unwrap();
        }
        let bytes = tar.finish().unwrap();
        let mut reader = Reader::new(bytes.as_slice());
        for entry in [long, exact, device] {
            let found = reader.next_entry().unwrap().unwrap();
            assert_eq!(format!("{found:?}"), format!("{entry:?}"));
        }
        assert!(reader.next_entry().unwrap().is_none());
    }
}
