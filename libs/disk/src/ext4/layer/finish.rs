//! Everything behind the file data: directories, inode table, bitmaps, and the superblock at the front.
use std::io::{Seek, Write};

use sha2::{Digest, Sha256};

use super::entry::{attribute_error, refusal_reason};
use super::error::LayerError;
use super::node::{Directory, Node};
use super::plan::{Plan, Usage, reserved_blocks};
use super::sink::Sink;
use super::tree::Tree;
use super::{LayerStats, Options};
use crate::ext4::dir::{self, Name};
use crate::ext4::extent::{self, Extent};
use crate::ext4::group::Descriptor;
use crate::ext4::inode::{self, Content, flag, mode};
use crate::ext4::layout::{
    BLOCK, BLOCK_SIZE, FIRST_INODE, INODE_FIXED, INODE_SIZE, INODES_PER_BLOCK, MAX_LINKS, ROOT_INODE,
    SECTORS_PER_BLOCK,
};
use crate::ext4::superblock::{self, Superblock, compat, incompat, ro_compat};
use crate::ext4::uuid_from;
use crate::ext4::xattr::{self, Refusal};
use crate::vhd::Footer;

/// Write all that is missing.
pub(super) fn finish<W: Write + Seek>(
    sink: Sink<W>,
    tree: Tree,
    options: &Options,
) -> Result<LayerStats, LayerError> {
    let mut image = Image { sink, digest: Sha256::new(), dir_nlink: false };
    let Tree { mut nodes, mut directories, orphans, .. } = tree;
    image.write_directories(&mut nodes, &mut directories)?;
    let numbers: Vec<u32> = directories.into_keys().collect();
    let plan = Plan::new(image.sink.block(), nodes.len() as u32);
    if plan.descriptor_blocks() >= reserved_blocks(options.max_size) {
        return Err(LayerError::TooLarge { limit: options.max_size });
    }
    image.write_inode_table(&nodes, &plan)?;
    let used: Vec<bool> =
        nodes.iter().enumerate().map(|(at, node)| node.is_some() || at + 1 < FIRST_INODE as usize).collect();
    drop(nodes);
    let usage = Usage { plan: &plan, orphans: &orphans, used: &used, directories: &numbers, options };
    let groups = image.write_bitmaps(&usage)?;
    image.write_head(&plan, &groups, used.iter().filter(|&&used| used).count() as u32, options)
}

/// Attributes in disk form, and how many were left out because no file system here knows their name space.
pub(super) fn encode_xattrs<'a>(
    xattrs: impl Iterator<Item = &'a (Vec<u8>, Vec<u8>)>,
    path: &[u8],
) -> Result<(xattr::Encoded, usize), LayerError> {
    let mut set = xattr::Set::default();
    let mut unknown = 0;
    for (name, value) in xattrs {
        match set.insert(name, value) {
            Ok(()) => {}
            Err(Refusal::NameSpace) => unknown += 1,
            Err(refusal) => {
                return Err(attribute_error(path, String::from_utf8_lossy(name), refusal_reason(refusal)));
            }
        }
    }
    let encoded = set
        .encode()
        .map_err(|refusal| attribute_error(path, "extended attributes", refusal_reason(refusal)))?;
    Ok((encoded, unknown))
}

struct Image<W> {
    sink: Sink<W>,
    digest: Sha256,
    dir_nlink: bool,
}

impl<W: Write + Seek> Image<W> {
    /// All directories, parents first, and their inodes.
    fn write_directories(
        &mut self,
        nodes: &mut [Option<Node>],
        directories: &mut std::collections::HashMap<u32, Directory>,
    ) -> Result<(), LayerError> {
        let mut waiting = vec![ROOT_INODE];
        while let Some(number) = waiting.pop() {
            let directory = directories.get_mut(&number).expect("named directories exist");
            let children = std::mem::take(&mut directory.children);
            let mode_of = |child: u32| nodes[child as usize - 1].as_ref().map_or(0, Node::mode);
            let mut names: Vec<Name<'_>> = children
                .iter()
                .map(|(name, child)| Name { inode: child.inode, mode: mode_of(child.inode), text: name })
                .collect();
            // In the order of the table, so that reading a directory and then its inodes goes forwards on the disk.
            names.sort_by_key(|name| name.inode);
            let is_directory = |name: &&Name<'_>| name.mode & mode::TYPE == mode::DIRECTORY;
            let subdirectories: Vec<u32> = names.iter().filter(is_directory).map(|name| name.inode).collect();
            let node = self.write_directory(number, directory, &names, subdirectories.len())?;
            nodes[number as usize - 1] = Some(node);
            waiting.extend(subdirectories.into_iter().rev());
        }
        Ok(())
    }

    fn write_directory(
        &mut self,
        number: u32,
        directory: &Directory,
        names: &[Name<'_>],
        subdirectories: usize,
    ) -> Result<Node, LayerError> {
        let first = self.sink.block();
        let (sink, digest) = (&mut self.sink, &mut self.digest);
        let mut result = Ok(());
        dir::linear(number, directory.parent, names.iter().copied(), |block| {
            digest.update(block);
            if result.is_ok() {
                result = sink.write(block);
            }
        });
        result?;
        let length = self.sink.block() - first;
        let tree = extent::build(&[Extent { logical: 0, physical: first, length }], self.sink.block());
        for block in &tree.blocks {
            self.sink.write(block)?;
        }
        let opaque = directory.opaque.then(|| (b"trusted.overlay.opaque".to_vec(), b"y".to_vec()));
        let (xattrs, _) = encode_xattrs(directory.xattrs.iter().chain(&opaque), b"(a directory)")?;
        let mut content = Content {
            size: u64::from(length) * BLOCK,
            links: self.directory_links(subdirectories),
            flags: flag::EXTENTS,
            body: tree.body,
            ..Content::default()
        };
        if let Some(block) = &xattrs.block {
            content.xattr_block = self.sink.block();
            self.sink.write(&block[..])?;
        }
        let count = self.sink.block() - first;
        content.sectors = u64::from(count) * SECTORS_PER_BLOCK;
        let fixed = inode::encode(&directory.attributes, &content);
        Ok(Node { fixed, tail: xattrs.tail, blocks: (first, count), whiteout: false })
    }

    /// Its own names and one `..` for each sub-directory; 1 when there are too many to count (feature `dir_nlink`).
    fn directory_links(&mut self, subdirectories: usize) -> u16 {
        match u16::try_from(subdirectories + 2) {
            Ok(links) if links < MAX_LINKS => links,
            _ => {
                self.dir_nlink = true;
                1
            }
        }
    }

    fn write_inode_table(&mut self, nodes: &[Option<Node>], plan: &Plan) -> Result<(), LayerError> {
        for chunk in nodes.chunks(INODES_PER_BLOCK as usize) {
            let mut block = [0; BLOCK_SIZE];
            for (slot, node) in block.chunks_exact_mut(INODE_SIZE).zip(chunk) {
                let Some(node) = node else { continue };
                slot[..INODE_FIXED].copy_from_slice(&node.fixed);
                if let Some(tail) = &node.tail {
                    slot[INODE_FIXED..].copy_from_slice(&tail[..]);
                }
            }
            self.digest.update(block);
            self.sink.write(&block)?;
        }
        let missing = plan.table + plan.table_blocks - self.sink.block();
        self.sink.zeros(u64::from(missing) * BLOCK)
    }

    fn write_bitmaps(&mut self, usage: &Usage<'_>) -> Result<Vec<Descriptor>, LayerError> {
        let plan = usage.plan;
        let mut groups = Vec::with_capacity(plan.groups as usize);
        for group in 0..plan.groups {
            let (blocks, free_blocks) = usage.block_bitmap(group);
            let (inodes, free_inodes) = usage.inode_bitmap(group);
            let block_bitmap = self.sink.block();
            self.sink.write(blocks.bytes())?;
            self.sink.write(inodes.bytes())?;
            groups.push(Descriptor {
                block_bitmap,
                inode_bitmap: block_bitmap + 1,
                inode_table: plan.table + group * (plan.inodes_per_group / INODES_PER_BLOCK),
                free_blocks,
                free_inodes,
                directories: usage.directories_in(group),
                ..Descriptor::default()
            });
        }
        Ok(groups)
    }

    fn write_head(
        self,
        plan: &Plan,
        groups: &[Descriptor],
        inodes: u32,
        options: &Options,
    ) -> Result<LayerStats, LayerError> {
        let derived: [u8; 32] = self.digest.finalize().into();
        let uuid = options.uuid.unwrap_or_else(|| uuid_from(&derived));
        let superblock = Superblock {
            blocks: plan.blocks,
            free_blocks: groups.iter().map(|group| group.free_blocks).sum(),
            inodes: plan.groups * plan.inodes_per_group,
            blocks_per_group: plan.blocks_per_group,
            inodes_per_group: plan.inodes_per_group,
            free_inodes: groups.iter().map(|group| group.free_inodes).sum(),
            compat: compat::EXT_ATTR | compat::SPARSE_SUPER2,
            incompat: incompat::FILETYPE | incompat::EXTENTS | incompat::FLEX_BG,
            ro_compat: ro_compat::LARGE_FILE
                | ro_compat::HUGE_FILE
                | ro_compat::EXTRA_ISIZE
                | ro_compat::READONLY
                | if self.dir_nlink { ro_compat::DIR_NLINK } else { 0 },
            uuid,
            label: [0; 16],
            // One flexible group: tables may lie anywhere.
            log_groups_per_flex: 31,
            written_kib: 0,
        };
        let mut head = vec![0; BLOCK_SIZE];
        head[superblock::OFFSET..superblock::OFFSET + superblock::SIZE].copy_from_slice(&superblock.encode());
        head.extend(groups.iter().flat_map(Descriptor::encode));
        let size = u64::from(plan.blocks) * BLOCK;
        let footer =
            if options.vhd_footer { Footer::fixed(size, uuid).encode().to_vec() } else { Vec::new() };
        self.sink.rewrite(&footer, &head)?;
        let inodes = inodes - (FIRST_INODE - 2);
        Ok(LayerStats { file_system_bytes: size, inodes, tar_bytes: 0, dropped_xattrs: 0, uuid })
    }
}
