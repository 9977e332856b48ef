//! Helper programs that keep credentials (docker CLI, "Credential helper protocol").
use std::ffi::OsStr;
use std::io;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::credentials::basic_or_nothing;
use super::{Credentials, CredentialsError};

/// The user name of helpers whose secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// What a helper answers to `get`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    username: String,
    secret: String,
}

/// What the helper called `helper` has for `key`.
pub(super) fn ask(helper: &str, key: &str, limit: Duration) -> Result<Credentials, CredentialsError> {
    if helper.is_empty() || !helper.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err(CredentialsError::HelperName(helper.to_owned()));
    }
    let program = format!("docker-credential-{helper}");
    ask_program(program.as_ref(), &program, key, limit)
}

fn ask_program(
    path: &OsStr,
    program: &str,
    key: &str,
    limit: Duration,
) -> Result<Credentials, CredentialsError> {
    let program = program.to_owned();
    let output = run(path, key, limit).map_err(|source| match source.kind() {
        io::ErrorKind::TimedOut => CredentialsError::Slow { program: program.clone(), limit },
        _ => CredentialsError::Run { program: program.clone(), source },
    })?;
    if !output.status.success() {
        // The protocol: a helper says so on standard output.
        let said = [output.stdout, output.stderr].concat();
        let message = String::from_utf8_lossy(&said).trim().to_owned();
        if message.to_lowercase().contains("credentials not found") {
            return Ok(Credentials::Anonymous);
        }
        return Err(CredentialsError::Helper { program, message });
    }
    let found: Found = serde_json::from_slice(&output.stdout)
        .map_err(|source| CredentialsError::Json { object: format!("the answer of {program}"), source })?;
    if found.username == TOKEN_USER {
        return Ok(Credentials::IdentityToken(found.secret));
    }
    Ok(basic_or_nothing(&found.username, &found.secret))
}

/// Runs `program get` with `key` on its standard input, for `limit` at most.
fn run(program: &OsStr, key: &str, limit: Duration) -> io::Result<Output> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut command = Command::new(program);
        command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn()?;
        let answer = async {
            if let Some(mut stdin) = child.stdin.take() {
                // One that does not read may still answer.
                let _ = stdin.write_all(key.as_bytes()).await;
            }
            child.wait_with_output().await
        };
        timeout(limit, answer).await?
    })
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::{process, thread};

    use super::*;

    /// Asks a helper that is this script.
    fn script(text: &str, limit: Duration) -> Result<Credentials, CredentialsError> {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("helper");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        ask_program(path.as_ref(), "helper", "r.example", limit)
    }

    #[test]
    fn answers_are_understood() {
        let limit = Duration::from_mins(5);
        let of = |text: &str| script(text, limit);
        let name = r#"read key; echo "{\"Username\":\"u-$1\",\"Secret\":\"$key\"}""#;
        let basic = Credentials::Basic { user: "u-get".into(), password: "r.example".into() };
        assert_eq!(of(name).expect("a name"), basic);
        let token = r#"echo '{"Username":"<token>","Secret":"t"}'"#;
        assert_eq!(of(token).expect("a token"), Credentials::IdentityToken("t".into()));
        let nothing = "echo credentials not found in native keychain; exit 1";
        assert_eq!(of(nothing).expect("nothing"), Credentials::Anonymous);
        let locked = of("echo it is locked >&2; exit 1").expect_err("a failure").to_string();
        assert!(locked.contains("it is locked"), "{locked}");
    }

    #[test]
    fn one_that_hangs_is_ended() {
        let directory = tempfile::tempdir().expect("directory");
        let pipe = directory.path().join("pipe");
        assert!(process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
        let reader = pipe.clone();
        // It ends when nobody holds the pipe any more.
        let reader = thread::spawn(move || fs::read(reader));
        let error = script(&format!("exec sleep 1000 >{}", pipe.display()), Duration::from_secs(2));
        assert!(matches!(&error, Err(CredentialsError::Slow { .. })), "{error:?}");
        assert!(reader.join().expect("the thread").expect("read").is_empty());
    }
}
