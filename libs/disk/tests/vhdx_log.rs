//! VHDX disks whose log was left behind, made from the format's description ([MS-VHDX] 2.3), judged by QEMU.
mod support;

use std::fs::{self, File};
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Output};

use lcow_disk::image::{Image, ImageError};
use lcow_disk::vhdx::{self, Disk, VhdxError};
use support::have;

const MIB: usize = 1 << 20;
const SECTOR: usize = 4096;
const SIZE: u64 = 1 << 30;
/// Where disks made here have their log and their block table, and how long the log is.
const LOG: usize = MIB;
const RING: usize = MIB;
const TABLE: usize = 3 * MIB;
/// Where the header is that counts.
const HEADER: usize = 128 << 10;
const ID: [u8; 16] = [0x77; 16];

/// One change: the place in the file, and a sector or (`None`) zeros.
type Change = (usize, Option<Vec<u8>>);

/// CRC-32C, bit by bit.
fn sum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, &byte| {
        (0..8).fold(
            sum ^ u32::from(byte),
            |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 },
        )
    })
}

fn put(target: &mut [u8], at: usize, bytes: &[u8]) {
    target[at..at + bytes.len()].copy_from_slice(bytes);
}

fn seal(structure: &mut [u8]) {
    put(structure, 4, &[0; 4]);
    let sum = sum(structure);
    put(structure, 4, &sum.to_le_bytes());
}

fn short(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap().to_le_bytes()
}

/// An entry of the log, for a file of `length` bytes.
fn entry(id: [u8; 16], sequence: u64, tail: usize, length: usize, changes: &[Change]) -> Vec<u8> {
    let mut entry = vec![0; SECTOR];
    let number = sequence.to_le_bytes();
    for (at, (place, data)) in changes.iter().enumerate() {
        let at = 64 + 32 * at;
        put(&mut entry, at, if data.is_some() { b"desc" } else { b"zero" });
        match data {
            Some(data) => {
                put(&mut entry, at + 4, &data[SECTOR - 4..]);
                put(&mut entry, at + 8, &data[..8]);
                let mut sector = data.clone();
                put(&mut sector, 0, b"data");
                put(&mut sector, 4, &number[4..]);
                put(&mut sector, SECTOR - 4, &number[..4]);
                entry.extend(sector);
            }
            None => put(&mut entry, at + 8, &(SECTOR as u64).to_le_bytes()),
        }
        put(&mut entry, at + 16, &(*place as u64).to_le_bytes());
        put(&mut entry, at + 24, &number);
    }
    put(&mut entry, 0, b"loge");
    let size = short(entry.len());
    put(&mut entry, 8, &size);
    put(&mut entry, 12, &short(tail));
    put(&mut entry, 16, &number);
    put(&mut entry, 24, &short(changes.len()));
    put(&mut entry, 32, &id);
    put(&mut entry, 48, &(length as u64).to_le_bytes());
    put(&mut entry, 56, &(length as u64).to_le_bytes());
    seal(&mut entry);
    entry
}

/// Puts an entry into the log; what does not fit goes on at its start.
fn log(file: &mut [u8], at: usize, entry: &[u8]) {
    for (number, sector) in entry.chunks(SECTOR).enumerate() {
        put(file, LOG + (at + number * SECTOR) % RING, sector);
    }
}

/// Where the entries of the fixture are: the second one goes round the end.
const FIRST: usize = RING - 3 * SECTOR;
const SECOND: usize = RING - SECTOR;

/// A disk of 1 GiB. Its table has block 0 (ones) and block 600 (twos). By its log, block 600 is none any more and block 5 is
/// there (threes); an older entry had it elsewhere.
fn fixture() -> Vec<u8> {
    let mut disk = Disk::new(Cursor::new(Vec::new()), SIZE, [9; 16]).unwrap();
    for (block, byte) in [(0, 1), (600, 2)] {
        disk.seek(SeekFrom::Start(block * MIB as u64)).unwrap();
        disk.write_all(&vec![byte; MIB]).unwrap();
    }
    let mut file = disk.finish().unwrap().into_inner();
    let end = file.len();
    file.resize(end + MIB, 3);
    let table = |place: usize| {
        let mut sector = file[TABLE..TABLE + SECTOR].to_vec();
        put(&mut sector, 5 * 8, &(place as u64 | 6).to_le_bytes());
        (TABLE, Some(sector))
    };
    let length = file.len();
    let (older, newer) = (table(end - MIB), table(end));
    let stray = (TABLE, Some(vec![0; SECTOR]));
    // Of an earlier life of the log, and of another log.
    log(&mut file, 40 * SECTOR, &entry(ID, 3, 40 * SECTOR, length, std::slice::from_ref(&stray)));
    log(&mut file, 60 * SECTOR, &entry([5; 16], 100, 60 * SECTOR, length, &[stray]));
    log(&mut file, FIRST, &entry(ID, 7, FIRST, length, &[older]));
    log(&mut file, SECOND, &entry(ID, 8, FIRST, length, &[newer, (TABLE + SECTOR, None)]));
    put(&mut file, HEADER + 48, &ID);
    seal(&mut file[HEADER..HEADER + SECTOR]);
    file
}

fn blocks(file: &[u8]) -> Result<[u8; 3], ImageError> {
    let mut disk = Image::open(Cursor::new(file))?;
    let mut first = |block: u64| {
        let mut byte = [0];
        disk.seek(SeekFrom::Start(block * MIB as u64)).unwrap();
        disk.read_exact(&mut byte).unwrap();
        byte[0]
    };
    Ok([first(0), first(5), first(600)])
}

fn qemu_img(arguments: &[&str], paths: &[&Path]) -> Output {
    Command::new("qemu-img").args(arguments).args(paths).output().unwrap()
}

fn damaged(file: &[u8], what: &str) {
    match blocks(file) {
        Err(ImageError::Vhdx(VhdxError::Damaged { reason })) => assert!(reason.contains(what), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_is_replayed_as_qemu_does_it_and_the_file_stays_as_it_is() {
    let file = fixture();
    assert_eq!(blocks(&file).unwrap(), [1, 3, 0]);
    if !have("qemu-img") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (ours, theirs, raw) = (path("ours.vhdx"), path("theirs.vhdx"), path("raw"));
    fs::write(&ours, &file).unwrap();
    fs::copy(&ours, &theirs).unwrap();
    // Without replaying QEMU does not read it, and then it does.
    assert!(!qemu_img(&["convert", "-O", "raw"], &[&theirs, &raw]).status.success());
    let repaired = qemu_img(&["check", "-r", "all"], &[&theirs]);
    assert!(repaired.status.success(), "{}", String::from_utf8_lossy(&repaired.stderr));
    // Sparse: what is not in it was never written.
    let mut disk = Image::open(File::open(&ours).unwrap()).unwrap();
    let mut copy = File::create(&raw).unwrap();
    copy.set_len(SIZE).unwrap();
    for block in [0, 5, 600] {
        disk.seek(SeekFrom::Start(block * MIB as u64)).unwrap();
        copy.seek(SeekFrom::Start(block * MIB as u64)).unwrap();
        std::io::copy(&mut (&mut disk).take(MIB as u64), &mut copy).unwrap();
    }
    let same = qemu_img(&["compare", "-f", "raw", "-F", "vhdx"], &[&raw, &theirs]);
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));
    assert!(fs::read(&ours).unwrap() == file, "reading has changed it");
    // Who writes it has it replayed for good.
    let mut writable = File::options().read(true).write(true).open(&ours).unwrap();
    vhdx::grow(&mut writable, 2 * SIZE).unwrap();
    let checked = qemu_img(&["check"], &[&ours]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    assert!(qemu_img(&["resize", "-q", "-f", "raw", raw.to_str().unwrap(), "2G"], &[]).status.success());
    let same = qemu_img(&["compare", "-f", "raw", "-F", "vhdx"], &[&raw, &ours]);
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));
}

#[test]
fn what_was_not_written_whole_does_not_count() {
    // Of the second entry the last sector did not arrive: the first is the state that was reached.
    let mut file = fixture();
    file[LOG + 100] ^= 1;
    assert_eq!(blocks(&file).unwrap(), [1, 2, 2], "block 5 where the older entry has it");
    // Neither entry is whole, and the oldest is of an earlier life: the table as that left it.
    file[LOG + FIRST + SECTOR + 100] ^= 1;
    assert_eq!(blocks(&file).unwrap(), [0, 0, 2]);
    put(&mut file, LOG + 40 * SECTOR, &[0; SECTOR]);
    damaged(&file, "no sequence that is whole");
}

#[test]
fn a_log_that_cannot_be_trusted_is_refused() {
    // The last entry needs one that is gone.
    let mut file = fixture();
    put(&mut file, LOG + 40 * SECTOR, &[0; SECTOR]);
    put(&mut file, LOG + FIRST, &[0; SECTOR]);
    damaged(&file, "no sequence that is whole");
    // The file has lost its end.
    let file = fixture();
    damaged(&file[..file.len() - MIB], "shorter than its log says");
    let mut file = fixture();
    put(&mut file, HEADER + 72, &(1u64 << 40).to_le_bytes());
    seal(&mut file[HEADER..HEADER + SECTOR]);
    damaged(&file, "not where it should be");
    // An entry that would change the headers is none.
    let mut file = fixture();
    file[LOG..LOG + RING].fill(0);
    let length = file.len();
    log(&mut file, 0, &entry(ID, 9, 0, length, &[(HEADER, None)]));
    damaged(&file, "no sequence that is whole");
}

#[test]
fn no_damage_makes_it_panic() {
    use proptest::prelude::*;
    let file = fixture();
    let log = (0..4 * SECTOR).map(|at| LOG + (FIRST + at) % RING);
    let places: Vec<usize> = log.chain(HEADER..HEADER + 80).collect();
    let damage = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6);
    // Whether the sums are made right again, so that what is behind them is seen.
    proptest!(ProptestConfig::with_cases(64), |(damage in damage, sealed: bool)| {
        let mut bytes = file.clone();
        for (at, value) in damage {
            bytes[*at.get(&places)] = value;
        }
        if sealed {
            let mut first = bytes[LOG + FIRST..LOG + FIRST + 2 * SECTOR].to_vec();
            seal(&mut first);
            put(&mut bytes, LOG + FIRST, &first);
            seal(&mut bytes[HEADER..HEADER + SECTOR]);
        }
        if let Ok(mut image) = Image::open(Cursor::new(&bytes)) {
            let _ = std::io::copy(&mut (&mut image).take(7 << 20), &mut std::io::sink());
        }
    });
}
