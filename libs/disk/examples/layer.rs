//! `layer IN.tar OUT.vhd`: convert a layer by hand.
use std::error::Error;
use std::fs::File;

use lcow_disk::ext4::layer::{Options, convert_to_file};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [tar, disk] = arguments.as_slice() else { return Err("usage: layer IN.tar OUT.vhd".into()) };
    let options = Options { vhd_footer: true, ..Options::default() };
    let stats = convert_to_file(File::open(tar)?, &File::create(disk)?, &options)?;
    println!("{stats:?}");
    Ok(())
}
