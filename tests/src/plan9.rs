//! A 9P2000.L server of the tests' own: as much as it takes to read and write files of one directory
//! (diod's `protocol.md` describes the messages).

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use host_bridge::transport::Listener;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Serves `root` as the share `name` to everybody who dials, until the task is aborted.
pub async fn serve(mut listener: Listener, root: PathBuf, name: String) {
    while let Ok(stream) = listener.accept().await {
        let (root, name) = (root.clone(), name.clone());
        tokio::spawn(async move { answer(&mut { stream }, root, name).await });
    }
}

/// Serves `root` as the share `name` to one guest; dropped, it falls silent, and the connection stays.
pub async fn answer(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    root: PathBuf,
    name: String,
) -> Result<()> {
    Session { root, share: name, fids: HashMap::new() }.run(stream).await
}

struct Fid {
    path: PathBuf,
    file: Option<File>,
}

struct Session {
    root: PathBuf,
    share: String,
    fids: HashMap<u32, Fid>,
}

/// Reads fields of a message.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk().context("a message is too short")?;
        self.0 = rest;
        Ok(*head)
    }

    fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.take()?))
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>> {
        let (head, rest) = self.0.split_at_checked(length).context("a message is too short")?;
        self.0 = rest;
        Ok(head.to_vec())
    }

    fn text(&mut self) -> Result<String> {
        let length = self.u16()?;
        Ok(String::from_utf8(self.bytes(length.into())?)?)
    }
}

fn text(reply: &mut Vec<u8>, text: &str) -> Result<()> {
    reply.extend(u16::try_from(text.len())?.to_le_bytes());
    reply.extend(text.as_bytes());
    Ok(())
}

fn qid(metadata: &fs::Metadata) -> Vec<u8> {
    let kind = if metadata.is_dir() { 0x80 } else { 0 };
    [&[kind][..], &[0; 4], &metadata.ino().to_le_bytes()].concat()
}

impl Session {
    async fn run(mut self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<()> {
        loop {
            let size = stream.read_u32_le().await?;
            let mut message = vec![0; usize::try_from(size)?.saturating_sub(4)];
            stream.read_exact(&mut message).await?;
            let [kind, low, high, body @ ..] = &message[..] else { anyhow::bail!("no header") };
            let (answer, payload) = match self.answer(*kind, &mut Fields(body)) {
                Ok(payload) => (kind + 1, payload),
                Err(error) => {
                    let errno =
                        error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error).unwrap_or(95);
                    (7, errno.to_le_bytes().to_vec())
                }
            };
            let mut reply = u32::try_from(7 + payload.len())?.to_le_bytes().to_vec();
            reply.extend([answer, *low, *high]);
            reply.extend(payload);
            stream.write_all(&reply).await?;
        }
    }

    fn fid(&mut self, number: u32) -> Result<&mut Fid> {
        self.fids.get_mut(&number).context("an unknown fid")
    }

    fn answer(&mut self, kind: u8, fields: &mut Fields<'_>) -> Result<Vec<u8>> {
        match kind {
            100 => {
                let mut reply = fields.u32()?.to_le_bytes().to_vec();
                text(&mut reply, &fields.text()?)?;
                Ok(reply)
            }
            104 => self.attach(fields),
            108 | 26 | 50 => Ok(Vec::new()),
            120 => {
                self.fids.remove(&fields.u32()?);
                Ok(Vec::new())
            }
            110 => self.walk(fields),
            24 => self.attributes(fields),
            12 => self.open(fields),
            14 => self.create(fields),
            116 => self.read(fields),
            118 => self.write(fields),
            40 => self.list(fields),
            _ => Err(io::Error::from_raw_os_error(95).into()),
        }
    }

    fn attach(&mut self, fields: &mut Fields<'_>) -> Result<Vec<u8>> {
        let (fid, _) = (fields.u32()?, fields.u32()?);
        let (_, share) = (fields.text()?, fields.text()?);
        if share != self.share {
            return Err(io::Error::from_raw_os_error(2).into());
        }
        let path = self.root.clone();
        let reply = qid(&fs::metadata(&path)?);
        self.fids.insert(fid, Fid { path, file: None });
        Ok(reply)
    }

    fn walk(&mut self, fields: &mut Fields<'_>) -> Result<Vec<u8>> {
        let (fid, new, count) = (fields.u32()?, fields.u32()?, fields.u16()?);
        let mut path = self.fid(fid)?.path.clone();
        let mut qids = Vec::new();
        for _ in 0..count {
            path.push(fields.text()?);
            qids.extend(qid(&fs::symlink_metadata(&path)?));
        }
        self.fids.insert(new, Fid { path, file: None });
        Ok([&count.to_le_bytes()[..], &qids].concat())
    }

    fn attributes(&mut self, fields: &mut Fields<'_>) -> Result<Vec<u8>> {
        let fid = fields.u32()?;
        let metadata = fs::symlink_metadata(&self.fid(fid)?.path)?;
        let mut reply = 0x7ff_u64.to_le_bytes().to_vec();
        reply.extend(qid(&metadata));
        for number in [metadata.mode(), metadata.uid(), metadata.gid()] {
            reply.extend(number.to_le_bytes());
        }
        for number in [metadata.nlink(), metadata.rdev(), metadata.size(), 4096, metadata.blocks()] {
            reply.extend(number.to_le_bytes());
        }
        // Four times of seconds and nanoseconds, generation and version.
        reply.extend([0; 10 * 8]);
        Ok(reply)
    }

    fn open(&mut self, fields: &mut Fields<'_>) -> Result<Vec<u8>> {
        let (number, flags) = (fields.u32()?, fields.u32()?);
        let fid = self.fid(number)?;
        let metadata = fs::metadata(&fid.path)?;
        if metadata.is_file() {
            let (write, truncate) = (flags & 3 != 0, flags & 0o1000 != 0);
            fid.file = Some(OpenOptions::new().read(true).write(write).truncate(truncate).open(&fid.path)?);
        }
        Ok([&qid(&metadata)[..], &[0; 4]].concat())
    }

    fn create(&mut self, fields: &mut Fields<'_>) -> Result<Vec<u8>> {
        let (number, name) = (fields.u32()?, fields.text()?);
        let fid = self.fid(number)?;
        fid.path.push(name);
        fid.file = Some(OpenOptions::new().read(true).write(true).create_new(true).open(&fid.path)?);
        Ok([&qid(&fs::metadata(&fid.path)?)[..], &[0; 4]].concat())
    }

    fn read(&mut self, fields: &mut Fields<'_>) -> Result<Vec<u8>> {
        let (number, offset, count) = (fields.u32()?, fields.u64()?, fields.u32()?);
        let mut data = vec![0; usize::try_from(count)?];
        let file = self.fid(number)?.file.as_ref().context("not open")?;
        let length = file.read_at(&mut data, offset)?;
        Ok([&u32::try_from(length)?.to_le_bytes()[..], &data[..length]].concat())
    }

    fn write(&mut self, fields: &mut Fields<'_>) -> Result<Vec<u8>> {
        let (number, offset, count) = (fields.u32()?, fields.u64()?, fields.u32()?);
        let data = fields.bytes(usize::try_from(count)?)?;
        self.fid(number)?.file.as_ref().context("not open")?.write_all_at(&data, offset)?;
        Ok(count.to_le_bytes().to_vec())
    }

    /// Everything at once; tests' directories are small.
    fn list(&mut self, fields: &mut Fields<'_>) -> Result<Vec<u8>> {
        let (number, offset) = (fields.u32()?, fields.u64()?);
        let mut entries = Vec::new();
        if offset == 0 {
            for (index, entry) in (1_u64..).zip(sorted(&self.fid(number)?.path)?) {
                entries.extend(qid(&fs::symlink_metadata(&entry)?));
                entries.extend(index.to_le_bytes());
                entries.push(0);
                text(&mut entries, &entry.file_name().unwrap_or_default().to_string_lossy())?;
            }
        }
        Ok([&u32::try_from(entries.len())?.to_le_bytes()[..], &entries].concat())
    }
}

fn sorted(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries)
}
