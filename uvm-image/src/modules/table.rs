//! The modules that a utility VM needs, each with its reason. Everything else about modules follows from this table and
//! the kernel package; a kernel that has an entry built in needs no module for it.

/// When init loads a module. Under software emulation each module costs some 35 ms, so the first list is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Before the agent runs: without these it cannot reach the host.
    Connect,
    /// First thing in the background: no disk can be mounted before.
    Storage,
    /// In the background, after that.
    Later,
    /// By name, when something in the VM asks for it.
    OnDemand,
}

/// Where a module is of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// Everywhere.
    Any,
    /// QEMU and other VMMs with virtio devices.
    Virtio,
    /// Hyper-V.
    HyperV,
}

/// What a kernel without the module means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// No container can run: the kernel is refused.
    Required,
    /// The feature is missing: said once while building.
    Wanted,
    /// Nobody needs to hear of it.
    Optional,
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root<'a> {
    /// The module's name, with underscores.
    pub module: &'a str,
    /// The option that builds it into a kernel.
    pub option: &'static str,
    /// When it is loaded.
    pub stage: Stage,
    /// Where it is of use.
    pub platform: Platform,
    /// What its absence means.
    pub need: Need,
    /// Why it is here.
    pub reason: &'static str,
}

const fn root(
    module: &'static str,
    option: &'static str,
    stage: Stage,
    platform: Platform,
    need: Need,
    reason: &'static str,
) -> Root<'static> {
    Root { module, option, stage, platform, need, reason }
}

use Need::{Optional, Required, Wanted};
use Platform::{Any, HyperV, Virtio};
use Stage::{Connect, Later, OnDemand, Storage};

/// The table. Within a stage modules are loaded in this order, so what the first message needs comes first.
#[rustfmt::skip]
pub const ROOTS: &[Root<'static>] = &[
    root("virtio_pci", "CONFIG_VIRTIO_PCI", Connect, Virtio, Wanted, "all virtio devices sit on PCI"),
    root("vmw_vsock_virtio_transport", "CONFIG_VIRTIO_VSOCKETS", Connect, Virtio, Wanted, "the bridge under QEMU"),
    root("hv_vmbus", "CONFIG_HYPERV", Connect, HyperV, Wanted, "all Hyper-V devices sit on VMBus"),
    root("hv_sock", "CONFIG_HYPERV_VSOCKETS", Connect, HyperV, Wanted, "the bridge under Hyper-V"),
    root("virtio_scsi", "CONFIG_SCSI_VIRTIO", Storage, Virtio, Wanted, "disks under QEMU"),
    root("hv_storvsc", "CONFIG_HYPERV_STORAGE", Storage, HyperV, Wanted, "disks under Hyper-V"),
    root("sd_mod", "CONFIG_BLK_DEV_SD", Storage, Any, Required, "SCSI disks hold layers and scratch space"),
    root("ext4", "CONFIG_EXT4_FS", Storage, Any, Required, "the file system of layers and scratch space"),
    root("overlay", "CONFIG_OVERLAY_FS", Storage, Any, Required, "joins layers to a root file system"),

    root("virtio_net", "CONFIG_VIRTIO_NET", Later, Virtio, Wanted, "network under QEMU"),
    root("hv_netvsc", "CONFIG_HYPERV_NET", Later, HyperV, Wanted, "network under Hyper-V"),
    root("hv_utils", "CONFIG_HYPERV_UTILS", Later, HyperV, Wanted, "time synchronisation and shutdown under Hyper-V"),
    root("hv_balloon", "CONFIG_HYPERV_BALLOON", Later, HyperV, Wanted, "memory that grows and shrinks under Hyper-V"),
    root("pci_hyperv", "CONFIG_PCI_HYPERV", Later, HyperV, Wanted, "assigned devices under Hyper-V"),
    root("nfit", "CONFIG_ACPI_NFIT", Later, Any, Wanted, "persistent memory announced by the firmware, as Hyper-V does"),
    root("nd_pmem", "CONFIG_BLK_DEV_PMEM", Later, Any, Wanted, "layers in persistent memory"),
    root("virtio_rng", "CONFIG_HW_RANDOM_VIRTIO", Later, Virtio, Optional, "entropy under QEMU"),
    root("crc32c_intel", "CONFIG_CRYPTO_CRC32C_INTEL", Later, Any, Optional, "ext4 checksums by the processor"),

    root("virtio_blk", "CONFIG_VIRTIO_BLK", OnDemand, Virtio, Optional, "block disks of other VMMs"),
    root("virtio_pmem", "CONFIG_VIRTIO_PMEM", OnDemand, Virtio, Optional, "persistent memory of other VMMs"),
    root("9p", "CONFIG_9P_FS", OnDemand, Any, Wanted, "host directories"),
    root("9pnet_fd", "CONFIG_NET_9P_FD", OnDemand, Any, Wanted, "host directories over vsock"),
    root("9pnet_virtio", "CONFIG_NET_9P_VIRTIO", OnDemand, Virtio, Optional, "host directories over virtio"),
    root("dm_mod", "CONFIG_BLK_DEV_DM", OnDemand, Any, Wanted, "layers that begin inside a disk"),
    root("dm_verity", "CONFIG_DM_VERITY", OnDemand, Any, Wanted, "layers checked by hash"),
    root("dm_crypt", "CONFIG_DM_CRYPT", OnDemand, Any, Wanted, "encrypted scratch space"),
    root("dm_integrity", "CONFIG_DM_INTEGRITY", OnDemand, Any, Optional, "encrypted scratch space that notices changes"),
    root("xts", "CONFIG_CRYPTO_XTS", OnDemand, Any, Wanted, "the cipher mode of encrypted scratch space"),
    root("authenc", "CONFIG_CRYPTO_AUTHENC", OnDemand, Any, Optional, "encryption and integrity together"),
    root("aesni_intel", "CONFIG_CRYPTO_AES_NI_INTEL", OnDemand, Any, Optional, "AES by the processor"),
    root("loop", "CONFIG_BLK_DEV_LOOP", OnDemand, Any, Wanted, "disk images inside containers"),
    root("erofs", "CONFIG_EROFS_FS", OnDemand, Any, Optional, "layers in the EROFS format"),
    root("xfs", "CONFIG_XFS_FS", OnDemand, Any, Optional, "data disks formatted with XFS"),
    root("fuse", "CONFIG_FUSE_FS", OnDemand, Any, Optional, "file systems of containers"),
    root("tun", "CONFIG_TUN", OnDemand, Any, Optional, "tunnels of containers"),
    root("veth", "CONFIG_VETH", OnDemand, Any, Optional, "network between namespaces of a pod"),
    root("bridge", "CONFIG_BRIDGE", OnDemand, Any, Optional, "container engines inside containers"),
    root("br_netfilter", "CONFIG_BRIDGE_NETFILTER", OnDemand, Any, Optional, "container engines inside containers"),
    root("nf_conntrack", "CONFIG_NF_CONNTRACK", OnDemand, Any, Optional, "stateful packet filters"),
    root("nf_nat", "CONFIG_NF_NAT", OnDemand, Any, Optional, "address translation"),
    root("nf_tables", "CONFIG_NF_TABLES", OnDemand, Any, Optional, "packet filters of sidecars"),
    root("nft_chain_nat", "CONFIG_NFT_NAT", OnDemand, Any, Optional, "address translation by nftables"),
    root("nft_ct", "CONFIG_NFT_CT", OnDemand, Any, Optional, "stateful nftables rules"),
    root("nft_masq", "CONFIG_NFT_MASQ", OnDemand, Any, Optional, "masquerading by nftables"),
    root("nft_nat", "CONFIG_NFT_NAT", OnDemand, Any, Optional, "address translation by nftables"),
    root("nft_compat", "CONFIG_NFT_COMPAT", OnDemand, Any, Optional, "iptables commands on nftables"),
    root("ip_tables", "CONFIG_IP_NF_IPTABLES", OnDemand, Any, Optional, "iptables commands of older images"),
    root("iptable_filter", "CONFIG_IP_NF_FILTER", OnDemand, Any, Optional, "iptables commands of older images"),
    root("iptable_nat", "CONFIG_IP_NF_NAT", OnDemand, Any, Optional, "iptables commands of older images"),
    root("xt_MASQUERADE", "CONFIG_NETFILTER_XT_TARGET_MASQUERADE", OnDemand, Any, Optional, "masquerading by iptables"),
    root("xt_REDIRECT", "CONFIG_NETFILTER_XT_TARGET_REDIRECT", OnDemand, Any, Optional, "sidecars that take over traffic"),
    root("xt_conntrack", "CONFIG_NETFILTER_XT_MATCH_CONNTRACK", OnDemand, Any, Optional, "stateful iptables rules"),
    root("xt_addrtype", "CONFIG_NETFILTER_XT_MATCH_ADDRTYPE", OnDemand, Any, Optional, "container engines inside containers"),
    root("xt_comment", "CONFIG_NETFILTER_XT_MATCH_COMMENT", OnDemand, Any, Optional, "iptables rules of Kubernetes"),
    root("xt_owner", "CONFIG_NETFILTER_XT_MATCH_OWNER", OnDemand, Any, Optional, "sidecars that take over traffic"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::normalise;
    use std::collections::BTreeSet;

    #[test]
    fn every_entry_is_there_once_and_well_formed() {
        let mut seen = BTreeSet::new();
        for root in ROOTS {
            assert!(seen.insert(root.module), "{} is there twice", root.module);
            assert_eq!(root.module, normalise(root.module));
            assert!(root.option.starts_with("CONFIG_"), "{}", root.option);
            assert!(!root.reason.is_empty());
        }
    }

    #[test]
    fn stages_follow_each_other() {
        assert!(ROOTS.is_sorted_by_key(|root| root.stage));
    }
}
