use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use lcow_disk::ext4::reader::{FileType, Reader};

/// All that is known of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    kind: char,
    mode: u32,
    owner: (u32, u32),
    links: u64,
    mtime: (i64, u32),
    device: (u32, u32),
    content: Vec<u8>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

pub(crate) type Nodes = BTreeMap<Vec<u8>, Node>;

/// What the kernel shows of a mounted file system.
pub(crate) fn mounted(root: &Path) -> Nodes {
    let mut found = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let file_type = metadata.file_type();
        let kind = match file_type {
            t if t.is_dir() => 'd',
            t if t.is_file() => 'f',
            t if t.is_symlink() => 'l',
            t if t.is_char_device() => 'c',
            t if t.is_block_device() => 'b',
            t if t.is_fifo() => 'p',
            _ => 's',
        };
        let content = match kind {
            'f' => fs::read(&path).unwrap(),
            'l' => fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec(),
            _ => Vec::new(),
        };
        let device = u32::try_from(metadata.rdev()).unwrap();
        let has_device = matches!(kind, 'c' | 'b');
        let device = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xf_ff00);
        let names = if kind == 'l' { Vec::new() } else { xattr::list(&path).unwrap().collect() };
        let value = |name: &std::ffi::OsString| xattr::get(&path, name).unwrap().unwrap_or_default();
        let node = Node {
            kind,
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            links: metadata.nlink(),
            mtime: (metadata.mtime(), u32::try_from(metadata.mtime_nsec()).unwrap()),
            device: if has_device { device } else { (0, 0) },
            content,
            xattrs: names.iter().map(|name| (name.as_bytes().to_vec(), value(name))).collect(),
        };
        found.insert(path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec(), node);
        if kind == 'd' {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found
}

/// What our reader finds.
pub(crate) fn read<D: Read + Seek>(disk: D) -> Nodes {
    let mut reader = Reader::open(disk).unwrap();
    let mut found = BTreeMap::new();
    let mut waiting = vec![(Vec::new(), reader.root())];
    while let Some((path, inode)) = waiting.pop() {
        let metadata = reader.metadata(inode).unwrap();
        let mut content = Vec::new();
        let kind = match metadata.file_type {
            FileType::Directory => 'd',
            FileType::File => {
                reader.file(inode).unwrap().read_to_end(&mut content).unwrap();
                'f'
            }
            FileType::Symlink => {
                content = reader.read_link(inode).unwrap();
                'l'
            }
            FileType::CharDevice => 'c',
            FileType::BlockDevice => 'b',
            FileType::Fifo => 'p',
            FileType::Socket => 's',
        };
        if kind == 'd' {
            for entry in reader.read_dir(inode).unwrap() {
                let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
                assert_eq!(reader.lookup(inode, &entry.name).unwrap(), Some(entry.inode));
                waiting.push(([&path, slash, &entry.name].concat(), entry.inode));
            }
        }
        let node = Node {
            kind,
            mode: metadata.mode.into(),
            owner: (metadata.uid, metadata.gid),
            links: metadata.links.into(),
            mtime: (metadata.mtime.seconds, metadata.mtime.nanoseconds),
            device: metadata.device,
            content,
            xattrs: reader.xattrs(inode).unwrap().into_iter().collect(),
        };
        found.insert(path, node);
    }
    found
}

/// Equal, with a message that can be read.
pub(crate) fn assert_same(found: &Nodes, expected: &Nodes) {
    let names = |nodes: &Nodes| {
        nodes.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(found), names(expected));
    for (name, node) in expected {
        let found = &found[name];
        let brief =
            |node: &Node| Node { content: node.content.iter().take(80).copied().collect(), ..node.clone() };
        assert!(
            found == node,
            "{}: {:?}, expected {:?}",
            String::from_utf8_lossy(name),
            brief(found),
            brief(node)
        );
    }
}
