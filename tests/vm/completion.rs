//! What libcontainer leaves undone in a container's root: working directories on mounts, and a `/dev` that has
//! something in it already.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use lcow_tests::suite::Suite;
use lcow_tests::{Lab, LabContainer};
use serde_json::{Value, json};

use crate::pods::{mount, output};

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    Suite::new("completion", lab)
        .test("a_working_directory_is_made_on_the_mount_that_it_is_on", working_directories)
        .test("what_is_mounted_in_dev_stays_and_the_rest_is_made", mounts_in_dev)
        .test("nothing_is_made_in_a_dev_that_has_devices", bound_dev)
        .test("a_dev_of_the_image_is_completed", dev_of_an_image)
}

/// Prints what is in `/dev` under the default names, without times.
const LIST: &str = "cd /dev && for name in null zero full random urandom tty fd stdin stdout stderr ptmx; do \
    if [ -L $name ]; then echo $name $(readlink $name); else stat -c '%n %F %t:%T' $name; fi; done";
/// What every container has there.
const DEFAULT: &str = "null character special file 1:3\nzero character special file 1:5\nfull character special file 1:7\n\
    random character special file 1:8\nurandom character special file 1:9\ntty character special file 5:0\n\
    fd /proc/self/fd\nstdin /proc/self/fd/0\nstdout /proc/self/fd/1\nstderr /proc/self/fd/2\nptmx pts/ptmx\n";

fn tmpfs(container: &mut LabContainer, destination: &str) -> Result<()> {
    let mount = json!({"destination": destination, "type": "tmpfs", "source": "tmpfs"});
    container.spec["mounts"].as_array_mut().context("mounts")?.push(mount);
    Ok(())
}

async fn working_directories(lab: Arc<Lab>) -> Result<()> {
    let volume = lab.unique("/var/lab/volume");
    lab.shell(&format!("mkdir -p {volume} && ln -s /other {volume}/link")).await?;
    let script = "pwd && stat -c '%a %u' . && busybox touch here";
    let options = json!(["rbind", "rw"]);
    for (bound, directory) in
        [true, false].into_iter().flat_map(|bound| ["/data/app/sub", "/data"].map(|path| (bound, path)))
    {
        let mut container = lab.container().await?.script(script);
        if bound {
            mount(&mut container, &volume, "/data", &options);
        } else {
            tmpfs(&mut container, "/data")?;
        }
        container.spec["process"]["cwd"] = json!(directory);
        let text = output(&lab, &container).await.context(directory)?;
        let made = directory != "/data";
        ensure!(
            text.starts_with(&format!("{directory}\n")) && (!made || text.ends_with("\n755 0\n")),
            "{text}"
        );
    }
    // A link of the volume's is one of the container's.
    let mut container = lab.container().await?.script(script);
    mount(&mut container, &volume, "/data", &options);
    container.spec["process"]["cwd"] = json!("/data/link/x");
    lab.shell(&format!("mkdir {}/rootfs/other", container.bundle)).await?;
    ensure!(output(&lab, &container).await? == "/other/x\n755 0\n");
    lab.shell(&format!("test -e {volume}/app/sub/here && test ! -e /other")).await?;
    Ok(())
}

async fn mounts_in_dev(lab: Arc<Lab>) -> Result<()> {
    let file = lab.unique("/var/lab/file");
    lab.shell(&format!("mkdir -p /var/lab && echo outside > {file}")).await?;
    for (source, name, replaced, expected) in [
        ("/dev/urandom", "random", "random character special file 1:8", "random character special file 1:9"),
        ("/dev/null", "null", "", ""),
        (&*file, "stdout", "stdout /proc/self/fd/1", "stdout regular file 0:0"),
    ] {
        let mut container = lab.container().await?.script(LIST);
        mount(&mut container, source, &format!("/dev/{name}"), &json!(["bind"]));
        let text = output(&lab, &container).await.context(name)?;
        ensure!(text == DEFAULT.replace(replaced, expected), "{name}: {text}");
    }
    // Named and bound, and for others as well.
    let device = lab.unique("/dev/lab");
    lab.shell(&format!("mknod {device} c 1 5")).await?;
    let script = format!(
        "stat -c '%t:%T' {device} && head -c 1 {device} | wc -c && grep -c ' /dev/pts ' /proc/mounts"
    );
    for privileged in ["false", "true"] {
        let mut container = lab.container().await?.script(&script);
        container.spec["annotations"]["io.microsoft.virtualmachine.lcow.privileged"] = json!(privileged);
        container.spec["linux"]["devices"] = json!([{"path": device, "type": "c", "major": 1, "minor": 5}]);
        mount(&mut container, &device, &device, &json!(["bind"]));
        let text = output(&lab, &container).await.with_context(|| format!("privileged: {privileged}"))?;
        ensure!(text == "1:5\n1\n1\n", "privileged: {privileged}: {text}");
    }
    lab.shell(&format!("rm {device}")).await?;
    Ok(())
}

/// Without its own `/dev` and what is mounted in it.
async fn without_dev(lab: &Lab, script: &str) -> Result<LabContainer> {
    let mut container = lab.container().await?.script(script);
    let mounts = container.spec["mounts"].as_array_mut().context("mounts")?;
    mounts.retain(|mount| !mount["destination"].as_str().is_some_and(|path| path.starts_with("/dev")));
    Ok(container)
}

async fn bound_dev(lab: Arc<Lab>) -> Result<()> {
    let list = async |directory: &str| {
        let listed = lab.shell(&format!("ls -l {directory} | grep -v -e tty -e ' lab'")).await?.stdout;
        anyhow::Ok(String::from_utf8(listed)?)
    };
    let before = list("/dev").await?;
    let volume = lab.unique("/var/lab/dev");
    lab.shell(&format!("mkdir -p {volume}/pts && mknod {volume}/null c 1 3 && echo own > {volume}/fd"))
        .await?;
    for (source, script, expected) in [
        ("/dev", "test -c /dev/null && test ! -e /dev/pts/ptmx; grep -c ' /dev ' /proc/mounts", "1\n"),
        (&*volume, "cat /dev/fd; ls /dev; grep -c ' /dev ' /proc/mounts", "own\nfd\nnull\npts\n1\n"),
    ] {
        let mut container = without_dev(&lab, script).await?;
        mount(&mut container, source, "/dev", &json!(["rbind", "rw"]));
        let text = output(&lab, &container).await.context(source.to_owned())?;
        ensure!(text == expected, "{source}: {text}");
    }
    // What is mounted in it is still there.
    let mut container = without_dev(&lab, "grep -c ' /dev/pts ' /proc/mounts; echo > /dev/null").await?;
    mount(&mut container, &volume, "/dev", &json!(["rbind", "rw"]));
    let terminals =
        json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance"]});
    container.spec["mounts"].as_array_mut().context("mounts")?.push(terminals);
    ensure!(output(&lab, &container).await? == "1\n");
    ensure!(list("/dev").await? == before, "the machine's own devices have changed");
    ensure!(list(&volume).await?.lines().count() == 4, "{}", list(&volume).await?);
    // An empty one gets devices, and serves another time.
    lab.shell(&format!("rm -r {volume}/*")).await?;
    for _ in 0..2 {
        let mut container = without_dev(&lab, LIST).await?;
        mount(&mut container, &volume, "/dev", &json!(["rbind", "rw"]));
        ensure!(output(&lab, &container).await? == DEFAULT);
    }
    Ok(())
}

async fn dev_of_an_image(lab: Arc<Lab>) -> Result<()> {
    let mut container = without_dev(&lab, LIST).await?;
    let root = format!("{}/rootfs", container.bundle);
    lab.shell(&format!(
        "mkdir -p {root}/dev && ln -s /proc/self/fd {root}/dev/fd && mknod {root}/dev/zero c 1 5"
    ))
    .await?;
    container.spec["linux"]["devices"] = Value::Null;
    ensure!(output(&lab, &container).await? == DEFAULT);
    Ok(())
}
