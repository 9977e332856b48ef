//! Any disk file: VHD, VHDX, partition tables, hash trees.
#![no_main]
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::sync::LazyLock;

use lcow_disk::gpt::{self, Table, Wanted};
use lcow_disk::image::Image;
use lcow_disk::{verity, vhd, vhdx};
use lcow_fuzz::damaged;
use libfuzzer_sys::fuzz_target;

const SIZE: u64 = 5 << 20;

static WHOLE: LazyLock<[Vec<u8>; 4]> = LazyLock::new(|| {
    let good = "written to memory";
    let mut dynamic = vhd::DynamicWriter::new(Cursor::new(Vec::new()), SIZE, [3; 16]).expect(good);
    dynamic.write_all(&[7; 5000]).expect(good);
    let mut sparse = vhdx::Disk::new(Cursor::new(Vec::new()), SIZE, [3; 16]).expect(good);
    sparse.write_all(&[7; 5000]).expect(good);
    let part = Wanted { kind: gpt::LINUX_DATA, name: "part", bytes: 4096, identity: b"" };
    let mut table = Cursor::new(Vec::new());
    Table::plan(&[part; 3]).and_then(|plan| plan.write(&mut table)).expect(good);
    let mut tree = Cursor::new(vec![1; 300 * 4096]);
    verity::append(&mut tree, 300 * 4096, [1; 16]).expect(good);
    [
        dynamic.finish().expect(good).into_inner(),
        sparse.finish().expect(good).into_inner(),
        table.into_inner(),
        tree.into_inner(),
    ]
});

fuzz_target!(|input: &[u8]| {
    let Some((which, input)) = input.split_first() else { return };
    let whole = &WHOLE[usize::from(*which) % 4];
    // Damage where the structures are, not in the data.
    let area = whole.len().min([2048, 4 << 20, 1 << 15, whole.len()][usize::from(*which) % 4]);
    let bytes = [damaged(&whole[..area], input), whole[area..].to_vec()].concat();
    let _ = verity::read(&mut Cursor::new(&bytes), 300 * 4096);
    let Ok(mut image) = Image::open(Cursor::new(bytes)) else { return };
    let _ = Table::read(&mut image);
    let _ = image.seek(SeekFrom::Start(0));
    let _ = image.take(2 * SIZE).read_to_end(&mut Vec::new());
});
