//! The "newc" cpio format (kernel Documentation/driver-api/early-userspace/buffer-format.rst): a header of hexadecimal
//! fields, the name, the content, each padded to four bytes. Owner and times are zero, so equal trees give equal bytes.

use std::io::Write;

use super::tree::{Node, Tree};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHAR_DEVICE: u32 = 0o020_000;

/// `tree` as an archive.
pub fn archive(tree: &Tree) -> Vec<u8> {
    let mut out = Vec::new();
    for (inode, (path, entry)) in (1..).zip(tree.iter()) {
        let (kind, links, device, content): (u32, u32, (u32, u32), &[u8]) = match &entry.node {
            Node::Directory => (DIRECTORY, 2, (0, 0), b""),
            Node::File(content) => (REGULAR, 1, (0, 0), content),
            Node::Symlink(target) => (SYMLINK, 1, (0, 0), target.as_bytes()),
            Node::CharDevice(major, minor) => (CHAR_DEVICE, 1, (*major, *minor), b""),
        };
        member(&mut out, &Member { inode, mode: kind | entry.mode, links, device, path, content });
    }
    let end = Member { inode: 0, mode: 0, links: 1, device: (0, 0), path: "TRAILER!!!", content: b"" };
    member(&mut out, &end);
    out
}

struct Member<'a> {
    inode: u32,
    mode: u32,
    links: u32,
    device: (u32, u32),
    path: &'a str,
    content: &'a [u8],
}

fn member(out: &mut Vec<u8>, member: &Member<'_>) {
    let Member { inode, mode, links, device: (major, minor), path, content } = member;
    // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    let _ = write!(
        out,
        "070701{inode:08x}{mode:08x}{0:08x}{0:08x}{links:08x}{0:08x}{size:08x}{0:08x}{0:08x}{major:08x}{minor:08x}{name:08x}{0:08x}",
        0,
        size = content.len(),
        name = path.len() + 1,
    );
    out.extend_from_slice(path.as_bytes());
    out.push(0);
    pad(out);
    out.extend_from_slice(content);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
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
