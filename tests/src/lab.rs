//! The utility VM that tests share.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use host_bridge::guest::{Output, Stdio, VmProcess};
use host_bridge::layers::AttachedLayers;
use host_bridge::uvm::{BootPlan, Uvm};
use lcow_protocol::ContainerId;
use serde_json::{Value, json};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::OnceCell;

/// The directory of boot files with `BusyBox` in them: `$LCOW_TEST_BOOT`, which `cargo xtask test` sets.
pub fn boot_files() -> Option<PathBuf> {
    std::env::var_os("LCOW_TEST_BOOT").map(PathBuf::from).filter(|path| path.is_dir())
}

/// A utility VM that is booted when the first test asks for it, and containers' roots in it.
#[derive(Debug)]
pub struct Lab {
    runtime: Option<Runtime>,
    plan: BootPlan,
    uvm: OnceCell<Arc<Uvm>>,
    layers: OnceCell<AttachedLayers>,
    next: AtomicU64,
}

impl Lab {
    /// A lab without a VM so far.
    pub fn new() -> Result<Arc<Self>> {
        Self::with_plan(Self::plan())
    }

    /// A lab whose VM will be booted with `plan`.
    pub fn with_plan(plan: BootPlan) -> Result<Arc<Self>> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        Ok(Arc::new(Self {
            runtime: Some(runtime),
            plan,
            uvm: OnceCell::new(),
            layers: OnceCell::new(),
            next: AtomicU64::new(1),
        }))
    }

    /// Runs a future on the lab's runtime.
    pub fn block_on<F: Future>(&self, future: impl FnOnce() -> F) -> F::Output {
        self.handle().block_on(async { future().await })
    }

    fn handle(&self) -> &Handle {
        self.runtime.as_ref().map(Runtime::handle).expect("the runtime lives as long as the lab")
    }

    /// The shared VM.
    pub async fn uvm(&self) -> Result<Arc<Uvm>> {
        let boot =
            || async { Uvm::boot(&self.plan).await.map(Arc::new).context("booting the shared utility VM") };
        self.uvm.get_or_try_init(boot).await.cloned()
    }

    /// The layers that are attached to it.
    pub async fn layers(&self) -> Result<AttachedLayers> {
        let new = || async { anyhow::Ok(AttachedLayers::new(&self.uvm().await?)) };
        self.layers.get_or_try_init(new).await.cloned()
    }

    /// What the VM has said last, for the report of a failure.
    pub fn last_words(&self) -> String {
        let Some(uvm) = self.uvm.get() else { return "the utility VM was not booted".to_owned() };
        let lines = uvm.guest().logs().lines();
        let log: Vec<String> = lines.iter().rev().take(12).rev().map(|line| format!("{line:?}")).collect();
        format!("console:\n{}\nagent:\n{}", uvm.console().tail(), log.join("\n"))
    }

    /// What the shared VM is booted with.
    pub fn plan() -> BootPlan {
        BootPlan { boot_files: boot_files(), log_level: "debug".to_owned(), ..BootPlan::default() }
    }

    /// A name that no other test has.
    pub fn unique(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Runs a shell script in the VM; fails unless it exits with 0.
    pub async fn shell(&self, script: &str) -> Result<Output> {
        let output = self.try_shell(script).await?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status == 0, "{script:?} exited with {}: {error}", output.status);
        Ok(output)
    }

    /// Runs a shell script in the VM.
    pub async fn try_shell(&self, script: &str) -> Result<Output> {
        let uvm = self.uvm().await?;
        Ok(uvm.exec(VmProcess::new(["/bin/sh", "-c", script])).await?.output().await?)
    }

    /// A root file system with `BusyBox` in the VM's memory, and the container that will have it.
    pub async fn container(&self) -> Result<LabContainer> {
        let id = self.unique("c");
        // Not below /run, from where nothing can be executed.
        let bundle = format!("/var/lab/{id}");
        let container = LabContainer::at(id, bundle);
        self.shell(&container.setup()).await?;
        Ok(container)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // The VM ends with the last reference; its runtime must not be dropped inside another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A container that can be created in the shared VM.
#[derive(Clone, Debug)]
pub struct LabContainer {
    /// Its id.
    pub id: ContainerId,
    /// Its bundle directory in the VM.
    pub bundle: String,
    /// Its specification, for tests to change.
    pub spec: Value,
}

impl LabContainer {
    /// The container `id` in the bundle directory `bundle`, whatever root is or will be there.
    pub fn at(id: String, bundle: String) -> Self {
        Self { id: ContainerId(id), spec: specification(&bundle), bundle }
    }

    /// The shell script that makes its root, with `BusyBox` in it.
    pub fn setup(&self) -> String {
        let bundle = &self.bundle;
        format!(
            "mkdir -p {bundle}/rootfs/bin {bundle}/rootfs/etc {bundle}/rootfs/proc {bundle}/rootfs/dev \
             {bundle}/rootfs/sys {bundle}/rootfs/tmp && cp /bin/busybox {bundle}/rootfs/bin && \
             for name in sh cat echo id sleep true false ls mount stty ps grep head tail wc seq dd kill sha256sum hostname mknod touch; do \
             ln -s busybox {bundle}/rootfs/bin/$name; done && \
             printf 'root:x:0:0::/:/bin/sh\\nweb:x:1000:50::/:\\n' > {bundle}/rootfs/etc/passwd && \
             printf 'root:x:0:\\nvideo:x:44:\\n' > {bundle}/rootfs/etc/group"
        )
    }

    /// The same with these arguments.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.spec["process"]["args"] = json!(args);
        self
    }

    /// The same with a shell script for its process.
    #[must_use]
    pub fn script(self, script: &str) -> Self {
        self.args(&["/bin/sh", "-c", script])
    }

    /// Takes its own namespace of this kind from it; gives those that it keeps, to which another one's may be added.
    pub fn leave(&mut self, kind: &str) -> Result<&mut Vec<Value>> {
        let namespaces = self.spec["linux"]["namespaces"].as_array_mut().context("namespaces")?;
        namespaces.retain(|namespace| namespace["type"] != kind);
        Ok(namespaces)
    }

    /// Creates it, runs it to its end, and deletes it.
    pub async fn run(&self, lab: &Lab) -> Result<Output> {
        let uvm = lab.uvm().await?;
        self.create(&uvm).await?;
        let process = uvm.container_start(&self.id, Stdio::OUTPUT).await.context("starting")?;
        let output = process.output().await?;
        uvm.container_delete(&self.id).await.context("deleting")?;
        Ok(output)
    }

    /// Creates it.
    pub async fn create(&self, uvm: &Uvm) -> Result<()> {
        uvm.container_create(&self.id, &self.bundle, self.spec.clone(), None).await.context("creating")
    }
}

/// A plain specification: own namespaces, few capabilities, a shell that says hello.
fn specification(bundle: &str) -> Value {
    let capabilities = json!(["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID"]);
    json!({
        "ociVersion": "1.2.0",
        "hostname": "lab",
        "root": {"path": format!("{bundle}/rootfs")},
        "process": {
            "args": ["/bin/echo", "hello"],
            "cwd": "/",
            "env": ["PATH=/bin"],
            "user": {"uid": 0, "gid": 0},
            "noNewPrivileges": false,
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        ],
        "linux": {
            "namespaces": [
                {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "network"},
                {"type": "cgroup"},
            ],
            "resources": {"devices": [
                {"allow": false, "access": "rwm"},
                {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
                {"allow": true, "type": "c", "major": 1, "minor": 5, "access": "rwm"},
                {"allow": true, "type": "c", "major": 5, "minor": 0, "access": "rwm"},
                {"allow": true, "type": "c", "major": 136, "access": "rwm"},
                {"allow": true, "type": "c", "major": 5, "minor": 2, "access": "rwm"},
            ]},
        },
    })
}
