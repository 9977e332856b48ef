//! Layers written to a file, whose space is asked for ahead: the same disk, and nothing kept that it does not need.
mod support;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use lcow_disk::ext4::layer::{LayerStats, Options, convert_to_file};
use support::{Tar, image};

/// Files around the sizes of the writer's own buffers, and one that takes several rounds of asking for space.
fn archive() -> Vec<u8> {
    let mut tar = Tar::new();
    for (number, size) in
        [0, 1, 4095, 4096, 4097, 65_537, (1 << 20) - 1, 1 << 20, 9_000_001].iter().enumerate()
    {
        let data: Vec<u8> =
            (0..*size).map(|at: usize| u8::try_from((at * 31 / 7 + number) % 251).unwrap()).collect();
        tar.file(&format!("file{number}"), &data);
    }
    tar.finish()
}

fn converted(tar: impl Read, vhd_footer: bool) -> (File, LayerStats) {
    let file = tempfile::tempfile().unwrap();
    let stats = convert_to_file(tar, &file, &Options { vhd_footer, ..Options::default() }).unwrap();
    (file, stats)
}

fn bytes(mut file: File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_file_gets_the_bytes_that_memory_gets_whatever_the_source() {
    let archive = archive();
    let expected = image(&archive).unwrap();
    assert!(bytes(converted(archive.as_slice(), false).0) == expected, "from memory");
    let mut stored = tempfile::tempfile().unwrap();
    stored.write_all(&archive).unwrap();
    stored.seek(SeekFrom::Start(0)).unwrap();
    assert!(bytes(converted(stored, false).0) == expected, "from a file");
    let (reader, mut writer) = std::io::pipe().unwrap();
    let whole = archive.clone();
    let feeder = std::thread::spawn(move || writer.write_all(&whole).unwrap());
    assert!(bytes(converted(reader, false).0) == expected, "from a pipe");
    feeder.join().unwrap();
}

#[test]
fn a_longer_file_is_cut_to_the_disk() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![0xa5; 30 << 20]).unwrap();
    let archive = archive();
    let stats = convert_to_file(archive.as_slice(), &file, &Options::default()).unwrap();
    assert_eq!(file.metadata().unwrap().len(), stats.file_system_bytes);
    assert!(bytes(file) == image(&archive).unwrap());
}

#[cfg(unix)]
#[test]
fn space_that_was_asked_for_in_vain_goes_back() {
    use std::os::unix::fs::MetadataExt;
    let (file, stats) = converted(archive().as_slice(), true);
    let metadata = file.metadata().unwrap();
    assert_eq!(metadata.len(), stats.file_system_bytes + 512);
    // Unwritten blocks before the first content may or may not count; what lies behind the end must not.
    let most = metadata.len().next_multiple_of(1 << 16);
    assert!(
        metadata.blocks() * 512 <= most,
        "{} bytes on disk for {}",
        metadata.blocks() * 512,
        metadata.len()
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_destination_without_space_to_ask_for_is_written_all_the_same() {
    // A character device has no space: `fallocate` fails there, and so does the first write, which tells why.
    let full = File::options().read(true).write(true).open("/dev/full").unwrap();
    let error = convert_to_file(archive().as_slice(), &full, &Options::default()).unwrap_err();
    assert!(error.to_string().contains("writing the content"), "{error}");
    // Here only the space is refused, the writes are not: all is written before the length is, which no device has.
    let null = File::options().read(true).write(true).open("/dev/null").unwrap();
    let error = convert_to_file(archive().as_slice(), &null, &Options::default()).unwrap_err();
    assert!(error.to_string().contains("writing the end"), "{error}");
}
