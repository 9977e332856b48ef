//! `uvm-build disk` as people call it.
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Run `uvm-build disk` with `input` on its standard input.
fn disk(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_uvm-build"))
        .arg("disk")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its flags reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// Its standard output, as it must have succeeded.
fn said(arguments: &[&str], input: &[u8]) -> String {
    let output = disk(arguments, input);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn archive() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, data: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, data).unwrap();
    };
    add("etc/hostname", b"lcow\n");
    add("etc/.wh.gone", b"");
    add("large", &vec![7; 100_000]);
    tar.into_inner().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn layers_are_made_and_read() {
    let directory = tempfile::tempdir().unwrap();
    let (tar, out) = (directory.path().join("in.tar"), directory.path().join("out.vhd"));
    fs::write(&tar, archive()).unwrap();
    assert_eq!(said(&["tar2ext4", "-i", text(&tar), "-o", text(&out), "-overlay", "--vhd"], b""), "");
    let image = fs::read(&out).unwrap();
    assert_eq!(&image[image.len() - 512..][..8], b"conectix");
    assert_eq!(said(&["ls", text(&out)], b""), "etc\nlarge\n");
    assert_eq!(said(&["ls", "-R", text(&out), "/etc"], b""), "gone\nhostname\n");
    assert!(said(&["ls", "-l", text(&out), "/etc"], b"").contains("c0000   1     0     0        0,0"));
    assert_eq!(said(&["cat", text(&out), "etc/hostname"], b""), "lcow\n");
    assert!(said(&["check", text(&out)], b"").contains("5 names, 100005 bytes of data, clean"));
    // Without -overlay whiteouts are files like any other; the standard input is the default.
    said(&["tar2ext4", "-o", text(&out)], &archive());
    assert_eq!(said(&["ls", text(&out), "/etc"], b""), ".wh.gone\nhostname\n");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "temporary files stay");
}

#[test]
fn what_a_layer_changes_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let (out, diff) = (directory.path().join("out.img"), directory.path().join("diff.tar"));
    said(&["tar2ext4", "-overlay", "-o", text(&out)], &archive());
    said(&["diff", text(&out), "-o", text(&diff)], b"");
    let names = |bytes: &[u8]| {
        let mut tar = tar::Archive::new(bytes);
        let paths = tar.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned());
        paths.map(|path| text(&path).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&fs::read(&diff).unwrap()), ["etc/", "etc/.wh.gone", "etc/hostname", "large"]);
    let exported = disk(&["export", text(&out), "/etc"], b"");
    assert_eq!(names(&exported.stdout), ["gone", "hostname"]);
}

#[test]
fn a_hash_tree_is_checked() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out.vhd");
    let root = said(&["tar2ext4", "-vhd", "-verity", "-o", text(&out)], &archive());
    assert_eq!(root.trim().len(), 64);
    assert!(said(&["check", text(&out)], b"").contains(root.trim()));
    let mut image = fs::read(&out).unwrap();
    // In the data of the large file.
    let at = image.windows(50).position(|part| part == [7; 50]).unwrap();
    image[at] = 8;
    fs::write(&out, image).unwrap();
    let damaged = disk(&["check", text(&out)], b"");
    assert_eq!(damaged.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&damaged.stderr).contains("dm-verity"));
}

#[test]
fn an_image_gets_just_a_footer() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out.vhd");
    said(&["tar2ext4", "-only-vhd", "-o", text(&out)], &[1; 4096]);
    assert_eq!(fs::read(&out).unwrap()[..4097], [&[1; 4096][..], b"c"].concat());
    assert_eq!(disk(&["tar2ext4", "-only-vhd", "-o", text(&out)], &[1; 4097]).status.code(), Some(1));
}

#[test]
fn mistakes_have_their_status() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out.img");
    for arguments in [
        &["tar2ext4", "-nonsense", "-o", text(&out)][..],
        &["tar2ext4"],
        &["tar2ext4", "-only-vhd", "-overlay", "-o", text(&out)],
        &["ls"],
    ] {
        assert_eq!(disk(arguments, b"").status.code(), Some(2), "{arguments:?}");
    }
    let truncated = disk(&["tar2ext4", "-o", text(&out)], &archive()[..700]);
    assert_eq!(truncated.status.code(), Some(1));
    assert!(!out.exists());
    fs::write(&out, b"no disk").unwrap();
    let nothing = disk(&["ls", text(&out)], b"");
    assert_eq!(nothing.status.code(), Some(1));
}

/// The first `bytes` of a disk as `form`; nothing where `qemu-img` is not installed.
fn other_form(directory: &Path, form: &str, bytes: usize) -> Option<Vec<u8>> {
    let (raw, other) = (directory.join("raw"), directory.join(form));
    said(&["tar2ext4", "-o", text(&raw)], &archive());
    let made =
        Command::new("qemu-img").args(["convert", "-f", "raw", "-O", form]).args([&raw, &other]).status();
    let Ok(status) = made else {
        println!("skipped: qemu-img is not installed");
        return None;
    };
    assert!(status.success());
    Some(fs::read(other).unwrap()[..bytes].to_vec())
}

#[test]
fn files_that_are_no_disks_are_told_what_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let whole = directory.path().join("whole.vhd");
    said(&["tar2ext4", "-vhd", "-o", text(&whole)], &archive());
    let whole = fs::read(whole).unwrap();
    let cases: [(Option<Vec<u8>>, &str); 8] = [
        (Some(Vec::new()), "0 bytes hold no file system"),
        (Some(b"hello world\n".to_vec()), "12 bytes hold no file system"),
        (Some(vec![0; 1 << 20]), "not an ext4 file system"),
        (Some(b"Some text, and more of it. ".repeat(1000)), "not an ext4 file system"),
        (Some(whole[..100_000].to_vec()), "only 100000 of them are there"),
        (other_form(directory.path(), "vhdx", 70_000), "the VHDX ends before the end of the header"),
        (other_form(directory.path(), "vhdx", 400_000), "the VHDX ends before the end of the"),
        (other_form(directory.path(), "vpc", 600), "not a dynamic VHD: the file ends before its header does"),
    ];
    let file = directory.path().join("file");
    let name = text(&file);
    let commands: [&[&str]; 5] = [&["ls"], &["cat"], &["diff"], &["export"], &["check"]];
    for (bytes, reason) in &cases {
        let Some(bytes) = bytes else { continue };
        fs::write(&file, bytes).unwrap();
        for command in commands {
            let path: &[&str] = if command == ["cat"] { &["/etc/hostname"] } else { &[] };
            let output = disk(&[command, &[name], path].concat(), b"");
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{command:?}: {told}");
            assert!(told.contains(name) && told.contains(reason), "{command:?}: {told}, not {reason}");
            assert!(!told.contains("buffer") && told.lines().count() == 1, "{command:?}: {told}");
        }
        let output =
            Command::new(env!("CARGO_BIN_EXE_uvm-build")).arg("inspect").arg(&file).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(name) && !told.contains("buffer"), "{told}");
    }
    // Without the end of its footer a fixed VHD is a raw disk, and whole.
    fs::write(&file, &whole[..whole.len() - 100]).unwrap();
    assert_eq!(said(&["ls", name], b""), "etc\nlarge\n");
    let output = disk(&["ls", text(directory.path())], b"");
    assert!(String::from_utf8(output.stderr).unwrap().contains("is a directory, not a disk"));
    assert_eq!(output.status.code(), Some(1));
}

#[cfg(unix)]
#[test]
fn what_is_made_is_for_everybody_that_the_mask_lets_read() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let (disk, tar) = (directory.path().join("disk"), directory.path().join("tar"));
    said(&["tar2ext4", "-o", text(&disk)], &archive());
    said(&["export", text(&disk), "-o", text(&tar)], b"");
    // What the mask leaves of a file made in the usual way.
    let usual = directory.path().join("usual");
    fs::write(&usual, b"").unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
    assert_eq!([mode(&disk), mode(&tar)], [mode(&usual); 2]);
}

#[test]
fn a_killed_conversion_leaves_no_half_image() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out.vhd");
    let archive = archive();
    for fed in [0, 512, 50_000, archive.len() - 600] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_uvm-build"))
            .args(["disk", "tar2ext4", "-vhd", "-o", text(&out)])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.as_mut().unwrap().write_all(&archive[..fed]).unwrap();
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        assert!(!out.exists(), "after {fed} bytes");
    }
}
