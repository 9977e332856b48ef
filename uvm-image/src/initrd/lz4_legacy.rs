//! The LZ4 legacy frame, the only one the Linux kernel unpacks (`lz4 -l`; kernel `lib/decompress_unlz4.c`): a magic
//! number, then for every 8 MiB of input the compressed block's length and the block, all little-endian.

use std::io::{self, Write};
use std::thread;

use lz4::block::CompressionMode;

const MAGIC: u32 = 0x184c_2102;
const BLOCK: usize = 8 << 20;
/// A fifth smaller than the fast kind, unpacked as fast, and packed twenty times slower.
const SMALL: CompressionMode = CompressionMode::HIGHCOMPRESSION(9);
/// Archives of more bytes are packed the fast way: nobody has such an initrd for its size.
const LARGE: usize = 32 << 20;

/// `bytes` as a legacy frame.
pub fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut packer = Packer::new(bytes.len())?;
    packer.write_all(bytes)?;
    packer.finish()
}

/// Makes a legacy frame of what is written to it, two blocks at a time.
pub struct Packer {
    mode: CompressionMode,
    waiting: Vec<u8>,
    // Fresh memory for every block would cost as much as compressing it.
    packed: [Vec<u8>; 2],
    out: Vec<u8>,
}

impl Packer {
    /// For some `expected` bytes.
    pub fn new(expected: usize) -> io::Result<Self> {
        let mode = if expected > LARGE { CompressionMode::FAST(1) } else { SMALL };
        let bound = lz4::block::compress_bound(expected.min(BLOCK))?;
        let mut out = Vec::with_capacity(expected / 2 + 8);
        out.extend_from_slice(&MAGIC.to_le_bytes());
        let waiting = Vec::with_capacity(expected.min(2 * BLOCK));
        Ok(Self { mode, waiting, packed: [vec![0; bound], vec![0; bound]], out })
    }

    /// The frame.
    pub fn finish(mut self) -> io::Result<Vec<u8>> {
        self.pack()?;
        Ok(self.out)
    }

    fn pack(&mut self) -> io::Result<()> {
        let mode = self.mode;
        let pack = |block: &[u8], to: &mut Vec<u8>| {
            if block.is_empty() {
                return Ok(0);
            }
            to.resize(lz4::block::compress_bound(block.len())?.max(to.len()), 0);
            lz4::block::compress_to_buffer(block, Some(mode), false, to)
        };
        let (block, next) = self.waiting.split_at(self.waiting.len().min(BLOCK));
        let [first, second] = &mut self.packed;
        let (one, other) = thread::scope(|scope| {
            let one = scope.spawn(|| pack(block, first));
            let other = pack(next, second);
            (one.join(), other)
        });
        let one = one.map_err(|_| io::Error::other("the compressor failed"))??;
        append(&mut self.out, &self.packed[0][..one]);
        append(&mut self.out, &self.packed[1][..other?]);
        self.waiting.clear();
        Ok(())
    }
}

impl Write for Packer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part = bytes.len().min(2 * BLOCK - self.waiting.len());
        self.waiting.extend_from_slice(&bytes[..part]);
        if self.waiting.len() == 2 * BLOCK {
            self.pack()?;
        }
        Ok(part)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn append(out: &mut Vec<u8>, packed: &[u8]) {
    if !packed.is_empty() {
        // A block of 8 MiB cannot grow beyond 4 GiB.
        out.extend_from_slice(&u32::try_from(packed.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(packed);
    }
}

/// The content of a legacy frame.
pub fn decompress(frame: &[u8]) -> io::Result<Vec<u8>> {
    let (magic, mut rest) = split_word(frame)?;
    if magic != MAGIC {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not an LZ4 legacy frame"));
    }
    let mut out = Vec::new();
    let mut block = vec![0; BLOCK];
    while !rest.is_empty() {
        let (len, body) = split_word(rest)?;
        let len = len as usize;
        let packed = body.get(..len).ok_or_else(truncated)?;
        let size = lz4_flex::block::decompress_into(packed, &mut block).map_err(io::Error::other)?;
        out.extend_from_slice(&block[..size]);
        rest = &body[len..];
    }
    Ok(out)
}

fn split_word(bytes: &[u8]) -> io::Result<(u32, &[u8])> {
    let (word, rest) = bytes.split_first_chunk().ok_or_else(truncated)?;
    Ok((u32::from_le_bytes(*word), rest))
}

fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the LZ4 frame is truncated")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn frames_are_as_the_kernel_reads_them() {
        // Five literals: token 0x50, then the bytes.
        assert_eq!(compress(b"hello").unwrap(), b"\x02\x21\x4c\x18\x06\0\0\0\x50hello");
        assert_eq!(compress(b"").unwrap(), b"\x02\x21\x4c\x18");
    }

    #[test]
    fn large_inputs_take_several_blocks() {
        let bytes: Vec<u8> = (0..BLOCK + 100_000).map(|n| (n / 7).to_le_bytes()[0]).collect();
        assert_eq!(decompress(&compress(&bytes).unwrap()).unwrap(), bytes);
    }

    #[test]
    fn damage_is_an_error() {
        let frame = compress(&b"utility VM ".repeat(100)).unwrap();
        assert!(decompress(&frame[..frame.len() - 3]).is_err());
        assert!(decompress(&frame[..6]).is_err());
        assert!(decompress(b"\x04\x22\x4d\x18").is_err());
    }

    #[test]
    fn the_lz4_tool_reads_it() {
        let bytes: Vec<u8> =
            (0..9_000_000u32).flat_map(|n| (n % 251).to_le_bytes()).take(9_000_000).collect();
        let Ok(mut child) =
            Command::new("lz4").args(["-d", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
        else {
            println!("skipped: lz4 is not installed");
            return;
        };
        let frame = compress(&bytes).unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || stdin.write_all(&frame));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.status.success());
        assert!(output.stdout == bytes, "lz4 unpacked something else");
    }
}
