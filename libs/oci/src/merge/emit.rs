//! The merged stream, from what survives.
use std::io::{self, BufReader, Read, Write};
use std::thread;

use lcow_disk::tar::RECORD;

use super::plan::{Action, Planned};
use crate::pipe::{PipeReader, PipeWriter, pipe};
use crate::store::{Image, Store};

const BUFFER: usize = 128 * 1024;

/// Writes the stream in a thread of its own.
pub(super) fn start(store: Store, image: Image, layers: Vec<Vec<Planned>>) -> io::Result<PipeReader> {
    let (mut writer, reader) = pipe();
    let emit = move || match all(&store, &image, layers, &mut writer) {
        Ok(()) => writer.finish(),
        Err(error) => writer.fail(error),
    };
    thread::Builder::new().name("merge".into()).spawn(emit)?;
    Ok(reader)
}

fn all(store: &Store, image: &Image, layers: Vec<Vec<Planned>>, out: &mut PipeWriter) -> io::Result<()> {
    for (at, planned) in layers.into_iter().enumerate() {
        let tar = store.open_layer(image, at).map_err(io::Error::other)?;
        let mut tar = BufReader::with_capacity(BUFFER, tar);
        let mut start = 0;
        for Planned { end, action, .. } in planned {
            let mut entry = (&mut tar).take(end - start);
            start = end;
            match action {
                Action::Drop => copy(&mut entry, &mut io::sink())?,
                Action::Directory(path) => {
                    copy(&mut entry, &mut io::sink())?;
                    out.write_all(&directory(&path))?;
                }
                Action::Pass { path: None, link: None } => copy(&mut entry, out)?,
                Action::Pass { path, link } => {
                    let mut records = Vec::new();
                    for (key, name) in [("path", &path), ("GNU.sparse.name", &path), ("linkpath", &link)] {
                        records.extend(name.iter().flat_map(|name| record(key, name)));
                    }
                    changed(&mut entry, &records, out)?;
                }
            }
            if entry.limit() > 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if out.is_abandoned() {
                return Ok(());
            }
        }
        // To the very end, where the content is checked.
        io::copy(&mut tar, &mut io::sink())?;
    }
    out.write_all(&[0; 2 * RECORD])
}

fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    io::copy(from, to).map(drop)
}

/// Passes an entry on with further PAX records, right before its own header: later ones override earlier ones.
fn changed(entry: &mut impl Read, records: &[u8], out: &mut PipeWriter) -> io::Result<()> {
    loop {
        let mut header = [0; RECORD];
        entry.read_exact(&mut header)?;
        if matches!(header[156], b'x' | b'X' | b'g' | b'L' | b'K' | b'V') {
            out.write_all(&header)?;
            copy(&mut entry.take(octal(&header[124..136]).next_multiple_of(RECORD as u64)), out)?;
            continue;
        }
        out.write_all(&extension(records))?;
        out.write_all(&header)?;
        return copy(entry, out);
    }
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself (POSIX.1-2017 `pax`, "pax Extended Header").
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length += 1;
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// An extension with these records.
fn extension(records: &[u8]) -> Vec<u8> {
    let mut extension = header(b'x', 0o644, records.len()).to_vec();
    extension.extend_from_slice(records);
    extension.resize(extension.len().next_multiple_of(RECORD), 0);
    extension
}

/// A directory, with the mode of those that have no entries.
fn directory(path: &[u8]) -> Vec<u8> {
    [extension(&record("path", path)), header(b'5', 0o755, 0).to_vec()].concat()
}

/// The header of something of this type, which has its name elsewhere, and so many bytes.
fn header(kind: u8, mode: u16, length: usize) -> [u8; RECORD] {
    let mut header = [0; RECORD];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"renamed");
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{length:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// A number in a header. The reader of names has been here before and found it in order.
fn octal(field: &[u8]) -> u64 {
    let digits = field.iter().filter(|byte| (b'0'..=b'7').contains(*byte));
    digits.fold(0_u64, |number, digit| number.wrapping_mul(8) + u64::from(digit - b'0'))
}
