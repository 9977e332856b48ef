//! How large things are and where they go.
use super::SECTOR;
use super::tree::Tree;

/// Below this many clusters it would be FAT16.
const MIN_CLUSTERS: u64 = 65525;
/// Cluster numbers have 28 bits, the highest of which mean other things.
const MAX_CLUSTERS: u64 = 0x0fff_fff5;
/// Sectors in front of the tables: boot sector, its copy, and the usual room.
pub(super) const RESERVED: u64 = 32;
/// Copies of the table.
pub(super) const TABLES: u64 = 2;
/// Smallest size in bytes: clusters of one sector, their tables, the reserved sectors.
pub(super) const SMALLEST: u64 = (MIN_CLUSTERS + RESERVED + TABLES * 512) * SECTOR;

/// Numbers in sectors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) sectors: u64,
    pub(super) sectors_per_cluster: u64,
    pub(super) table_sectors: u64,
    pub(super) clusters: u64,
}

impl Geometry {
    /// For a file system of `size` bytes, with clusters of 4 KiB where that leaves enough of them.
    pub(super) fn new(size: u64) -> Option<Self> {
        let sectors = size / SECTOR;
        [8, 4, 2, 1, 16, 32, 64].into_iter().map(|per_cluster| Self::with(sectors, per_cluster)).find(
            |geometry| {
                (MIN_CLUSTERS..=MAX_CLUSTERS).contains(&geometry.clusters) && sectors <= u32::MAX.into()
            },
        )
    }

    fn with(sectors: u64, sectors_per_cluster: u64) -> Self {
        // A table sector has 128 entries; the first two entries stand for no cluster.
        let room = sectors.saturating_sub(RESERVED);
        let table_sectors = (room + 2 * sectors_per_cluster).div_ceil(128 * sectors_per_cluster + TABLES);
        let clusters = room.saturating_sub(TABLES * table_sectors) / sectors_per_cluster;
        Self { sectors, sectors_per_cluster, table_sectors, clusters }
    }

    pub(super) fn cluster_bytes(&self) -> u64 {
        self.sectors_per_cluster * SECTOR
    }

    /// First byte of a cluster; they are counted from 2.
    pub(super) fn at(&self, cluster: u32) -> u64 {
        let data = RESERVED + TABLES * self.table_sectors;
        (data + u64::from(cluster - 2) * self.sectors_per_cluster) * SECTOR
    }

    pub(super) fn holds(&self, tree: &Tree<'_>) -> bool {
        tree.clusters_of(self.cluster_bytes()) <= self.clusters
    }
}
