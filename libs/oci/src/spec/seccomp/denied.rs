use super::Group;

/// Calls that are known and refused.
#[rustfmt::skip]
pub const DENIED: &[Group] = &[
    Group { reason: "the tree of mounts: a way to uncover what is masked", names: &[
        "mount", "umount", "umount2", "pivot_root", "fsopen", "fsconfig", "fsmount", "fspick", "open_tree",
        "open_tree_attr", "move_mount", "mount_setattr", "statmount", "listmount",
    ]},
    Group { reason: "new namespaces: much of the kernel that is otherwise out of reach", names: &["unshare", "setns"] },
    Group { reason: "modules and other kernels", names: &[
        "init_module", "finit_module", "delete_module", "create_module", "query_module", "get_kernel_syms",
        "kexec_load", "kexec_file_load",
    ]},
    Group { reason: "programs inside the kernel, tracing of the machine", names: &[
        "bpf", "perf_event_open", "kcmp", "process_madvise", "lookup_dcookie", "userfaultfd", "fanotify_init",
    ]},
    // Often the way out of containers; programs fall back to the ordinary calls.
    Group { reason: "queues worked off inside the kernel", names: &[
        "io_uring_setup", "io_uring_enter", "io_uring_register",
    ]},
    // The keyring is not separated by namespaces.
    Group { reason: "keys of the kernel", names: &["add_key", "request_key", "keyctl"] },
    Group { reason: "state of the machine", names: &[
        "reboot", "swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "settimeofday", "clock_settime",
        "clock_settime64", "stime", "sethostname", "setdomainname", "syslog", "vhangup", "nfsservctl", "sysfs",
    ]},
    Group { reason: "ports of the machine and modes of old processors", names: &[
        "ioperm", "iopl", "vm86", "vm86old", "uselib",
    ]},
    Group { reason: "files by number, past all directories", names: &["open_by_handle_at"] },
    Group { reason: "memory of others, moved", names: &["move_pages", "migrate_pages", "vmsplice"] },
    Group { reason: "rare forms of calls that are allowed", names: &["io_pgetevents", "io_pgetevents_time64"] },
    Group { reason: "removed from Linux, or never there", names: &[
        "_sysctl", "afs_syscall", "bdflush", "break", "ftime", "getpmsg", "gtty", "idle", "lock", "mpx", "nice",
        "oldfstat", "oldlstat", "oldolduname", "oldstat", "olduname", "prof", "profil", "putpmsg", "security",
        "sgetmask", "ssetmask", "stty", "tuxcall", "ulimit", "ustat", "vserver",
    ]},
];
