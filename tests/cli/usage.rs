//! Help, and what is refused before anything happens.

use anyhow::{Result, ensure};

use crate::home::Home;
use crate::{Test, plain};

pub(crate) const TESTS: &[Test] = &[
    plain("help_teaches_with_examples", help),
    plain("errors_of_usage_are_125", usage),
    plain("what_is_not_there_yet_is_refused_with_the_reason", not_yet),
    plain("a_terminal_is_needed_for_one", no_terminal),
];

fn help(home: &Home) -> Result<()> {
    for words in [&[][..], &["--help"]] {
        let text = home.lcow(words)?.well()?.text();
        ensure!(text.contains("Examples:") && text.contains("lcow run --rm busybox echo hello"), "{text}");
    }
    let text = home.lcow(&["run", "--help"])?.well()?.text();
    ensure!(text.contains("256 MiB") && text.contains("127") && !text.contains("--privileged"), "{text}");
    Ok(())
}

fn usage(home: &Home) -> Result<()> {
    for words in [
        &["no-such-command"][..],
        &["run"],
        &["run", "--no-such-flag", "busybox"],
        &["run", "-m", "lots", "busybox"],
        &["run", "-m", "1m", "busybox"],
        &["run", "--cpus", "0", "busybox"],
        &["run", "--name", "../x", "busybox"],
        &["run", "-w", "relative", "busybox"],
        &["run", "Busybox"],
        &["rm"],
        &["uvm", "boot", "--vsock-uds", "/tmp/vm", "--memory", "512", "--max-memory", "256"],
    ] {
        let output = home.lcow(words)?;
        ensure!(output.status == 125 && !output.stderr.is_empty(), "{words:?}: {output:?}");
    }
    Ok(())
}

fn not_yet(home: &Home) -> Result<()> {
    for (flags, reason) in [
        (&["-p", "80:80"][..], "network"),
        (&["--network", "host"], "network"),
        (&["-v", "/a:/b"], "volumes"),
        (&["--mount", "type=bind,src=/a,dst=/b"], "volumes"),
        (&["-d"], "foreground"),
        (&["--privileged"], "privileges"),
        (&["--cap-add", "ALL"], "privileges"),
        (&["--shm-size", "1g"], "limit"),
    ] {
        home.lcow(&[&["run", "--rm"], flags, &["busybox", "true"]].concat())?.refused(125, &[reason])?;
    }
    Ok(())
}

fn no_terminal(home: &Home) -> Result<()> {
    home.lcow(&["run", "-t", "busybox"])?.refused(125, &["terminal"])?;
    home.lcow(&["run", "-it", "busybox"])?.refused(125, &["terminal"])?;
    Ok(())
}
