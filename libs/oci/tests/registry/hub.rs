//! The distribution project's registry, as Debian packages it.
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use lcow_oci::Digest;

/// A registry on this machine that ends with the value.
pub(crate) struct Hub {
    process: Child,
    address: String,
    directory: tempfile::TempDir,
}

pub(crate) const USER: &str = "me";
pub(crate) const PASSWORD: &str = "pass:word";

impl Hub {
    /// Starts one, with an account or for everybody. Without the programs it takes it says so and gives nothing.
    pub(crate) fn start(account: bool) -> Option<Self> {
        let auth = |directory: &Path| {
            let accounts = directory.join("htpasswd");
            let made = Command::new("htpasswd").args(["-Bbn", USER, PASSWORD]).output().expect("htpasswd");
            std::fs::write(&accounts, made.stdout).expect("written");
            format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", accounts.display())
        };
        Self::start_with("", |directory| if account { auth(directory) } else { String::new() })
    }

    /// Starts one with TLS, for the name `localhost`; who signed for it is in `authority.pem` in `directory`.
    // The library's tests have no environment of their own to trust it in.
    #[allow(dead_code)]
    pub(crate) fn start_with_certificate(directory: &Path) -> Option<Self> {
        let script = "
            openssl req -x509 -newkey rsa:2048 -nodes -keyout authority.key -out authority.pem -subj /CN=authority -days 2
            openssl req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=localhost
            printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' > names
            openssl x509 -req -in request.pem -CA authority.pem -CAkey authority.key -CAcreateserial -out certificate.pem -days 2 -extfile names";
        let made = Command::new("sh").args(["-ec", script]).current_dir(directory).output().expect("sh");
        if !made.status.success() {
            println!("skipped: openssl makes no certificate");
            return None;
        }
        let place = directory.display();
        let tls = format!(", tls: {{certificate: {place}/certificate.pem, key: {place}/key.pem}}");
        Self::start_with(&tls, |_| String::new())
    }

    fn start_with(http: &str, more: impl Fn(&Path) -> String) -> Option<Self> {
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
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"127.0.0.1:0\"{http}}}\n",
            root.display()
        );
        config.push_str(&more(directory.path()));
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
        Some(Self { process, address, directory })
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The full name of an image here.
    pub(crate) fn name(&self, short: &str) -> String {
        format!("{}/{short}", self.address)
    }

    /// Changes a blob behind the registry's back.
    // Not all suites break what they have pushed.
    #[allow(dead_code)]
    pub(crate) fn damage(&self, digest: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let hex = digest.strip_prefix("sha256:").expect("a digest");
        let place = format!("root/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
        let path = self.directory.path().join(place);
        let mut bytes = std::fs::read(&path).expect("a blob");
        change(&mut bytes);
        std::fs::write(&path, bytes).expect("written");
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

/// Bytes that do not shrink when packed.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}
