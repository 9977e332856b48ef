use std::io::{self, Read};

use super::header::{Header, text};
use super::pax::{self, Records};
use super::{Entry, Kind, RECORD, Segment, TarError, Timestamp, sparse};

/// Longest extension header (long name, PAX records) that is accepted, in bytes: several of the largest extended
/// attributes Linux allows.
const MAX_EXTENSION: u64 = 1 << 20;

/// Reads one archive from front to back.
///
/// Wrap slow sources in a [`std::io::BufReader`]: headers are read 512 bytes at a time.
#[derive(Debug)]
pub struct Reader<R> {
    inner: R,
    offset: u64,
    /// Data of the current entry still to come, and the padding after it.
    remaining: u64,
    padding: u64,
    globals: Records,
    ended: bool,
}

/// What extension headers said about the entry they precede.
struct Extensions {
    records: Records,
    long_path: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: Read> Reader<R> {
    /// Start at the first header of `inner`.
    pub fn new(inner: R) -> Self {
        Self { inner, offset: 0, remaining: 0, padding: 0, globals: Records::default(), ended: false }
    }

    /// Bytes consumed so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next entry; what was not read of the last one is skipped. `None` after the end marker.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        self.skip_data()?;
        let mut extensions = Extensions { records: self.globals.clone(), long_path: None, long_link: None };
        while !self.ended {
            let at = self.offset;
            let Some(header) = self.read_header()? else { break };
            match header.type_flag() {
                b'x' | b'X' => {
                    let data = self.read_extension(&header, at)?;
                    extensions.records.apply(&data, at)?;
                }
                b'g' => {
                    let data = self.read_extension(&header, at)?;
                    self.globals.apply(&data, at)?;
                    extensions.records = self.globals.clone();
                }
                b'L' => extensions.long_path = Some(text(&self.read_extension(&header, at)?).to_vec()),
                b'K' => extensions.long_link = Some(text(&self.read_extension(&header, at)?).to_vec()),
                // A volume label names the archive, not a file.
                b'V' => {
                    self.start_data(header.stored_size()?);
                    self.skip_data()?;
                }
                _ => return self.entry(&header, extensions, at).map(Some),
            }
        }
        Ok(None)
    }

    /// Read data of the current entry: all runs of a sparse file one after the other. Zero at its end.
    pub fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let wanted = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.read_some(&mut buffer[..wanted], "the data of an entry")?;
        self.remaining -= count as u64;
        Ok(count)
    }

    /// Read to the end of the source, so that whatever checks the stream sees all of it.
    pub fn drain(&mut self) -> Result<(), TarError> {
        let offset = self.offset;
        let rest =
            io::copy(&mut self.inner, &mut io::sink()).map_err(|source| TarError::Read { offset, source })?;
        self.offset += rest;
        Ok(())
    }

    fn read_header(&mut self) -> Result<Option<Header>, TarError> {
        let at = self.offset;
        let mut record = [0; RECORD];
        self.read_exact(&mut record, "a header or before the end marker")?;
        if record != [0; RECORD] {
            return Header::new(&record, at).map(Some);
        }
        self.ended = true;
        // Two zero records end an archive; some writers are content with one.
        match self.read_exact(&mut record, "the end marker") {
            Ok(()) if record == [0; RECORD] => Ok(None),
            Err(TarError::Truncated { .. }) => Ok(None),
            Err(error) => Err(error),
            Ok(()) => Err(TarError::field(at, "end marker", "more entries follow a single zero record")),
        }
    }

    fn read_extension(&mut self, header: &Header, at: u64) -> Result<Vec<u8>, TarError> {
        let size = header.stored_size()?;
        if size > MAX_EXTENSION {
            return Err(TarError::field(at, "size", "extension header over 1 MiB"));
        }
        self.start_data(size);
        let mut data = vec![0; usize::try_from(size).unwrap_or_default()];
        self.read_exact(&mut data, "an extension header")?;
        self.remaining = 0;
        self.skip_data()?;
        Ok(data)
    }

    fn entry(&mut self, header: &Header, extensions: Extensions, at: u64) -> Result<Entry, TarError> {
        let Extensions { mut records, long_path, long_link } = extensions;
        let path = records.sparse.name.take().or(records.path.take()).or(long_path);
        let path = path.unwrap_or_else(|| header.path());
        let kind = kind(header, &path, at)?;
        let mut stored = match records.size {
            Some(size) => size,
            None => header.stored_size()?,
        };
        // Only files have data; links sometimes repeat the size of what they point to.
        if !matches!(kind, Kind::File) && header.type_flag() != b'D' {
            stored = 0;
        }
        self.start_data(stored);
        let (size, segments) = match kind {
            Kind::File => self.file_map(header, &mut records, at)?,
            _ => (0, None),
        };
        Ok(Entry {
            kind,
            link: records.link.or(long_link).unwrap_or_else(|| header.link()),
            mode: header.mode()?,
            uid: records.uid.map_or_else(|| header.uid(), Ok)?,
            gid: records.gid.map_or_else(|| header.gid(), Ok)?,
            mtime: match records.mtime {
                Some(time) => time,
                None => Timestamp { seconds: header.mtime()?, nanoseconds: 0 },
            },
            atime: records.atime,
            ctime: records.ctime,
            size,
            segments,
            xattrs: records.xattrs,
            path,
        })
    }

    /// Size and data runs of a file, whichever sparse form it uses.
    fn file_map(
        &mut self,
        header: &Header,
        records: &mut Records,
        at: u64,
    ) -> Result<(u64, Option<Vec<Segment>>), TarError> {
        let map = if header.type_flag() == b'S' {
            records.sparse.real_size = Some(sparse::gnu_real_size(header.bytes(), at)?);
            self.read_gnu_map(header, at)?
        } else if records.sparse.map_in_data {
            self.read_data_map(at)?
        } else if let Some(map) = records.sparse.map.take() {
            map
        } else {
            return Ok((self.remaining, None));
        };
        let Some(size) = records.sparse.real_size else {
            return Err(TarError::field(at, "sparse map", "without the size of the file"));
        };
        Ok((size, Some(sparse::checked(map, size, self.remaining, at)?)))
    }

    fn read_gnu_map(&mut self, header: &Header, at: u64) -> Result<Vec<Segment>, TarError> {
        let mut map = Vec::new();
        let mut more = header.bytes()[482] != 0;
        let mut wanted = sparse::read_gnu_entries(&header.bytes()[386..482], at, &mut map)?;
        let mut record = [0; RECORD];
        while more {
            self.read_exact(&mut record, "a sparse map")?;
            more = record[504] != 0;
            wanted = wanted && sparse::read_gnu_entries(&record[..504], at, &mut map)?;
            if map.len() > sparse::MAX_SEGMENTS {
                return Err(TarError::field(at, "sparse map", "too many runs"));
            }
        }
        Ok(map)
    }

    /// PAX sparse 1.0: decimal lines at the start of the data, padded to a record.
    fn read_data_map(&mut self, at: u64) -> Result<Vec<Segment>, TarError> {
        let fault = |reason| TarError::field(at, "sparse map", reason);
        let mut lines = MapLines::default();
        let count = lines.next(self, at)?;
        if count > sparse::MAX_SEGMENTS as u64 {
            return Err(fault("too many runs"));
        }
        let mut map = Vec::new();
        for _ in 0..count {
            map.push(Segment { offset: lines.next(self, at)?, length: lines.next(self, at)? });
        }
        Ok(map)
    }

    fn start_data(&mut self, size: u64) {
        self.remaining = size;
        self.padding = size.wrapping_neg() % RECORD as u64;
    }

    fn skip_data(&mut self) -> Result<(), TarError> {
        let mut sink = [0; 16 * 1024];
        while self.remaining > 0 {
            self.read_data(&mut sink)?;
        }
        let padding = usize::try_from(std::mem::take(&mut self.padding)).unwrap_or_default();
        self.read_exact(&mut sink[..padding], "the padding of an entry")
    }

    fn read_exact(&mut self, mut buffer: &mut [u8], part: &'static str) -> Result<(), TarError> {
        while !buffer.is_empty() {
            let count = self.read_some(buffer, part)?;
            buffer = &mut buffer[count..];
        }
        Ok(())
    }

    fn read_some(&mut self, buffer: &mut [u8], part: &'static str) -> Result<usize, TarError> {
        loop {
            match self.inner.read(buffer) {
                Ok(0) => return Err(TarError::Truncated { offset: self.offset, part }),
                Ok(count) => {
                    self.offset += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(TarError::Read { offset: self.offset, source }),
            }
        }
    }
}

/// The records of a version 1.0 map, read as its lines ask for them.
struct MapLines {
    record: [u8; RECORD],
    used: usize,
}

impl Default for MapLines {
    fn default() -> Self {
        Self { record: [0; RECORD], used: RECORD }
    }
}

impl MapLines {
    fn next<R: Read>(&mut self, reader: &mut Reader<R>, at: u64) -> Result<u64, TarError> {
        let fault = || TarError::field(at, "sparse map", "not a list of numbers");
        let mut line = Vec::new();
        loop {
            if self.used == RECORD {
                if reader.remaining < RECORD as u64 {
                    return Err(fault());
                }
                reader.read_exact(&mut self.record, "a sparse map")?;
                reader.remaining -= RECORD as u64;
                self.used = 0;
            }
            let byte = self.record[self.used];
            self.used += 1;
            if byte == b'\n' {
                return pax::number(&line).filter(|_| !line.is_empty()).ok_or_else(fault);
            }
            if line.len() == 20 {
                return Err(fault());
            }
            line.push(byte);
        }
    }
}

fn kind(header: &Header, path: &[u8], at: u64) -> Result<Kind, TarError> {
    Ok(match header.type_flag() {
        // Before ustar a directory was a file whose name ends in a slash.
        b'0' | 0 | b'7' if path.ends_with(b"/") => Kind::Directory,
        b'0' | 0 | b'7' | b'S' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => header.device().map(|(major, minor)| Kind::CharDevice(major, minor))?,
        b'4' => header.device().map(|(major, minor)| Kind::BlockDevice(major, minor))?,
        b'5' | b'D' => Kind::Directory,
        b'6' => Kind::Fifo,
        other => {
            return Err(TarError::Type {
                offset: at,
                type_flag: char::from(other),
                path: String::from_utf8_lossy(path).into_owned(),
            });
        }
    })
}
