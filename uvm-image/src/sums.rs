//! `SHA256SUMS`: which files in a directory are one set, and whether they are as they were made. LinuxKit's outputs, of which a
//! directory may have any number, have a list for each name: `NAME-SHA256SUMS`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::hex::hex;

/// The name of the list.
pub const LIST: &str = "SHA256SUMS";

/// Endings of the names of LinuxKit's outputs.
pub const NATIVE: &[&str] = &["-kernel", "-initrd.img", "-cmdline", "-initrd.tar", ".tar", ".docker"];

/// The list of LinuxKit's outputs whose names begin with `name`.
pub fn list_of(name: &str) -> String {
    format!("{name}-{LIST}")
}

/// What LinuxKit's outputs begin with whose list is called `list`; `None` for other files.
fn listed_by(list: &str) -> Option<&str> {
    list.strip_suffix(LIST)?.strip_suffix('-').filter(|name| !name.is_empty())
}

/// Whether a file with this name is a list.
pub fn is_list(name: &str) -> bool {
    name == LIST || listed_by(name).is_some()
}

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
    #[error("{} is not what was built: its SHA-256 differs from the one in {list}", path.display())]
    Differs {
        /// The file.
        path: PathBuf,
        /// The name of the list.
        list: String,
    },
    /// A file is gone.
    #[error("{} is not there, but {list} lists it", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The name of the list.
        list: String,
    },
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

/// The SHA-256 of `bytes` as a list has it.
pub fn sum(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The text of a list for `files` (name, sum), as `sha256sum -c` reads it.
pub fn text(files: &[(&str, &str)]) -> String {
    files.iter().map(|(name, sum)| [*sum, "  ", *name, "\n"].concat()).collect()
}

/// Those of our outputs, but for `kept`, that the list in `directory` names and that are as it says; none without a list. A
/// file that somebody has changed is not ours any more.
pub fn outputs_of(directory: &Path, kept: &[&str]) -> Vec<&'static str> {
    let text = fs::read_to_string(directory.join(LIST)).unwrap_or_default();
    let listed: Vec<(&str, &str)> = text.lines().filter_map(parse).collect();
    let is_ours = |name: &&str| {
        let sum = listed.iter().find(|(_, listed)| listed == name);
        !kept.contains(name) && sum.is_some_and(|(sum, _)| compare(directory, LIST, name, sum).is_ok())
    };
    OUTPUTS.iter().copied().filter(is_ours).collect()
}

/// The lines (name, sum) of the list of LinuxKit's outputs in `directory` that begin with `name`, but for `replaced` and what
/// is not there any more. An earlier build has made them, and they stay.
pub fn kept_of(directory: &Path, name: &str, replaced: &[&str]) -> Vec<(String, String)> {
    let text = fs::read_to_string(directory.join(list_of(name))).unwrap_or_default();
    let lines = text.lines().filter_map(parse).filter(|(_, file)| !replaced.contains(file));
    let there = lines.filter(|(_, file)| directory.join(file).is_file());
    there.map(|(sum, file)| (file.to_owned(), sum.to_owned())).collect()
}

/// The line of the list `list` in `directory`, from 1, that none of our builds has written; none without a list.
pub fn foreign_line(directory: &Path, list: &str) -> Option<usize> {
    let text = fs::read_to_string(directory.join(list)).unwrap_or_default();
    let is_ours = |line: &str| {
        let is_output = |file: &str| match listed_by(list) {
            Some(name) => file.strip_prefix(name).is_some_and(|end| NATIVE.contains(&end)),
            None => OUTPUTS.contains(&file),
        };
        line.is_empty() || parse(line).is_some_and(|(_, file)| is_output(file))
    };
    text.lines().position(|line| !is_ours(line)).map(|at| at + 1)
}

/// What is wrong with the set in `directory`; `None` when it has no list.
pub fn verify(directory: &Path) -> Option<Vec<Fault>> {
    let mut listed = Vec::new();
    let mut faults = verify_list(directory, LIST, |name| {
        listed.push(name.to_owned());
        true
    })?;
    let is_listed = |name: &&str| listed.iter().any(|listed| listed == *name);
    let unlisted = OUTPUTS.iter().filter(|name| !is_listed(name)).map(|name| directory.join(name));
    faults.extend(unlisted.filter(|path| path.is_file()).map(Fault::Unlisted));
    Some(faults)
}

/// The lists of LinuxKit's outputs in `directory`, by name, and what is wrong with their files.
pub fn verify_native(directory: &Path) -> Vec<(String, Vec<Fault>)> {
    let lists = lists(directory).into_iter().filter(|list| list != LIST);
    lists.filter_map(|list| verify_list(directory, &list, |_| true).map(|faults| (list, faults))).collect()
}

/// What is wrong with the file at `path`, if a list beside it has it.
pub fn verify_file(path: &Path) -> Vec<Fault> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_it = |name: &str| path.file_name().is_some_and(|file| file == name);
    let of_list = |list: &String| verify_list(directory, list, is_it);
    lists(directory).iter().filter_map(of_list).flatten().collect()
}

fn lists(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut lists: Vec<String> = names.filter(|name| is_list(name)).collect();
    lists.sort();
    lists
}

/// What is wrong with the files in `list` that are `wanted`; `None` without such a list.
fn verify_list(directory: &Path, list: &str, mut wanted: impl FnMut(&str) -> bool) -> Option<Vec<Fault>> {
    let path = directory.join(list);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return None,
        Err(source) => return Some(vec![Fault::Read { path, source }]),
    };
    let mut faults = Vec::new();
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.is_empty()) {
        match parse(line) {
            Some((sum, name)) if wanted(name) => faults.extend(compare(directory, list, name, sum).err()),
            Some(_) => {}
            None => faults.push(Fault::Line { path: path.clone(), line: number }),
        }
    }
    Some(faults)
}

/// The sum and the name in a line of a list.
fn parse(line: &str) -> Option<(&str, &str)> {
    let (sum, name) = line.split_at_checked(64)?;
    let name = name.strip_prefix("  ").or_else(|| name.strip_prefix(" *"))?;
    let is_name = !name.contains(['/', '\\']) && !["", ".", ".."].contains(&name);
    (sum.bytes().all(|byte| byte.is_ascii_hexdigit()) && is_name).then_some((sum, name))
}

fn compare(directory: &Path, list: &str, name: &str, sum: &str) -> Result<(), Fault> {
    let path = || directory.join(name);
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Fault::Missing { path: path(), list: list.to_owned() },
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
    if hex(&hash.finalize()).eq_ignore_ascii_case(sum) {
        return Ok(());
    }
    Err(Fault::Differs { path: path(), list: list.to_owned() })
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
        write(LIST, &text(&[("kernel", &sum(b"kernel")), ("initrd.img", &sum(b"initrd.img"))]));
        assert_eq!(said(dir.path()), [""; 0]);
        assert_eq!(outputs_of(dir.path(), &[]), ["kernel", "initrd.img"]);
        assert_eq!(outputs_of(dir.path(), &["initrd.img"]), ["kernel"]);
        assert_eq!(foreign_line(dir.path(), LIST), None);
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
    fn linuxkits_outputs_have_a_list_for_each_name() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        for name in ["a-kernel", "a.tar", "b-initrd.img", "kernel"] {
            write(name, name);
        }
        write("a-SHA256SUMS", &text(&[("a-kernel", &sum(b"a-kernel")), ("a.tar", &sum(b"a.tar"))]));
        write("b-SHA256SUMS", &text(&[("b-initrd.img", &sum(b"another"))]));
        assert!(verify(dir.path()).is_none(), "the kernel is in no list");
        let faults = verify_native(dir.path());
        let counts: Vec<(&str, usize)> =
            faults.iter().map(|(list, faults)| (&list[..], faults.len())).collect();
        assert_eq!(counts, [("a-SHA256SUMS", 0), ("b-SHA256SUMS", 1)]);
        let said = faults[1].1[0].to_string();
        assert!(said.ends_with("differs from the one in b-SHA256SUMS"), "{said}");
        for (name, count) in [("a-kernel", 0), ("b-initrd.img", 1), ("kernel", 0)] {
            assert_eq!(verify_file(&dir.path().join(name)).len(), count, "{name}");
        }
        fs::remove_file(dir.path().join("a.tar")).unwrap();
        assert_eq!(verify_native(dir.path())[0].1.len(), 1);
        assert_eq!(kept_of(dir.path(), "a", &[]), [("a-kernel".to_owned(), sum(b"a-kernel"))]);
        assert_eq!(kept_of(dir.path(), "a", &["a-kernel"]), []);
        assert_eq!(foreign_line(dir.path(), "a-SHA256SUMS"), None);
        write("a-SHA256SUMS", &text(&[("kernel", &sum(b"kernel"))]));
        assert_eq!(foreign_line(dir.path(), "a-SHA256SUMS"), Some(1));
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
            assert_eq!(foreign_line(dir.path(), LIST), Some(2));
        }
    }
}
