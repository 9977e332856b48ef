//! Many layers on one disk: a partition for each, for machines with fewer units than an image has layers.
use std::io::{self, Read, Seek, Write};

use super::{GptError, LINUX_DATA, Table, Wanted};
use crate::vhd;

/// A file system that becomes a partition.
#[derive(Debug)]
pub struct Layer<'a, R> {
    /// Its bytes, without a footer.
    pub image: R,
    /// How many there are.
    pub bytes: u64,
    /// Tells it from other layers, such as its digest.
    pub identity: &'a [u8],
}

/// Write a fixed VHD with a partition for each of `layers`, in their order, to the empty `disk`. Hosts name a layer by the
/// number of its partition, counted from 1 (`MappedVirtualDisk.Partition`).
///
/// An error of a layer's source, or one that ends early, counts as an error of the disk.
pub fn write_layers<R: Read, W: Write + Seek>(
    disk: &mut W,
    layers: &mut [Layer<'_, R>],
) -> Result<Table, GptError> {
    let wanted: Vec<Wanted<'_>> = layers
        .iter()
        .map(|layer| Wanted { kind: LINUX_DATA, name: "layer", bytes: layer.bytes, identity: layer.identity })
        .collect();
    let table = Table::plan(&wanted)?;
    let fault = |source| GptError::Io { action: "writing a layer behind", source };
    for (layer, partition) in layers.iter_mut().zip(&table.partitions) {
        let mut window = partition.window(&mut *disk);
        let copied = io::copy(&mut (&mut layer.image).take(layer.bytes), &mut window).map_err(fault)?;
        if copied != layer.bytes {
            return Err(fault(io::ErrorKind::UnexpectedEof.into()));
        }
    }
    table.write(disk)?;
    vhd::append_footer(disk, table.disk_bytes(), table.id.bytes()).map_err(fault)?;
    Ok(table)
}
