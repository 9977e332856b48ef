//! `SHA256SUMS`: which files in a directory are one set, and whether they are as they were made.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::hex::hex;

/// The name of the list.
pub const LIST: &str = "SHA256SUMS";

/// Names that our outputs have in every directory, but for the list's; LinuxKit's begin with a name that the user chooses.
pub const OUTPUTS: &[&str] = &[
    "kernel",
    "bootx64.efi",
    "vmlinux",
    "initrd.img",
    "rootfs.vhd",
    "rootfs.cmdline",
    "uvm.vhdx",
    "unified.efi",
    "versions.txt",
    "sbom.spdx.json",
];

/// Why the files in a directory are not the set that its list names.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A file was changed.
    #[error("{} is not what was built: its SHA-256 differs from the one in {LIST}", .0.display())]
    Differs(PathBuf),
    /// A file is gone.
    #[error("{} is not there, but {LIST} lists it", .0.display())]
    Missing(PathBuf),
    /// A file has the name of one of our outputs, but the build that made the others did not make it.
    #[error("{} is not in {LIST}, so it is left over from another build or was put there by hand; remove it", .0.display())]
    Unlisted(PathBuf),
    /// The list itself.
    #[error("{}:{line}: neither a SHA-256 and a file's name in this directory nor empty", path.display())]
    Line {
        /// The list.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
    },
    /// Something cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// The text of a list for `files` (name, content), as `sha256sum -c` reads it.
pub fn text(files: &[(&str, &[u8])]) -> String {
    let line = |(name, bytes): &(&str, &[u8])| format!("{}  {name}\n", hex(&Sha256::digest(bytes)));
    files.iter().map(line).collect()
}

/// Those of our outputs, but for `kept`, that the list in `directory` names and that are as it says; none without a list. A
/// file that somebody has changed is not ours any more.
pub fn outputs_of(directory: &Path, kept: &[&str]) -> Vec<&'static str> {
    let text = fs::read_to_string(directory.join(LIST)).unwrap_or_default();
    let listed: Vec<(&str, &str)> = text.lines().filter_map(parse).collect();
    let is_ours = |name: &&str| {
        let sum = listed.iter().find(|(_, listed)| listed == name);
        !kept.contains(name) && sum.is_some_and(|(sum, _)| compare(&directory.join(name), sum).is_ok())
    };
    OUTPUTS.iter().copied().filter(is_ours).collect()
}

/// The line of the list in `directory`, from 1, that none of our builds has written; none without a list.
pub fn foreign_line(directory: &Path) -> Option<usize> {
    let text = fs::read_to_string(directory.join(LIST)).unwrap_or_default();
    let is_ours =
        |line: &str| line.is_empty() || parse(line).is_some_and(|(_, name)| OUTPUTS.contains(&name));
    text.lines().position(|line| !is_ours(line)).map(|at| at + 1)
}

/// What is wrong with the set in `directory`; `None` when it has no list.
pub fn verify(directory: &Path) -> Option<Vec<Fault>> {
    let list = directory.join(LIST);
    let text = match fs::read_to_string(&list) {
        Ok(text) => text,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return None,
        Err(source) => return Some(vec![Fault::Read { path: list, source }]),
    };
    let mut faults = Vec::new();
    let mut listed = Vec::new();
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.is_empty()) {
        match parse(line) {
            Some((sum, name)) => {
                listed.push(name);
                faults.extend(compare(&directory.join(name), sum).err());
            }
            None => faults.push(Fault::Line { path: list.clone(), line: number }),
        }
    }
    let unlisted = OUTPUTS.iter().filter(|name| !listed.contains(name)).map(|name| directory.join(name));
    faults.extend(unlisted.filter(|path| path.is_file()).map(Fault::Unlisted));
    Some(faults)
}

/// The sum and the name in a line of a list.
fn parse(line: &str) -> Option<(&str, &str)> {
    let (sum, name) = line.split_at_checked(64)?;
    let name = name.strip_prefix("  ").or_else(|| name.strip_prefix(" *"))?;
    let is_name = !name.contains(['/', '\\']) && !["", ".", ".."].contains(&name);
    (sum.bytes().all(|byte| byte.is_ascii_hexdigit()) && is_name).then_some((sum, name))
}

fn compare(path: &Path, sum: &str) -> Result<(), Fault> {
    let path = || path.to_owned();
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Fault::Missing(path()),
        _ => Fault::Read { path: path(), source },
    };
    let mut file = File::open(path()).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block).map_err(failed)? {
            0 => break,
            count => hash.update(&block[..count]),
        }
    }
    if hex(&hash.finalize()).eq_ignore_ascii_case(sum) { Ok(()) } else { Err(Fault::Differs(path())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(dir: &Path) -> Vec<String> {
        let name = |text: String| text.replace(&dir.join("").display().to_string(), "");
        verify(dir).unwrap().iter().map(|fault| name(fault.to_string())).collect()
    }

    #[test]
    fn a_set_is_what_its_list_names() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        assert!(verify(dir.path()).is_none());
        for name in ["kernel", "initrd.img", "mine"] {
            write(name, name);
        }
        write(LIST, &text(&[("kernel", b"kernel"), ("initrd.img", b"initrd.img")]));
        assert_eq!(said(dir.path()), [""; 0]);
        assert_eq!(outputs_of(dir.path(), &[]), ["kernel", "initrd.img"]);
        assert_eq!(outputs_of(dir.path(), &["initrd.img"]), ["kernel"]);
        assert_eq!(foreign_line(dir.path()), None);
        write("kernel", "kernel.");
        assert_eq!(outputs_of(dir.path(), &[]), ["initrd.img"], "a changed file is somebody's");
        write("vmlinux", "of another build");
        fs::remove_file(dir.path().join("initrd.img")).unwrap();
        let faults = said(dir.path());
        for (fault, start) in faults.iter().zip([
            "kernel is not what was built",
            "initrd.img is not there",
            "vmlinux is not in SHA256SUMS",
        ]) {
            assert!(fault.starts_with(start), "{fault}");
        }
        assert_eq!(faults.len(), 3, "{faults:?}");
    }

    #[test]
    fn a_list_cannot_point_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let sum = hex(&Sha256::digest(b""));
        for line in
            [format!("{sum}  ../kernel"), format!("{sum} kernel"), "kernel".into(), sum.replace('e', "é")]
        {
            fs::write(dir.path().join(LIST), format!("\n{line}\n")).unwrap();
            assert!(said(dir.path())[0].starts_with("SHA256SUMS:2: "), "{line}");
            assert_eq!(foreign_line(dir.path()), Some(2));
        }
    }
}
