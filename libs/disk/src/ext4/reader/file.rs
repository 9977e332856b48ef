//! The content of files and links.
use std::io::{self, Read, Seek};

use super::blocks::Blocks;
use super::error::{ReadError, corrupt};
use super::extents::{self, Run};
use super::inode::{self, Inode};
use super::xattr;
use crate::tar::Segment;

/// Longest target of a symbolic link.
const MAX_TARGET: u64 = 4096;

/// An open file: reads from front to back, holes as zeros.
#[derive(Debug)]
pub struct File<'a, D> {
    blocks: &'a mut Blocks<D>,
    content: Content,
    size: u64,
    position: u64,
}

#[derive(Debug)]
enum Content {
    Runs(Vec<Run>),
    Inline(Vec<u8>),
}

impl<'a, D: Read + Seek> File<'a, D> {
    pub(super) fn new(blocks: &'a mut Blocks<D>, inode: &Inode) -> Result<Self, ReadError> {
        let size = inode.size_or_fault(blocks.block_size())?;
        let content = if inode.has(inode::INLINE_DATA) {
            Content::Inline(inline(blocks, inode)?)
        } else {
            Content::Runs(extents::all(blocks, inode)?)
        };
        Ok(Self { blocks, content, size, position: 0 })
    }

    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The parts that are not holes, ascending, within [`Self::size`].
    pub fn segments(&self) -> Vec<Segment> {
        let size = self.blocks.block_size();
        let Content::Runs(runs) = &self.content else {
            return vec![Segment { offset: 0, length: self.size }];
        };
        let mut segments: Vec<Segment> = Vec::new();
        for run in runs {
            let (offset, end) = (run.logical * size, (run.end() * size).min(self.size));
            match segments.last_mut() {
                _ if offset >= end => {}
                Some(last) if last.offset + last.length == offset => last.length += end - offset,
                _ => segments.push(Segment { offset, length: end - offset }),
            }
        }
        segments
    }

    /// Go on reading at byte `position`.
    pub fn set_position(&mut self, position: u64) {
        self.position = position;
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let left = self.size.saturating_sub(self.position);
        let wanted = left.min(buffer.len() as u64);
        if wanted == 0 {
            return Ok(0);
        }
        let count = match &self.content {
            Content::Inline(data) => {
                let at = self.position as usize;
                let rest = data.get(at..).unwrap_or_default();
                let count = rest.len().min(wanted as usize);
                buffer[..count].copy_from_slice(&rest[..count]);
                count as u64
            }
            Content::Runs(runs) => {
                let size = self.blocks.block_size();
                let block = self.position / size;
                let next = runs.partition_point(|run| run.end() <= block);
                match runs.get(next) {
                    Some(run) if run.logical <= block => {
                        let count = wanted.min(run.end() * size - self.position);
                        let physical = run.physical + (block - run.logical);
                        self.blocks.read(physical, self.position % size, &mut buffer[..count as usize])?;
                        count
                    }
                    found => {
                        let hole = found.map_or(u64::MAX, |run| run.logical * size) - self.position;
                        let count = wanted.min(hole);
                        buffer[..count as usize].fill(0);
                        count
                    }
                }
            }
        };
        self.position += count;
        Ok(count as usize)
    }
}

impl<D: Read + Seek> Read for File<'_, D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_some(buffer).map_err(io::Error::other)
    }
}

/// The target of a symbolic link, wherever it stands.
pub(super) fn link_target<D: Read + Seek>(
    blocks: &mut Blocks<D>,
    inode: &Inode,
) -> Result<Vec<u8>, ReadError> {
    let size = inode.size();
    if size > MAX_TARGET {
        return Err(corrupt("inode", inode.number, "a link target is too long"));
    }
    let size = size as usize;
    if inode.has(inode::INLINE_DATA) {
        return inline(blocks, inode);
    }
    if !inode.has(inode::EXTENTS) && size < inode.body().len() {
        return Ok(inode.body()[..size].to_vec());
    }
    let mut target = vec![0; size];
    let mut file = File::new(blocks, inode)?;
    let mut done = 0;
    while done < size {
        let count = file.read_some(&mut target[done..])?;
        done += count;
    }
    Ok(target)
}

/// Content that stands in the inode and its attributes.
fn inline<D: Read + Seek>(blocks: &mut Blocks<D>, inode: &Inode) -> Result<Vec<u8>, ReadError> {
    let mut data = inode.body().to_vec();
    data.extend(xattr::inline_data(blocks, inode)?);
    if inode.size() > data.len() as u64 {
        return Err(corrupt("inode", inode.number, "has less inline data than its size"));
    }
    data.truncate(inode.size() as usize);
    Ok(data)
}
