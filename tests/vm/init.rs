//! PID 1, the log port and the small programs of the image.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use host_bridge::guest::{LogLine, VmProcess};
use host_bridge::uvm::{BootPlan, Uvm};
use host_bridge::vmm::Exit;
use lcow_protocol::json::Stringified;
use lcow_protocol::messages::{GetProperties, PropertyQuery};
use lcow_protocol::{ContainerId, HResult, MessageType};
use lcow_tests::foreign::{Bridge, ForeignHost};
use lcow_tests::suite::Suite;
use lcow_tests::{Lab, boot_files};
use serde_json::json;

use crate::devices::{plug, pull};
use crate::storage::modify;

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    Suite::new("init", lab)
        .test("an_agent_that_crashes_ends_the_machine_and_says_why", |_| crash(""))
        .test("so_it_does_behind_a_relayed_log", |_| crash("-r"))
        .test("the_agent_runs_beside_a_console_shell", |_| console_shell())
        .test("a_shell_as_one_kind_of_host_calls_it_is_understood_whichever_the_image_has", |_| {
            attached_script()
        })
        .test("programs_for_gpus_are_started_if_an_image_has_them", |_| gpu_programs())
        .test("a_log_that_nobody_reads_holds_up_nothing", |_| unread_log())
        .test("kernel_messages_are_forwarded", kernel_messages)
        .test("a_refused_request_is_in_the_log_under_the_names_that_hosts_know", refused_request)
        .test("etc_and_var_are_overlays_when_asked", |_| overlays())
        .test("idle_the_agent_has_three_threads_at_most", threads)
        .test("common_programs_do_what_hosts_ask", programs)
        .test("a_device_is_formatted_by_name", formatting)
        .test("drivers_of_a_host_are_loaded_with_what_they_need", drivers)
}

/// Kills the agent.
const KILL_AGENT: &str =
    "for p in /proc/[0-9]*; do read name < $p/comm; [ \"$name\" = gcs ] && kill -9 ${p#/proc/}; done";

async fn boot(init_args: String) -> Result<(Arc<Lab>, Arc<Uvm>)> {
    let lab = Lab::with_plan(BootPlan { init_args: Some(init_args), ..Lab::plan() })?;
    let uvm = lab.uvm().await?;
    Ok((lab, uvm))
}

async fn crash(relay: &str) -> Result<()> {
    let (lab, uvm) =
        boot(format!("-e 1 /bin/vsockexec {relay} -e 109 /bin/gcs -v4 -log-format json -loglevel info"))
            .await?;
    // There is no answer to be had.
    let _ = lab.shell(KILL_AGENT).await;
    let exit = uvm.ended().await;
    ensure!(exit == Exit::Reset, "{exit}");
    let words = "ended with status 137, and so does the utility VM";
    let console = uvm.console().tail();
    ensure!(console.contains(words), "{console}");
    let lines = uvm.guest().logs().lines();
    ensure!(lines.iter().any(|line| line.message().contains(words)), "{lines:?}");
    ensure!(lines.iter().all(|line| matches!(line, LogLine::Json(_))), "{lines:?}");
    Ok(())
}

async fn console_shell() -> Result<()> {
    // The image of the tests has another `sh`, so ours is called by the agent's name.
    let (lab, uvm) = boot(
        "-e 1 /bin/guest-agent sh -c \"/bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel info & \
         exec /bin/guest-agent sh\""
            .to_owned(),
    )
    .await?;
    lab.shell("true").await?;
    let _ = lab.shell(KILL_AGENT).await;
    let exit = uvm.ended().await;
    ensure!(exit == Exit::Reset, "{exit}");
    Ok(())
}

async fn attached_script() -> Result<()> {
    let agent = "/bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel info";
    let (lab, uvm) = boot(format!("-e 1 sh -c\"{agent}& exec sh\"")).await?;
    // The shell at the console is the image's own; it may just be starting.
    let find = "until for p in /proc/[0-9]*; do read name < $p/comm && [ $name = sh ] && grep -q '^PPid:.1$' $p/status && \
        [ $(readlink $p/exe) = /bin/busybox ] && break; done; do true; done 2>/dev/null";
    lab.shell(find).await?;
    drop(uvm);
    Ok(())
}

/// Boot files with further executable scripts in /bin of their root.
fn with_scripts(directory: &Path, scripts: &[(&str, &str)]) -> Result<()> {
    let boot = boot_files().context("checked before")?;
    for file in fs::read_dir(&boot)? {
        let file = file?;
        fs::copy(file.path(), directory.join(file.file_name()))?;
    }
    let root = tempfile::tempdir()?;
    fs::create_dir(root.path().join("bin"))?;
    let mut names = "bin\n".to_owned();
    for (name, script) in scripts {
        let path = root.path().join(name);
        fs::write(&path, script)?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        names.extend([name, "\n"]);
    }
    let list = root.path().join("names");
    fs::write(&list, names)?;
    let packed = Command::new("cpio")
        .args(["-o", "-H", "newc"])
        .current_dir(&root)
        .stdin(File::open(list)?)
        .output()?;
    ensure!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    // The kernel unpacks one archive after the other, and what is not compressed has to come first.
    let mut whole = packed.stdout;
    whole.resize(whole.len().next_multiple_of(512), 0);
    whole.extend(fs::read(boot.join("initrd.img"))?);
    fs::write(directory.join("initrd.img"), whole)?;
    Ok(())
}

async fn gpu_programs() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let scripts = [
        (
            "bin/nvidia-persistenced",
            "#!/bin/busybox sh\ncount=$#\nread line < /proc/$$/stat\nset -- $line\nshift 18\necho $count $PATH $1 > /run/persistenced\nexit 3\n",
        ),
        (
            "bin/nv-fabricmanager",
            "#!/bin/busybox sh\nexec > /run/fabricmanager.new\necho $*\nmv /run/fabricmanager.new /run/fabricmanager\n",
        ),
    ];
    with_scripts(directory.path(), &scripts)?;
    let lab = Lab::with_plan(BootPlan { boot_files: Some(directory.path().to_owned()), ..Lab::plan() })?;
    let wait = "until test -s /run/persistenced && test -e /run/fabricmanager; do true; done; cat /run/persistenced /run/fabricmanager; \
        until dmesg | grep 'nvidia-persistenced ended'; do true; done";
    let output = lab.shell(wait).await?;
    let text = String::from_utf8(output.stdout)?;
    let expected = "0 /sbin:/usr/sbin:/bin:/usr/bin 0\n-c /usr/share/nvidia/nvswitch/fabricmanager.cfg\n";
    let reported = text.strip_prefix(expected).with_context(|| text.clone())?;
    ensure!(reported.contains("exit status: 3"), "{text}");
    Ok(())
}

async fn unread_log() -> Result<()> {
    let init = "-e 1 /bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel trace";
    let host = ForeignHost::boot(&["--init-args", init]).await?;
    let mut bridge = host.connect(0).await?;
    // Each is logged with some 4 KiB: together far more than all buffers on the way hold.
    let body = format!("{{\"ContainerId\":\"{}\",\"Filler\":\"{}\"}}", ContainerId::null(), "x".repeat(8000));
    for _ in 0..500 {
        unknown(&mut bridge, body.as_bytes()).await?;
    }
    Ok(())
}

async fn unknown(bridge: &mut Bridge, body: &[u8]) -> Result<()> {
    let id = bridge.send(MessageType(0x1020_0101), body).await?;
    let answer = bridge.answer(id).await?;
    ensure!(answer["Result"] == HResult::NOT_IMPL.0, "{answer}");
    Ok(())
}

async fn kernel_messages(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let (_, mut coming) = uvm.guest().logs().subscribe();
    lab.shell("echo '<4>a message of the kernel' > /dev/kmsg; echo '<5>not so important' > /dev/kmsg")
        .await?;
    lab.shell("echo '<3>another message of the kernel' > /dev/kmsg").await?;
    let mut seen = Vec::new();
    loop {
        let line = tokio::time::timeout(std::time::Duration::from_mins(1), coming.recv()).await;
        let LogLine::Json(fields) = line.context("no such line")?? else { bail!("not JSON") };
        let message = fields.get("message").and_then(|text| text.as_str()).unwrap_or_default().to_owned();
        ensure!(message != "not so important", "{fields:?}");
        if fields["msg"] == "kmsg read" && message.ends_with("message of the kernel") {
            ensure!(fields["level"] == "info" && fields["facility"].is_number(), "{fields:?}");
            seen.push(fields["priority"].as_str().unwrap_or_default().to_owned());
        }
        if seen.len() == 2 {
            ensure!(seen == ["Warning", "Err"], "{seen:?}");
            return Ok(());
        }
    }
}

async fn refused_request(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let (_, mut coming) = uvm.guest().logs().subscribe();
    let id = ContainerId(lab.unique("nobody"));
    let query = Stringified(PropertyQuery::default());
    let refused = uvm.guest().call(&id, GetProperties { query }).await;
    ensure!(lcow_tests::refusal(refused) == Some(HResult::SYSTEM_NOT_FOUND));
    let fields = loop {
        let line = tokio::time::timeout(std::time::Duration::from_mins(1), coming.recv()).await;
        let LogLine::Json(fields) = line.context("no such line")?? else { bail!("not JSON") };
        if fields["msg"] == "request failed" && fields.get("cid").is_some_and(|cid| cid == id.as_str()) {
            break fields;
        }
    };
    ensure!(fields.get("message-id").is_some_and(serde_json::Value::is_u64), "{fields:?}");
    ensure!(fields.get("message-type").is_some_and(|name| name == "GetProperties"), "{fields:?}");
    Ok(())
}

async fn overlays() -> Result<()> {
    let (lab, _) =
        boot("-e 1 -w /bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel info".to_owned()).await?;
    let script = "grep -c -E '^overlay /(etc|var) overlay rw,' /proc/mounts && echo x > /etc/new && test -e /run/over/etc/upper/new";
    let output = lab.shell(script).await?;
    ensure!(output.stdout == b"2\n", "{output:?}");
    Ok(())
}

async fn threads(_: Arc<Lab>) -> Result<()> {
    let (lab, _) =
        boot("-e 1 /bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel info".to_owned()).await?;
    // A process that ends meanwhile is left out.
    let script = "for p in /proc/[0-9]*; do name=$(cat $p/comm 2>/dev/null) && [ \"$name\" = gcs ] && ls $p/task; done; true";
    let output = lab.shell(script).await?;
    let threads = String::from_utf8(output.stdout)?;
    let count = threads.lines().count();
    ensure!(count > 0, "there is no agent");
    ensure!(count <= 3, "{count} threads");
    Ok(())
}

async fn programs(lab: Arc<Lab>) -> Result<()> {
    let cases = [
        ("ls -1 /proc/self/fd/0 /proc/self/fd/1", 0, "/proc/self/fd/0\n/proc/self/fd/1\n"),
        ("ls /no/such/file", 1, ""),
        ("test -b /dev/null", 1, ""),
        ("test -c /dev/null", 0, ""),
        ("cat /proc/sys/kernel/ostype", 0, "Linux\n"),
        ("sh -c 'cd / && echo \"a  b\" ; test -e /no || echo none'", 0, "a  b\nnone\n"),
        ("sh -c 'exit 7'", 7, ""),
        ("sh -c 'cat < /dev/null'", 2, ""),
        ("wait-paths --paths /dev/null,/proc --timeout 5", 0, ""),
        ("wait-paths --paths /no/such/path --timeout 0", 1, ""),
        ("modprobe -q no_such_module", 1, ""),
        ("mkfs.ext4", 2, ""),
        ("install-drivers /run", 2, ""),
        ("install-drivers /run /no/such/directory", 0, ""),
    ];
    for (line, status, stdout) in cases {
        let output = lab.try_shell(&format!("/bin/guest-agent {line}")).await?;
        ensure!(output.status == status, "{line}: {output:?}");
        ensure!(output.stdout == stdout.as_bytes(), "{line}: {output:?}");
        ensure!((status != 2) || !output.stderr.is_empty(), "{line} does not say what is wrong");
    }
    lab.shell("/bin/guest-agent dmesg | grep -q 'Linux version'").await?;
    let hook = "echo '{\"id\":\"c1\",\"pid\":7,\"annotations\":{\"a\":\"yes\"}}' | WORD='{{annotation \"a\"}}' \
                /bin/guest-agent generichook /bin/sh -c 'test $WORD = yes && test {{id}}-{{pid}} = c1-7'";
    lab.shell(hook).await?;
    Ok(())
}

async fn formatting(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("disk");
    std::fs::write(&path, vec![0x5a; 16 << 20])?;
    let lun = plug(&uvm, &path, false).await?;
    let target = format!("{}/dev", lab.unique("/run/format"));
    let settings = json!({"MountPath": target, "Lun": lun.get(), "BlockDev": true});
    modify(&uvm, "Add", "MappedVirtualDisk", settings.clone()).await?;
    let format = "mkfs.ext4 -q -E lazy_itable_init=0,nodiscard -O ^has_journal,sparse_super2,^resize_inode";
    let args: Vec<&str> = format.split(' ').chain([target.as_str()]).collect();
    let made = uvm.exec(VmProcess::new(args)).await?.output().await?;
    ensure!(made.status == 0, "{made:?}");
    modify(&uvm, "Remove", "MappedVirtualDisk", settings).await?;
    pull(&uvm, lun).await?;
    let check = std::process::Command::new("e2fsck").args(["-fn"]).arg(&path).output()?;
    ensure!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    let header = std::process::Command::new("dumpe2fs").arg("-h").arg(&path).output()?;
    let header = String::from_utf8_lossy(&header.stdout).into_owned();
    let features =
        header.lines().find(|line| line.starts_with("Filesystem features:")).context("features")?;
    let has = |feature| features.split(' ').any(|word| word == feature);
    ensure!(has("sparse_super2") && !has("has_journal") && !has("resize_inode"), "{features}");
    Ok(())
}

async fn drivers(lab: Arc<Lab>) -> Result<()> {
    let found = lab.shell("find /lib/modules -name 'xfs.ko' -o -name 'libcrc32c.ko'; true").await?;
    if found.stdout.is_empty() {
        println!("skipped: the kernel of this image has no modules to play a host's drivers");
        return Ok(());
    }
    let script = "mkdir -p /run/host-drivers/deep && for f in $(find /lib/modules -name 'xfs.ko' -o -name 'libcrc32c.ko'); \
                  do cp $f /run/host-drivers/deep/; done; \
                  /bin/install-drivers /run/drivers/uuid /run/host-drivers && grep -q '^xfs ' /proc/modules && \
                  test -e /run/drivers/uuid/content/deep/xfs.ko && /bin/install-drivers /run/drivers/uuid /nowhere";
    let output = lab.try_shell(script).await?;
    ensure!(output.status == 0, "{output:?}");
    lab.shell("umount /run/drivers/uuid/content && rm -r /run/drivers /run/host-drivers").await?;
    Ok(())
}
