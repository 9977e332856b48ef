//! Layers, entry by entry, judged by `e2fsck`, `debugfs` and the kernel.
mod support;

use lcow_disk::ext4::layer::{Options, Whiteouts};
use lcow_disk::vhd::{FOOTER_SIZE, Footer};
use support::{Mounted, Tar, debugfs, disk, disk_with, image};

/// Assert that `debugfs` answers `request` with something that contains every one of `parts`.
fn assert_says(disk: &support::Disk, request: &str, parts: &[&str]) {
    let Some(answer) = debugfs(&disk.path, request) else { return };
    for part in parts {
        assert!(answer.contains(part), "{request}: no {part:?} in\n{answer}");
    }
}

#[test]
fn an_empty_layer_is_an_empty_root() {
    let disk = disk(&Tar::new().finish());
    assert_says(&disk, "ls -l /", &["40755"]);
    assert_eq!(disk.stats.inodes, 1);
}

#[test]
fn attributes_arrive_exactly() {
    let mut tar = Tar::new();
    (tar.uid, tar.gid) = (0o1_000_000, 7);
    tar.pax("mtime", b"4000000000.123456789").pax("atime", b"-1.5");
    tar.entry("./bin/su", b'0', 0o4755, "", b"x");
    tar.pax("uid", b"4294967294").pax("gid", b"70000");
    tar.entry("etc", b'5', 0o1777, "", b"");
    let disk = disk(&tar.finish());
    let expected = [
        "Mode:  04755",
        "User: 262144",
        "Group:     7",
        "mtime: 0xee6b2800:1d6f3455",
        "atime: 0xfffffffe:77359400",
    ];
    assert_says(&disk, "stat /bin/su", &expected);
    assert_says(&disk, "stat /etc", &["Mode:  01777", "User:    -2", "Group: 70000"]);
    // `bin` is nowhere in the stream.
    assert_says(&disk, "stat /bin", &["Mode:  0755", "User:     0"]);
}

#[test]
fn contents_and_types_arrive() {
    let data: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let long_target = "t/".repeat(300);
    let long_name = "n".repeat(255);
    let mut tar = Tar::new();
    tar.file("data", &data).file("empty", b"").file(&format!("d/{long_name}"), b"long");
    tar.symlink("short", &"s".repeat(59)).symlink("medium", &"m".repeat(60)).symlink("long", &long_target);
    tar.device("null", b'3', 1, 3).device("big", b'4', 259, 70_000).entry("fifo", b'6', 0o600, "", b"");
    let disk = disk(&tar.finish());
    assert_says(&disk, "stat /null", &["character special", "01:03"]);
    assert_says(&disk, "stat /big", &["block special", "259:70000"]);
    let Some(mount) = Mounted::new(&disk.path, "ro") else { return };
    assert!(std::fs::read(mount.path("data")).unwrap() == data);
    assert_eq!(std::fs::read(mount.path("empty")).unwrap(), b"");
    assert_eq!(std::fs::read(mount.path("d").join(long_name)).unwrap(), b"long");
    let target = |name| std::fs::read_link(mount.path(name)).unwrap().to_str().unwrap().to_owned();
    assert_eq!(target("short"), "s".repeat(59));
    assert_eq!(target("medium"), "m".repeat(60));
    assert_eq!(target("long"), long_target);
}

#[test]
fn whiteouts_take_overlay_form() {
    let mut tar = Tar::new();
    tar.file("a/.wh.gone", b"").file("a/.wh..wh..opq", b"").dir("a").file(".wh..wh.plnk/1", b"");
    // Removed below and made anew: the new one must not be merged with what it replaces.
    tar.file(".wh.again", b"").dir("again").dir("first").file(".wh.first", b"");
    tar.file(".wh.file", b"").file("file", b"kept").file("late", b"kept").file(".wh.late", b"");
    tar.file(".wh.deep", b"").file("deep/er", b"");
    let disk = disk(&tar.finish());
    assert_says(&disk, "stat /a/gone", &["character special", "Mode:  0000", "00:00"]);
    for directory in ["a", "again", "first", "deep"] {
        let value = debugfs(&disk.path, &format!("ea_get -V /{directory} trusted.overlay.opaque"));
        assert!(value.is_none_or(|value| value.trim() == "y"), "{directory} is not opaque");
    }
    assert_says(&disk, "cat /file", &["kept"]);
    assert_says(&disk, "cat /late", &["kept"]);
    if let Some(list) = debugfs(&disk.path, "ls /") {
        assert!(!list.contains(".wh."), "{list}");
    }
    let options = Options { whiteouts: Whiteouts::Keep, ..Options::default() };
    let plain = disk_with(Tar::new().file("a/.wh.gone", b"x").finish().as_slice(), &options);
    assert_says(&plain, "cat /a/.wh.gone", &["x"]);
}

#[test]
fn extended_attributes_fill_inode_and_block() {
    // One named user: system call form, 8 bytes an entry.
    let acl = [
        &2u32.to_le_bytes()[..],
        &[1, 0, 6, 0, 255, 255, 255, 255],
        &[2, 0, 7, 0, 0xe8, 3, 0, 0],
        &[4, 0, 4, 0, 255, 255, 255, 255],
        &[16, 0, 7, 0, 255, 255, 255, 255],
        &[32, 0, 4, 0, 255, 255, 255, 255],
    ]
    .concat();
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut tar = Tar::new();
    tar.xattr("security.capability", &capability).file("ping", b"x");
    tar.xattr("user.b", &[b'v'; 3000]).xattr("user.a", b"1").xattr("user.empty", b"");
    tar.xattr("trusted.zz", &[7; 200]).file("many", b"x");
    tar.xattr("system.posix_acl_access", &acl).file("acl", b"x");
    tar.xattr("system.posix_acl_default", &acl).xattr("user.big", &[b'q'; 2000]).dir("dir");
    tar.xattr("com.apple.quarantine", b"1").xattr("trusted.overlay.redirect", b"/etc").file("odd", b"");
    let disk = disk(&tar.finish());
    assert_eq!(disk.stats.dropped_xattrs, 2);
    let get = |file: &str, name: &str| debugfs(&disk.path, &format!("ea_get -x {file} {name}"));
    let hex: String = capability.map(|byte| format!("{byte:02x}")).join(" ");
    assert!(get("/ping", "security.capability").is_none_or(|value| value.contains(&hex)));
    assert_says(&disk, "ea_get -V /many user.b", &[&"v".repeat(3000)]);
    assert_says(&disk, "ea_get -V /many user.a", &["1"]);
    assert_says(&disk, "ea_list /many", &["user.empty (0)", "trusted.zz (200)"]);
    assert_says(&disk, "ea_get -V /dir user.big", &[&"q".repeat(2000)]);
    assert_says(&disk, "ea_list /odd", &[]);
    // The kernel reads the disk form: a list with more than the mode says.
    let Some(mount) = Mounted::new(&disk.path, "ro") else { return };
    let listed = std::process::Command::new("ls").arg("-l").arg(mount.path("acl")).output().unwrap();
    assert!(listed.stdout.starts_with(b"-rw-r--r--+"), "{}", String::from_utf8_lossy(&listed.stdout));
}

#[test]
fn hard_links_may_come_before_their_target() {
    let mut tar = Tar::new();
    tar.hard_link("z/third", "second").hard_link("second", "./first").file("first", b"same");
    tar.hard_link("first", "first").hard_link("d/fourth", "z/third");
    let disk = disk(&tar.finish());
    assert_says(&disk, "stat /z/third", &["Links: 4"]);
    assert_says(&disk, "cat /d/fourth", &["same"]);
    // A later entry takes the name of a waiting link.
    let mut tar = Tar::new();
    tar.hard_link("a", "b").file("a", b"own").file("b", b"other");
    assert_says(&support::disk(&tar.finish()), "cat /a", &["own"]);
}

#[test]
fn a_hard_link_without_target_is_an_error_with_both_names() {
    let error = image(&Tar::new().hard_link("a", "nowhere").finish()).unwrap_err().to_string();
    assert!(error.contains("\"a\"") && error.contains("\"nowhere\""), "{error}");
    assert!(image(&Tar::new().dir("d").hard_link("a", "d").finish()).is_err());
}

#[test]
fn later_entries_replace_earlier_ones() {
    let large = vec![1; 300_000];
    let mut tar = Tar::new();
    tar.xattr("user.x", &[0; 2000]).file("a", &large).hard_link("keeps", "a").file("a", b"new");
    tar.file("b", &large).file("b", b"").file("tree/x/y/z", &large).file("tree", b"a file now");
    tar.file("up", b"").dir("up").file("up/inside", b"in").dir("dir").file("dir/f", b"stays");
    tar.entry("dir", b'5', 0o700, "", b"");
    let disk = disk(&tar.finish());
    assert_says(&disk, "cat /a", &["new"]);
    assert_says(&disk, "stat /keeps", &["Links: 1", "Size: 300000"]);
    assert_says(&disk, "cat /tree", &["a file now"]);
    assert_says(&disk, "cat /up/inside", &["in"]);
    assert_says(&disk, "stat /dir", &["Mode:  0700"]);
    assert_says(&disk, "cat /dir/f", &["stays"]);
}

#[test]
fn names_go_through_symbolic_links_but_never_out_of_the_layer() {
    let mut tar = Tar::new();
    tar.dir("usr/bin").symlink("bin", "usr/bin").file("bin/sh", b"shell");
    tar.symlink("usr/up", "/../../bin").file("usr/up/ls", b"list").dir("x").file("x/../y", b"y");
    let disk = disk(&tar.finish());
    assert_says(&disk, "cat /usr/bin/sh", &["shell"]);
    assert_says(&disk, "cat /usr/bin/ls", &["list"]);
    assert_says(&disk, "cat /y", &["y"]);
    for refused in ["../a", "a/../../b", ".wh.", "a/.wh..", ".wh.a/b"] {
        assert!(image(&Tar::new().file(refused, b"").finish()).is_err(), "{refused}");
    }
    assert!(image(&Tar::new().symlink("l", "l").file("l/x", b"").finish()).is_err());
    assert!(image(&Tar::new().file("f", b"").file("f/x", b"").finish()).is_err());
}

#[cfg(unix)]
#[test]
fn sparse_files_keep_their_holes() {
    let mut tar = Tar::new();
    let runs = [(5000u64, 10u64), (5010, 90), (20_000, 5000), (1 << 33, 4)];
    let data: Vec<u8> =
        runs.iter().flat_map(|&(_, length)| (1..=length).map(|n| n.to_le_bytes()[0] | 1)).collect();
    let map: Vec<String> = runs.iter().map(|(offset, length)| format!("{offset},{length}")).collect();
    let size = ((1u64 << 33) + 100_000).to_string();
    tar.pax("GNU.sparse.map", map.join(",").as_bytes()).pax("GNU.sparse.size", size.as_bytes());
    tar.pax("GNU.sparse.name", b"v01").file("GNUSparseFile.0/v01", &data);
    let lines = runs.map(|(offset, length)| format!("{offset}\n{length}\n")).concat();
    let mut with_map = format!("{}\n{lines}", runs.len()).into_bytes();
    with_map.resize(512, 0);
    with_map.extend_from_slice(&data);
    tar.pax("GNU.sparse.major", b"1").pax("GNU.sparse.minor", b"0");
    tar.pax("GNU.sparse.realsize", size.as_bytes()).pax("GNU.sparse.name", b"v10").file("v", &with_map);
    let mut old = tar.header("old", b'S', 0o644, "", data.len(), (0, 0));
    for (slot, (offset, length)) in runs.iter().enumerate() {
        let at = 386 + slot * 24;
        old[at..at + 24].copy_from_slice(format!("{offset:012o}{length:012o}").as_bytes());
    }
    old[483..495].copy_from_slice(format!("{:012o}", (1u64 << 33) + 100_000).as_bytes());
    tar.raw(old, &data);
    let disk = disk(&tar.finish());
    assert!(disk.stats.file_system_bytes < 1 << 20);
    let Some(mount) = Mounted::new(&disk.path, "ro") else { return };
    for name in ["v01", "v10", "old"] {
        use std::os::unix::fs::{FileExt, MetadataExt};
        let file = std::fs::File::open(mount.path(name)).unwrap();
        let found = file.metadata().unwrap();
        assert_eq!((found.len(), found.blocks()), ((1 << 33) + 100_000, 5 * 8), "{name}");
        let mut expected = vec![0; 30_000];
        let mut taken = 0;
        for (offset, length) in &runs[..3] {
            let [offset, length] = [*offset, *length].map(|n| usize::try_from(n).unwrap());
            expected[offset..offset + length].copy_from_slice(&data[taken..taken + length]);
            taken += length;
        }
        let mut start = vec![0; 30_000];
        file.read_exact_at(&mut start, 0).unwrap();
        assert!(start == expected, "{name}");
        let mut end = [0; 6];
        file.read_exact_at(&mut end, (1 << 33) - 1).unwrap();
        assert_eq!(end, [0, 1, 3, 3, 5, 0], "{name}");
    }
}

#[test]
fn large_directories_hold_every_name() {
    let mut tar = Tar::new();
    for n in 0..20_000 {
        tar.file(&format!("many/file-{n:08}"), b"");
    }
    let disk = disk(&tar.finish());
    let Some(mount) = Mounted::new(&disk.path, "ro") else { return };
    assert_eq!(std::fs::read_dir(mount.path("many")).unwrap().count(), 20_000);
    assert!(mount.path("many/file-00019999").exists());
}

#[test]
fn seventy_thousand_directories_and_empty_files_need_more_groups_than_data() {
    let mut tar = Tar::new();
    for n in 0..70_000 {
        tar.entry(&format!("d{n}"), b'5', 0o755, "", b"");
    }
    let disk = disk(&tar.finish());
    assert_says(&disk, "stat /", &["Links: 1 "]);
    // A block for each directory, 16 inodes in a block, and little else.
    assert!(disk.stats.file_system_bytes < 70_000 * (4096 + 256) + (4 << 20));
}

#[test]
fn a_hundred_thousand_empty_files_make_a_small_disk() {
    let mut tar = Tar::new();
    for n in 0..100_000 {
        tar.file(&format!("file-{n}"), b"");
    }
    let disk = disk(&tar.finish());
    assert!(disk.stats.file_system_bytes < 32 << 20);
    let Some(mount) = Mounted::new(&disk.path, "ro") else { return };
    assert_eq!(std::fs::read_dir(mount.path("")).unwrap().count(), 100_000);
}

#[test]
fn the_same_stream_gives_the_same_bytes_and_a_vhd() {
    let tar = Tar::new().file("a", b"1").dir("b").finish();
    let options = Options { vhd_footer: true, ..Options::default() };
    let (one, two) = (disk_with(&tar, &options), disk_with(&tar, &options));
    let (one, two) = (std::fs::read(&one.path).unwrap(), std::fs::read(&two.path).unwrap());
    assert!(one == two);
    let (image, footer) = one.split_last_chunk::<FOOTER_SIZE>().unwrap();
    assert_eq!(Footer::parse(footer).unwrap().size, image.len() as u64);
    let other = disk_with(&Tar::new().file("a", b"1").dir("c").finish(), &options);
    assert_ne!(std::fs::read(&other.path).unwrap()[1024 + 104..][..16], one[1024 + 104..][..16]);
}

#[test]
fn qemu_reads_the_right_size() {
    if !support::have("qemu-img") {
        return;
    }
    let options = Options { vhd_footer: true, ..Options::default() };
    let disk = disk_with(&Tar::new().file("a", b"1").finish(), &options);
    let output = std::process::Command::new("qemu-img")
        .args(["info", "-f", "vpc", "--output=json"])
        .arg(&disk.path)
        .output()
        .unwrap();
    let size = format!("\"virtual-size\": {}", disk.stats.file_system_bytes);
    assert!(String::from_utf8_lossy(&output.stdout).contains(&size), "{output:?}");
}

#[test]
fn a_layer_over_the_limit_is_refused() {
    let options = Options { max_size: 1 << 20, ..Options::default() };
    let tar = Tar::new().file("a", &vec![0; 2 << 20]).finish();
    let result = lcow_disk::ext4::layer::convert(&tar[..], std::io::Cursor::new(Vec::new()), &options);
    assert!(result.unwrap_err().to_string().contains("1048576"));
}

#[test]
fn files_in_many_pieces_need_a_deep_extent_tree() {
    // 3000 runs, every other block: more than the 4 × 340 that one level of leaves holds.
    let map: Vec<String> = (0..3000).map(|n| format!("{},1", n * 8192)).collect();
    let mut tar = Tar::new();
    tar.pax("GNU.sparse.map", map.join(",").as_bytes()).pax("GNU.sparse.size", b"24576001");
    tar.file("pieces", &[b'p'; 3000]);
    let disk = disk(&tar.finish());
    let Some(mount) = Mounted::new(&disk.path, "ro") else { return };
    let content = std::fs::read(mount.path("pieces")).unwrap();
    assert_eq!(content.len(), 24_576_001);
    assert!(
        content
            .iter()
            .enumerate()
            .all(|(at, &byte)| byte == if at % 8192 == 0 && at < 24_576_000 { b'p' } else { 0 })
    );
}
