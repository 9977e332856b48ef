//! `ls [-1adl] [PATH…]`: one name a line.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Clone, Copy, Default)]
struct Options {
    all: bool,
    long: bool,
    directories_themselves: bool,
}

/// Lists files.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    let mut options = Options::default();
    let mut paths = Vec::new();
    for arg in args {
        match arg.to_str().and_then(|text| text.strip_prefix('-')).filter(|letters| !letters.is_empty()) {
            None => paths.push(PathBuf::from(arg)),
            Some(letters) => {
                for letter in letters.chars() {
                    match letter {
                        '1' => {}
                        'a' => options.all = true,
                        'd' => options.directories_themselves = true,
                        'l' => options.long = true,
                        _ => return super::usage("ls", "[-1adl] [PATH…]"),
                    }
                }
            }
        }
    }
    if paths.is_empty() {
        paths.push(PathBuf::from("."));
    }
    let several = paths.len() > 1;
    let mut status = ExitCode::SUCCESS;
    for path in &paths {
        if let Err(error) = list(path, options, several) {
            status = super::failed_at("ls", path, &error);
        }
    }
    status
}

fn list(path: &Path, options: Options, titled: bool) -> io::Result<()> {
    let mut output = io::stdout().lock();
    let metadata = fs::symlink_metadata(path)?;
    if options.directories_themselves || !path.is_dir() {
        return line(&mut output, path, path, &metadata, options);
    }
    if titled {
        writeln!(output, "{}:", path.display())?;
    }
    let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = PathBuf::from(entry.file_name());
        if options.all || !name.as_os_str().as_encoded_bytes().starts_with(b".") {
            line(&mut output, &entry.path(), &name, &entry.metadata()?, options)?;
        }
    }
    Ok(())
}

fn line(
    output: &mut impl Write,
    path: &Path,
    name: &Path,
    metadata: &Metadata,
    options: Options,
) -> io::Result<()> {
    if options.long {
        let (mode, uid, gid) = (mode(metadata), metadata.uid(), metadata.gid());
        write!(output, "{mode} {:>3} {uid:>5} {gid:>5} {:>10} ", metadata.nlink(), metadata.len())?;
    }
    write!(output, "{}", name.display())?;
    if options.long && metadata.is_symlink() {
        write!(output, " -> {}", fs::read_link(path)?.display())?;
    }
    writeln!(output)
}

/// Type and permissions, as `ls -l` shows them.
fn mode(metadata: &Metadata) -> String {
    let kind = metadata.file_type();
    let types = [
        (kind.is_dir(), 'd'),
        (kind.is_symlink(), 'l'),
        (kind.is_block_device(), 'b'),
        (kind.is_char_device(), 'c'),
        (kind.is_fifo(), 'p'),
        (kind.is_socket(), 's'),
    ];
    let letter = types.iter().find(|(is, _)| *is).map_or('-', |(_, letter)| *letter);
    let bits = metadata.mode();
    let permissions =
        (0..9).map(|bit| if bits & (0o400 >> bit) == 0 { '-' } else { ['r', 'w', 'x'][bit % 3] });
    std::iter::once(letter).chain(permissions).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_look_as_people_know_them() {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("ls-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o751)).unwrap();
        assert_eq!(mode(&fs::metadata(&path).unwrap()), "drwxr-x--x");
        assert_eq!(mode(&fs::metadata("/dev/null").unwrap()), "crw-rw-rw-");
        fs::remove_dir(&path).unwrap();
    }
}
