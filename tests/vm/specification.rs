//! What a specification says is what a container gets: mounts, devices, environment, system calls.

use std::fmt::Write;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use host_bridge::guest::{Process, Stdio};
use host_bridge::uvm::Uvm;
use lcow_tests::suite::Suite;
use lcow_tests::{Lab, LabContainer};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::pods::{end, mount, output, sandbox, start, workload};

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    Suite::new("specification", lab)
        .test("links_that_lead_nowhere_are_mounted_on", dangling_links)
        .test("mounts_propagate_as_their_options_say", propagation)
        .test("a_process_has_a_home", home)
        .test("a_named_device_is_everybodys_unless_the_host_says_otherwise", device_modes)
        .test("a_mount_without_a_source_is_mounted", no_source)
        .test("system_calls_that_are_newer_than_the_filter_do_not_exist", new_calls)
        .test("an_exec_has_its_containers_oom_score", oom_score)
}

/// Appends to the specification's mounts.
pub(crate) fn add_mount(container: &mut LabContainer, mount: Value) -> Result<()> {
    container.spec["mounts"].as_array_mut().context("mounts")?.push(mount);
    Ok(())
}

async fn run_in(uvm: &Uvm, container: &LabContainer, script: &str, user: u32) -> Result<String> {
    let process = json!({"args": ["/bin/sh", "-c", script], "cwd": "/", "env": ["PATH=/bin"],
        "user": {"uid": user, "gid": 0}});
    let output = uvm.container_exec(&container.id, process, Stdio::OUTPUT).await?.output().await?;
    Ok(String::from_utf8(output.stdout)?)
}

async fn dangling_links(lab: Arc<Lab>) -> Result<()> {
    let shared = lab.unique("/var/lab/shared");
    lab.shell(&format!("mkdir -p {shared} && echo inside > {shared}/file")).await?;
    let script = "cat /etc/hostname /data/file; grep -c lab /nowhere/hosts; \
        grep -o ' /run/systemd/resolve/stub-resolv.conf ' /proc/mounts";
    for run_is_memory in [false, true] {
        let mut container = lab.container().await?.script(script);
        let links = format!(
            "cd {}/rootfs && ln -s ../run/systemd/resolve/stub-resolv.conf etc/resolv.conf && \
             ln -s /nowhere/hosts etc/hosts && ln -s missing/deeper data",
            container.bundle
        );
        lab.shell(&links).await?;
        if run_is_memory {
            add_mount(&mut container, json!({"destination": "/run", "type": "tmpfs", "source": "tmpfs"}))?;
        }
        mount(&mut container, &shared, "/data", &json!(["rbind", "ro"]));
        let text = output(&lab, &container).await.with_context(|| format!("{run_is_memory}"))?;
        ensure!(text == "lab\ninside\n1\n /run/systemd/resolve/stub-resolv.conf \n", "{text}");
    }
    lab.shell("test ! -e /nowhere && test ! -e /missing").await?;
    Ok(())
}

/// A container that keeps `/b`, which its pod shares.
async fn member(lab: &Lab, pod: &LabContainer, word: &str, script: &str) -> Result<LabContainer> {
    let mut container = workload(lab, pod, script).await?;
    for set in ["bounding", "effective", "permitted"] {
        container.spec["process"]["capabilities"][set] = json!(["CAP_SYS_ADMIN"]);
    }
    mount(&mut container, "sandbox://b", "/b", &json!(["rbind", word]));
    Ok(container)
}

/// Starts one that mounts something at `/b/NAME` and then stays.
async fn mounter(lab: &Lab, pod: &LabContainer, word: &str, name: &str) -> Result<(LabContainer, Process)> {
    let uvm = lab.uvm().await?;
    let script =
        format!("busybox mkdir -p /b/{name} && mount -t tmpfs none /b/{name} && echo up && exec sleep 1000");
    let mut container = member(lab, pod, word, &script).await?;
    container.spec["linux"]["rootfsPropagation"] = json!("rshared");
    container.create(&uvm).await?;
    let mut init = uvm.container_start(&container.id, Stdio::OUTPUT).await?;
    let mut ready = [0; 3];
    init.stdout.as_mut().context("asked for")?.read_exact(&mut ready).await?;
    Ok((container, init))
}

async fn propagation(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let pod = sandbox(&lab).await?;
    let pause = start(&uvm, &pod).await?;
    let stay = "exec sleep 1000";
    let follower = member(&lab, &pod, "rslave", stay).await?;
    let mut alone = member(&lab, &pod, "rprivate", stay).await?;
    // Somebody who may not mount, does not reach the place, and whose filter is loaded after that.
    alone.spec["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    for set in ["bounding", "effective", "permitted"] {
        alone.spec["process"]["capabilities"][set] = json!(["CAP_KILL"]);
    }
    alone.spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]});
    mount(&mut alone, "sandbox://b", "/hidden/b", &json!(["rbind", "rprivate"]));
    lab.shell(&format!("mkdir -m 700 {}/rootfs/hidden", alone.bundle)).await?;
    let (one, two) = (start(&uvm, &follower).await?, start(&uvm, &alone).await?);
    let (sharing, three) = mounter(&lab, &pod, "rshared", "shown").await?;
    let (private, four) = mounter(&lab, &pod, "rprivate", "own").await?;
    let count = "grep -c ' /b/shown ' /proc/mounts; grep -c ' /b/own ' /proc/mounts";
    for (who, container, expected) in [
        ("rslave", &follower, "1\n0\n"),
        ("rprivate", &alone, "0\n0\n"),
        ("rshared", &sharing, "1\n0\n"),
        ("rprivate in a shared root", &private, "1\n1\n"),
    ] {
        let seen = run_in(&uvm, container, count, 0).await?;
        ensure!(seen == expected, "{who}: {seen}");
    }
    let in_the_pod = format!("grep -o '{}/sandboxMounts/b/[a-z]*' /proc/mounts", pod.bundle);
    let seen = String::from_utf8(lab.shell(&in_the_pod).await?.stdout)?;
    ensure!(seen == format!("{}/sandboxMounts/b/shown\n", pod.bundle), "{seen}");
    let bounding = lab.shell(&format!("grep CapBnd /proc/{}/status", two.pid)).await?.stdout;
    ensure!(bounding == b"CapBnd:\t0000000000000020\n", "{}", String::from_utf8_lossy(&bounding));
    for (container, init) in [(&follower, one), (&alone, two), (&sharing, three), (&private, four)] {
        end(&uvm, container, init).await?;
    }
    lab.shell(&format!("umount {}/sandboxMounts/b/shown", pod.bundle)).await?;
    end(&uvm, &pod, pause).await
}

async fn home(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let passwd = async |container: &LabContainer| {
        let text = "root:x:0:0::/root:/bin/sh\\nweb:x:1000:50::/srv/web:/bin/sh\\n";
        lab.shell(&format!("printf '{text}' > {}/rootfs/etc/passwd", container.bundle)).await
    };
    let cases = [(0, "/root\n"), (1000, "/srv/web\n"), (4711, "/\n")];
    for (user, expected) in cases {
        let mut container = lab.container().await?.script("echo $HOME");
        passwd(&container).await?;
        container.spec["process"]["user"] = json!({"uid": user, "gid": 0});
        ensure!(output(&lab, &container).await? == expected, "{user}");
    }
    let container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    passwd(&container).await?;
    let init = start(&uvm, &container).await?;
    for (user, expected) in cases {
        let seen = run_in(&uvm, &container, "echo $HOME", user).await?;
        ensure!(seen == expected, "exec as {user}: {seen}");
    }
    end(&uvm, &container, init).await?;
    let mut given = lab.container().await?.script("echo $HOME");
    given.spec["process"]["env"] = json!(["PATH=/bin", "HOME=/given"]);
    ensure!(output(&lab, &given).await? == "/given\n");
    Ok(())
}

async fn device_modes(lab: Arc<Lab>) -> Result<()> {
    let device = lab.unique("/dev/lab");
    lab.shell(&format!("mknod -m 600 {device} c 1 3")).await?;
    let script = format!("busybox stat -c %a {device}; echo x > {device} && echo written; true");
    for (mode, expected) in
        [(Value::Null, "666\nwritten\n"), (json!(0o660), "660\n"), (json!(0o602), "602\nwritten\n")]
    {
        let mut container = lab.container().await?.script(&script);
        container.spec["process"]["user"] = json!({"uid": 1000, "gid": 1000});
        let mut named = json!({"path": device, "type": "c", "major": 1, "minor": 3});
        if !mode.is_null() {
            named["fileMode"] = mode.clone();
        }
        container.spec["linux"]["devices"] = json!([named]);
        let seen = output(&lab, &container).await?;
        ensure!(seen == expected, "{mode}: {seen}");
    }
    lab.shell(&format!("rm {device}")).await?;
    Ok(())
}

async fn no_source(lab: Arc<Lab>) -> Result<()> {
    let mut container = lab.container().await?.script("grep ' /x ' /proc/mounts");
    add_mount(&mut container, json!({"destination": "/x", "type": "tmpfs"}))?;
    let seen = output(&lab, &container).await?;
    ensure!(seen.starts_with("tmpfs /x tmpfs "), "{seen}");
    Ok(())
}

/// A program for x86-64 that makes one system call without arguments and exits with the error's number (elf(5)).
fn caller(number: u32) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let mut code = vec![0xb8];
    code.extend(number.to_le_bytes());
    // syscall; neg eax; mov edi, eax; mov eax, 60; syscall
    code.extend([0x0f, 0x05, 0xf7, 0xd8, 0x89, 0xc7, 0xb8, 60, 0, 0, 0, 0x0f, 0x05]);
    let size = HEADERS + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    file.extend([BASE + HEADERS, 64, 0].map(u64::to_le_bytes).as_flattened());
    file.extend([0u16, 0, 64, 56, 1, 0, 0, 0].map(u16::to_le_bytes).as_flattened());
    // One segment to load, to be read and executed.
    file.extend([1u32, 5].map(u32::to_le_bytes).as_flattened());
    file.extend([0, BASE, BASE, size, size, 0x1000].map(u64::to_le_bytes).as_flattened());
    file.extend(code);
    file
}

async fn new_calls(lab: Arc<Lab>) -> Result<()> {
    const EPERM: u32 = 1;
    const ENOSYS: u32 = 38;
    // What it takes to run a program, and a call that libseccomp 2.5 does not know.
    let allowed = ["execve", "exit", "exit_group", "capget", "capset", "prctl", "mseal"];
    for (number, default, expected) in [
        // No call has this number.
        (999, json!("SCMP_ACT_ERRNO"), ENOSYS),
        (999, json!("SCMP_ACT_KILL_PROCESS"), ENOSYS),
        // mseal; with an empty range it is a success where it exists and is allowed.
        (462, json!("SCMP_ACT_ERRNO"), ENOSYS),
        // sync is known and not allowed.
        (162, json!("SCMP_ACT_ERRNO"), EPERM),
    ] {
        let mut container = lab.container().await?.args(&["/bin/caller"]);
        let mut octal = String::new();
        for byte in caller(number) {
            write!(octal, "\\{byte:03o}")?;
        }
        let path = format!("{}/rootfs/bin/caller", container.bundle);
        lab.shell(&format!("printf '{octal}' > {path} && chmod +x {path}")).await?;
        container.spec["linux"]["seccomp"] = json!({"defaultAction": default,
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": [{"names": allowed, "action": "SCMP_ACT_ALLOW"},
                {"names": ["openat", "open", "read", "close", "fstat", "newfstatat", "write", "mmap", "munmap", "brk", "futex",
                    "gettid", "getpid", "rt_sigprocmask", "lseek", "statx"], "action": "SCMP_ACT_ALLOW"}]});
        let seen = container.run(&lab).await?;
        ensure!(seen.status == expected, "call {number} with {default}: {seen:?}");
    }
    Ok(())
}

async fn oom_score(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let mut container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    container.spec["process"]["oomScoreAdj"] = json!(500);
    let init = start(&uvm, &container).await?;
    let mut process = json!({"args": ["/bin/cat", "/proc/self/oom_score_adj"], "cwd": "/"});
    for (given, expected) in [(Value::Null, "500\n"), (json!(700), "700\n")] {
        process["oomScoreAdj"] = given.clone();
        let output =
            uvm.container_exec(&container.id, process.clone(), Stdio::OUTPUT).await?.output().await?;
        let seen = String::from_utf8(output.stdout)?;
        ensure!(seen == expected, "{given}: {seen}");
    }
    end(&uvm, &container, init).await
}
