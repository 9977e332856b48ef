//! `mkfs OUT.img GIB`: make a scratch disk by hand.
use std::error::Error;
use std::path::Path;

use lcow_disk::ext4::mkfs::{Options, create};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [disk, size] = arguments.as_slice() else { return Err("usage: mkfs OUT.img GIB".into()) };
    let made = create(Path::new(disk), size.parse::<u64>()? << 30, &Options::default())?;
    println!("{made:?}");
    Ok(())
}
