//! A file tree as a cpio archive. Owner and times are zero, so equal trees give equal bytes.

use super::tree::{Node, Tree};
use crate::newc::{self, Header, TRAILER, Type};

/// `tree` as an archive.
pub fn archive(tree: &Tree) -> Vec<u8> {
    let mut out = Vec::new();
    for (inode, (path, entry)) in (1..).zip(tree.iter()) {
        let (kind, links, device, content): (Type, u32, (u32, u32), &[u8]) = match &entry.node {
            Node::Directory => (Type::Directory, 2, (0, 0), b""),
            Node::File(content) => (Type::Regular, 1, (0, 0), content),
            Node::Symlink(target) => (Type::Symlink, 1, (0, 0), target.as_bytes()),
            Node::CharDevice(major, minor) => (Type::CharDevice, 1, (*major, *minor), b""),
        };
        let header = Header { inode, kind, mode: entry.mode, links, device, ..Header::default() };
        member(&mut out, header, path.as_bytes(), content);
    }
    member(&mut out, Header { links: 1, ..Header::default() }, TRAILER, b"");
    out
}

fn member(out: &mut Vec<u8>, header: Header, path: &[u8], content: &[u8]) {
    // Nothing in an initrd comes near 4 GiB: it is all in memory, here and in the VM.
    let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
    // Writing to memory always succeeds.
    let _ = newc::header(out, &Header { size, ..header }, path);
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn sample() -> Tree {
        let mut tree = Tree::default();
        tree.file("/bin/gcs", 0o755, *b"agent");
        tree.symlink("/init", "/bin/gcs");
        tree.char_device("/dev/console", 0o600, 5, 1);
        tree
    }

    #[test]
    fn golden_bytes() {
        let mut tree = Tree::default();
        tree.file("/a", 0o644, *b"xyz");
        let expected = concat!(
            "070701000000010000",
            "81a4000000000000000000000001000000000000000300000000000000000000",
            "00000000000000000002",
            "00000000a\0xyz\0",
            "07070100000000000000000000000000000000000000010000000000000000000000000000000000000000",
            "000000000000000b",
            "00000000TRAILER!!!\0\0\0\0"
        );
        let archive = archive(&tree);
        assert_eq!(String::from_utf8_lossy(&archive), expected);
    }

    #[test]
    fn equal_trees_give_equal_bytes() {
        assert_eq!(archive(&sample()), archive(&sample()));
        assert_eq!(archive(&sample()).len() % 4, 0);
    }

    #[test]
    fn the_cpio_tool_lists_it() {
        let Ok(mut child) = Command::new("cpio")
            .args(["-t", "-v", "-n", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
        else {
            println!("skipped: cpio is not installed");
            return;
        };
        child.stdin.take().unwrap().write_all(&archive(&sample())).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let list = String::from_utf8(output.stdout).unwrap();
        for (start, end) in [
            ("drwxr-xr-x   2 0        0 ", "bin"),
            ("-rwxr-xr-x   1 0        0               5 ", "bin/gcs"),
            ("crw-------   1 0        0          5,   1 ", "dev/console"),
            ("lrwxrwxrwx   1 0        0               8 ", "init -> /bin/gcs"),
        ] {
            assert!(
                list.lines().any(|line| line.starts_with(start) && line.ends_with(end)),
                "{start}…{end}: {list}"
            );
        }
    }
}
