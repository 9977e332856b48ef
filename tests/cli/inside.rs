//! What a container sees, and what comes out of it.

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::home::Home;
use crate::lcow::run;
use crate::{Test, boots};

pub(crate) const TESTS: &[Test] = &[
    boots("hello_and_nothing_else", hello),
    boots("flags_reach_the_container", flags),
    boots("a_read_only_root_and_an_entrypoint", read_only),
    boots("a_missing_program_is_127_and_one_that_is_none_126", not_runnable),
    boots("standard_input_goes_in_and_64_mib_come_out", streams),
    boots("too_much_memory_is_137", out_of_memory),
    boots("four_at_once", four),
];

fn hello(home: &Home) -> Result<()> {
    let output = home.lcow(&["run", "--rm", "busybox", "echo", "hello"])?.well()?;
    ensure!(output.stdout == b"hello\n", "{output:?}");
    Ok(())
}

fn flags(home: &Home) -> Result<()> {
    let flags =
        "-m 512m --cpus 1.5 -e GIVEN=a=b -e COPIED -e MISSING -w /made/up -u web:video --hostname box";
    let script = "id -u; id -g; pwd; hostname; cat /etc/hostname; echo $GIVEN $COPIED ${MISSING-none}; \
        cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max; nproc; grep MemTotal /proc/meminfo; \
        grep Seccomp: /proc/self/status; cat; echo again > /dev/stdout; exit 42";
    let flags: Vec<&str> = flags.split(' ').collect();
    let words = [&["run", "--rm"], &flags[..], &["busybox", "sh", "-c", script]].concat();
    let mut command = home.command(&words);
    command.env("COPIED", "from here");
    // Without -i it reads nothing of this.
    let text = run(command, b"nothing")?.ended(42)?.text();
    let lines: Vec<&str> = text.lines().collect();
    let expected =
        ["1000", "44", "/made/up", "box", "box", "a=b from here none", "536870912", "150000 100000", "2"];
    ensure!(lines.len() == 12 && lines[..9] == expected, "{text}");
    let total: u64 = lines[9].split_whitespace().nth(1).context("a number")?.parse()?;
    // 512 MiB and 256 MiB, rounded up to 1 GiB, less what the kernel takes at once.
    ensure!((512 * 1024..=1024 * 1024).contains(&total), "{text}");
    ensure!(lines[10] == "Seccomp:\t2" && lines[11] == "again", "{text}");
    Ok(())
}

fn read_only(home: &Home) -> Result<()> {
    let script = "touch /x && exit 9; touch /dev/shm/x || exit 8; exit 1";
    let output = home.lcow(&["run", "--rm", "--read-only", "--entrypoint", "sh", "busybox", "-c", script])?;
    ensure!(output.status == 1 && output.stderr.contains("Read-only file system"), "{output:?}");
    Ok(())
}

fn not_runnable(home: &Home) -> Result<()> {
    home.lcow(&["run", "--name", "missing", "busybox", "no-such-program"])?
        .refused(127, &["no-such-program"])?;
    home.lcow(&["run", "--rm", "busybox", "/etc/passwd"])?.refused(126, &["/etc/passwd"])?;
    let left = home.lcow(&["ps", "-a"])?.well()?.text();
    ensure!(!left.contains("missing"), "a container that never ran was kept: {left}");
    Ok(())
}

fn streams(home: &Home) -> Result<()> {
    let script = "cat; dd if=/dev/urandom of=/tmp/blob bs=1M count=64 2>/dev/null; sha256sum < /tmp/blob >&2; cat /tmp/blob";
    let command = home.command(&["run", "--rm", "-i", "busybox", "sh", "-c", script]);
    let output = run(command, b"abc\n")?;
    let blob = output.stdout.strip_prefix(b"abc\n").context("what went in did not come out first")?;
    ensure!(output.status == 0 && blob.len() == 64 << 20, "{} {}", output.status, blob.len());
    let sum = Sha256::digest(blob).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    ensure!(output.stderr == format!("{sum}  -\n"), "{sum}: {}", output.stderr);
    Ok(())
}

fn out_of_memory(home: &Home) -> Result<()> {
    home.lcow(&["run", "--rm", "-m", "32m", "busybox", "tail", "/dev/zero"])?.ended(137)?;
    Ok(())
}

fn four(home: &Home) -> Result<()> {
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..4)
            .map(|number| scope.spawn(move || home.script(&[], &format!("echo {number}; exit {number}"))))
            .collect();
        for (number, one) in (0..4).zip(all) {
            let output = one.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??.ended(number)?;
            ensure!(output.text() == format!("{number}\n"), "{output:?}");
        }
        Ok(())
    })
}
