//! The distribution project's registry, as Debian packages it.
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use lcow_oci::Digest;

/// A registry on this machine that ends with the value.
pub(crate) struct Hub {
    process: Child,
    address: String,
    _directory: tempfile::TempDir,
}

pub(crate) const USER: &str = "me";
pub(crate) const PASSWORD: &str = "pass:word";

impl Hub {
    /// Starts one, with an account or for everybody. Without the programs it takes it says so and gives nothing.
    pub(crate) fn start(account: bool) -> Option<Self> {
        for program in ["docker-registry", "skopeo", "htpasswd"] {
            let mut probe = Command::new(program);
            if probe.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
                println!("skipped: {program} is not installed");
                return None;
            }
        }
        let directory = tempfile::tempdir().expect("directory");
        let root = directory.path().join("root");
        let mut config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"127.0.0.1:0\"}}\n",
            root.display()
        );
        if account {
            let accounts = directory.path().join("htpasswd");
            let made = Command::new("htpasswd").args(["-Bbn", USER, PASSWORD]).output().expect("htpasswd");
            std::fs::write(&accounts, made.stdout).expect("written");
            config.push_str("auth: {htpasswd: {realm: test, path: ");
            config.push_str(accounts.to_str().expect("a path"));
            config.push_str("}}\n");
        }
        let file = directory.path().join("config.yml");
        std::fs::write(&file, config).expect("written");
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a registry");
        let mut log = BufReader::new(process.stderr.take().expect("its log"));
        let address = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).expect("a line") > 0, "the registry has ended");
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect();
            }
        };
        // It must be read on: a full pipe would stop the registry.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Some(Self { process, address, _directory: directory })
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The full name of an image here.
    pub(crate) fn name(&self, short: &str) -> String {
        format!("{}/{short}", self.address)
    }

    /// Copies the image called `tag` of a layout here; gives the digest it has here.
    pub(crate) fn push(&self, layout: &Path, tag: &str, short: &str) -> Digest {
        let mut command = Command::new("skopeo");
        command.args(["copy", "--quiet", "--all", "--dest-tls-verify=false"]);
        command.args(["--dest-creds", &format!("{USER}:{PASSWORD}")]);
        command.arg(format!("oci:{}:{tag}", layout.display())).arg(format!("docker://{}", self.name(short)));
        let file = tempfile::NamedTempFile::new().expect("a file");
        command.arg("--digestfile").arg(file.path());
        let output = command.output().expect("skopeo");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read_to_string(file.path()).expect("a digest").trim().parse().expect("a digest")
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
