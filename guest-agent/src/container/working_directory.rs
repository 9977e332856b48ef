//! The directory in which a container's process starts.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Error, blocking, guest_path};
use crate::causes::with_causes;
use crate::runtime;

fn of(process: &Value) -> &str {
    process["cwd"].as_str().unwrap_or("/")
}

/// Images may name a working directory that they do not contain. Failing to make it is not an error: running
/// in it will be.
pub(super) async fn create(process: &Value, root: &Path) {
    let directory = of(process).to_owned();
    if directory == "/" {
        return;
    }
    let (root, path) = (root.to_owned(), PathBuf::from(&directory));
    let make = move || {
        guest_path::create_dir_in(&root, &path).map_err(Error::io("creating the working directory", &path))
    };
    if let Err(error) = blocking(make).await {
        tracing::debug!(error = with_causes(&error), directory, "a working directory is missing");
    }
}

/// What to say of a `failure` for which the process itself gave no reason: libcontainer loses why it cannot enter a
/// directory, so that is looked at again, as a process with `root` for its root sees it.
pub(super) async fn explain(
    operation: &'static str,
    failure: runtime::Error,
    process: &Value,
    root: PathBuf,
) -> Error {
    let directory = PathBuf::from(of(process));
    let path = directory.clone();
    match blocking(move || Ok(guest_path::lacks_dir(&root, &path))).await {
        Ok(Some(source)) => Error::WorkingDirectory { operation, failure, directory, source },
        _ => Error::Runtime { operation, source: failure },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_failure_without_a_reason_is_the_directorys_only_if_that_cannot_be_entered() {
        let root = std::env::temp_dir().join(format!("working-directory-{}", std::process::id()));
        std::fs::create_dir_all(root.join("there")).unwrap();
        std::fs::write(root.join("file"), "").unwrap();
        let said = async |cwd: &str| {
            let error = explain("running", runtime::Error::Gone, &json!({"cwd": cwd}), root.clone()).await;
            with_causes(&error)
        };
        let plain = "running: the worker parent is gone";
        assert_eq!(said("/there").await, plain);
        let missing = "working directory /there/not: No such file or directory (os error 2)";
        assert_eq!(said("/there/not").await, format!("{plain}: {missing}"));
        assert!(said("/file").await.ends_with("working directory /file: Not a directory (os error 20)"));
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(said("/there").await, plain, "the container has gone");
    }
}
