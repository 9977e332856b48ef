use super::Group;

/// Calls that are allowed whatever their arguments.
#[rustfmt::skip]
pub const ALLOWED: &[Group] = &[
    Group { reason: "open, make and close files", names: &[
        "open", "openat", "openat2", "creat", "close", "close_range", "dup", "dup2", "dup3", "pipe", "pipe2",
        "memfd_create", "memfd_secret", "mknod", "mknodat", "mkdir", "mkdirat", "name_to_handle_at",
    ]},
    Group { reason: "read and write open files", names: &[
        "read", "readv", "pread64", "preadv", "preadv2", "write", "writev", "pwrite64", "pwritev", "pwritev2", "lseek",
        "_llseek", "sendfile", "sendfile64", "splice", "tee", "copy_file_range", "readahead", "fadvise64",
        "fadvise64_64", "cachestat",
    ]},
    Group { reason: "ask for and change attributes", names: &[
        "stat", "stat64", "lstat", "lstat64", "fstat", "fstat64", "fstatat64", "newfstatat", "statx", "access",
        "faccessat", "faccessat2", "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "chown32", "fchown",
        "fchown32", "fchownat", "lchown", "lchown32", "utime", "utimes", "futimesat", "utimensat",
        "utimensat_time64", "truncate", "truncate64", "ftruncate", "ftruncate64", "fallocate", "umask",
    ]},
    Group { reason: "extended attributes", names: &[
        "getxattr", "lgetxattr", "fgetxattr", "setxattr", "lsetxattr", "fsetxattr", "listxattr", "llistxattr",
        "flistxattr", "removexattr", "lremovexattr", "fremovexattr", "getxattrat", "setxattrat", "listxattrat",
        "removexattrat",
    ]},
    Group { reason: "names and directories", names: &[
        "link", "linkat", "symlink", "symlinkat", "readlink", "readlinkat", "unlink", "unlinkat", "rename", "renameat",
        "renameat2", "rmdir", "getdents", "getdents64", "getcwd", "chdir", "fchdir", "readdir",
    ]},
    // The container has CAP_SYS_CHROOT, and package managers and daemons rely on it.
    Group { reason: "another root for oneself", names: &["chroot"] },
    Group { reason: "sizes of file systems, and bringing data to disk", names: &[
        "statfs", "statfs64", "fstatfs", "fstatfs64", "sync", "syncfs", "fsync", "fdatasync", "sync_file_range",
        "msync",
    ]},
    Group { reason: "control, locks and leases of files", names: &["fcntl", "fcntl64", "flock", "ioctl"] },
    Group { reason: "wait for several files", names: &[
        "select", "_newselect", "pselect6", "pselect6_time64", "poll", "ppoll", "ppoll_time64", "epoll_create",
        "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_wait", "epoll_wait_old", "epoll_pwait", "epoll_pwait2",
        "eventfd", "eventfd2", "signalfd", "signalfd4", "inotify_init", "inotify_init1", "inotify_add_watch",
        "inotify_rm_watch", "fanotify_mark",
    ]},
    Group { reason: "asynchronous input and output on files", names: &[
        "io_setup", "io_destroy", "io_submit", "io_cancel", "io_getevents",
    ]},
    Group { reason: "memory of one's own", names: &[
        "brk", "mmap", "mmap2", "munmap", "mremap", "remap_file_pages", "mprotect", "madvise", "mincore", "mlock",
        "mlock2", "mlockall", "munlock", "munlockall", "membarrier", "mseal", "map_shadow_stack", "pkey_alloc",
        "pkey_free", "pkey_mprotect",
    ]},
    // Numerical libraries place their memory; it concerns nobody else.
    Group { reason: "placement of memory", names: &[
        "get_mempolicy", "set_mempolicy", "mbind", "set_mempolicy_home_node", "getcpu",
    ]},
    Group { reason: "shared memory, semaphores and messages, all in one's own namespace", names: &[
        "ipc", "shmget", "shmat", "shmdt", "shmctl", "semget", "semop", "semtimedop", "semtimedop_time64", "semctl",
        "msgget", "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink", "mq_notify", "mq_getsetattr", "mq_timedsend",
        "mq_timedsend_time64", "mq_timedreceive", "mq_timedreceive_time64",
    ]},
    Group { reason: "make and end processes", names: &[
        "fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "waitpid",
    ]},
    // Tracing reaches only what one may signal; kernels since 4.8 keep it from passing by this filter.
    Group { reason: "debuggers and other users of one's own processes' memory", names: &[
        "ptrace", "process_vm_readv", "process_vm_writev", "process_mrelease", "pidfd_open", "pidfd_getfd",
        "pidfd_send_signal",
    ]},
    Group { reason: "threads and their locks", names: &[
        "futex", "futex_time64", "futex_waitv", "futex_wait", "futex_wake", "futex_requeue", "set_robust_list",
        "get_robust_list", "set_tid_address", "gettid", "rseq", "set_thread_area", "get_thread_area", "arch_prctl",
        "modify_ldt",
    ]},
    Group { reason: "signals", names: &[
        "kill", "tkill", "tgkill", "pause", "alarm", "sigaction", "signal", "sigpending", "sigprocmask", "sigsuspend",
        "sigreturn", "sigaltstack", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo",
        "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64", "rt_tgsigqueueinfo",
        "restart_syscall",
    ]},
    Group { reason: "who one is", names: &[
        "getpid", "getppid", "getuid", "getuid32", "geteuid", "geteuid32", "getgid", "getgid32", "getegid",
        "getegid32", "getresuid", "getresuid32", "getresgid", "getresgid32", "getgroups", "getgroups32", "getpgid",
        "getpgrp", "getsid", "capget",
    ]},
    // Daemons drop rights this way; capabilities and the kernel decide what is possible.
    Group { reason: "becoming somebody else", names: &[
        "setuid", "setuid32", "setgid", "setgid32", "setreuid", "setreuid32", "setregid", "setregid32", "setresuid",
        "setresuid32", "setresgid", "setresgid32", "setfsuid", "setfsuid32", "setfsgid", "setfsgid32", "setgroups",
        "setgroups32", "setpgid", "setsid", "capset",
    ]},
    Group { reason: "settings and limits of one's own processes", names: &[
        "prctl", "getrlimit", "ugetrlimit", "setrlimit", "prlimit64", "getrusage", "getpriority", "setpriority",
        "ioprio_get", "ioprio_set", "times",
    ]},
    Group { reason: "scheduling of one's own processes", names: &[
        "sched_yield", "sched_getaffinity", "sched_setaffinity", "sched_getattr", "sched_setattr", "sched_getparam",
        "sched_setparam", "sched_getscheduler", "sched_setscheduler", "sched_get_priority_max",
        "sched_get_priority_min", "sched_rr_get_interval", "sched_rr_get_interval_time64",
    ]},
    Group { reason: "rules that a program gives itself", names: &[
        "seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self",
    ]},
    Group { reason: "reading clocks, sleeping, timers", names: &[
        "time", "gettimeofday", "clock_gettime", "clock_gettime64", "clock_getres", "clock_getres_time64",
        "clock_nanosleep", "clock_nanosleep_time64", "nanosleep", "getitimer", "setitimer", "timer_create",
        "timer_delete", "timer_getoverrun", "timer_gettime", "timer_gettime64", "timer_settime", "timer_settime64",
        "timerfd_create", "timerfd_gettime", "timerfd_gettime64", "timerfd_settime", "timerfd_settime64",
    ]},
    // Without CAP_SYS_TIME they only tell how the clock is kept.
    Group { reason: "state of the clock", names: &["adjtimex", "clock_adjtime", "clock_adjtime64"] },
    // 32-bit programs make all socket calls through `socketcall`.
    Group { reason: "sockets, apart from making them", names: &[
        "socketpair", "socketcall", "bind", "connect", "listen", "accept", "accept4", "getsockname", "getpeername",
        "getsockopt", "setsockopt", "send", "sendto", "sendmsg", "sendmmsg", "recv", "recvfrom", "recvmsg", "recvmmsg",
        "recvmmsg_time64", "shutdown",
    ]},
    Group { reason: "facts about the system", names: &["uname", "sysinfo", "getrandom"] },
];
