use serde_json::{Value, json};

use super::defaults::{CAPABILITIES, PATH};
use super::{ContainerOptions, SpecError};
use crate::model::RunConfig;

pub(super) fn process(image: &RunConfig, options: &ContainerOptions) -> Result<Value, SpecError> {
    let user = options.user.as_deref().unwrap_or(&image.user);
    let mut process = json!({
        "terminal": options.terminal.is_some(),
        "user": user_value(user),
        "args": arguments(image, options)?,
        "env": environment(image, options)?,
        "cwd": working_dir(image, options)?,
        "capabilities": capabilities(user),
        "noNewPrivileges": false,
        "oomScoreAdj": 0,
    });
    if let Some(terminal) = options.terminal {
        process["consoleSize"] = json!({ "height": terminal.height, "width": terminal.width });
    }
    Ok(process)
}

fn arguments(image: &RunConfig, options: &ContainerOptions) -> Result<Vec<String>, SpecError> {
    let entrypoint = options.entrypoint.as_ref().unwrap_or(&image.entrypoint);
    // The image's `Cmd` belongs to its own entrypoint.
    let command = match (options.command.is_empty(), &options.entrypoint) {
        (true, None) => &image.cmd,
        _ => &options.command,
    };
    let words: Vec<String> = entrypoint.iter().chain(command).cloned().collect();
    if words.is_empty() { Err(SpecError::NoCommand) } else { Ok(words) }
}

/// The runtime's variables first, then the command line's, then those of the image that the command line does not name. A
/// later value takes the place of an earlier one.
fn environment(image: &RunConfig, options: &ContainerOptions) -> Result<Vec<String>, SpecError> {
    let mut env = vec![format!("PATH={PATH}"), format!("HOSTNAME={}", options.hostname)];
    if options.terminal.is_some() {
        env.push("TERM=xterm".to_owned());
    }
    if let Some(bad) = options.env.iter().find(|variable| name(variable).is_empty()) {
        return Err(SpecError::Env(bad.clone()));
    }
    let named = |variable: &&String| !options.env.iter().any(|given| name(given) == name(variable));
    for variable in options.env.iter().chain(image.env.iter().filter(named)) {
        let known = env.iter().position(|known| name(known) == name(variable));
        match (known, variable.contains('=')) {
            (Some(at), true) => env[at].clone_from(variable),
            (Some(at), false) => {
                env.remove(at);
            }
            (None, true) => env.push(variable.clone()),
            (None, false) => {}
        }
    }
    Ok(env)
}

fn name(variable: &str) -> &str {
    variable.split('=').next().unwrap_or_default()
}

fn working_dir(image: &RunConfig, options: &ContainerOptions) -> Result<String, SpecError> {
    match &options.working_dir {
        Some(given) if given.starts_with('/') => Ok(given.clone()),
        Some(given) => Err(SpecError::WorkingDir(given.clone())),
        None if image.working_dir.starts_with('/') => Ok(image.working_dir.clone()),
        // Old builders left relative ones; they count from the root.
        None => Ok(format!("/{}", image.working_dir)),
    }
}

/// The string goes to the guest, which looks it up in the image; until then it is root.
fn user_value(user: &str) -> Value {
    if user.is_empty() {
        return json!({ "uid": 0, "gid": 0 });
    }
    json!({ "uid": 0, "gid": 0, "username": user })
}

/// Other users than root get the capabilities as a bound only, as after any `exec`. A name other than `root` is taken to
/// be another user.
fn capabilities(user: &str) -> Value {
    let is_root = matches!(user.split(':').next(), Some("" | "0" | "root") | None);
    if is_root {
        json!({ "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES })
    } else {
        json!({ "bounding": CAPABILITIES })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn command_line_and_image_make_the_arguments() {
        let image = RunConfig { entrypoint: words("entry"), cmd: words("one two"), ..RunConfig::default() };
        let args = |entrypoint: Option<&str>, command: &str| {
            let options = ContainerOptions {
                entrypoint: entrypoint.map(words),
                command: words(command),
                ..ContainerOptions::default()
            };
            arguments(&image, &options).map(|args| args.join(" "))
        };
        assert_eq!(args(None, "").unwrap(), "entry one two");
        assert_eq!(args(None, "three").unwrap(), "entry three");
        assert_eq!(args(Some("sh"), "").unwrap(), "sh");
        assert_eq!(args(Some("sh"), "-c x").unwrap(), "sh -c x");
        assert_eq!(args(Some(""), "ls").unwrap(), "ls");
        assert_eq!(args(Some(""), ""), Err(SpecError::NoCommand));
    }

    #[test]
    fn variables_are_ordered_and_replaced_as_docker_does() {
        let image = RunConfig { env: words("PATH=/image A=image B=image"), ..RunConfig::default() };
        let options = ContainerOptions {
            env: words("A=given C=given B HOSTNAME"),
            hostname: "h".to_owned(),
            terminal: Some(super::super::Terminal { height: 24, width: 80 }),
            ..ContainerOptions::default()
        };
        assert_eq!(environment(&image, &options).unwrap(), words("PATH=/image TERM=xterm A=given C=given"));
        let plain = environment(&RunConfig::default(), &ContainerOptions::default()).unwrap();
        assert_eq!(plain[0], format!("PATH={PATH}"));
        let bad = ContainerOptions { env: words("=x"), ..ContainerOptions::default() };
        assert_eq!(environment(&image, &bad), Err(SpecError::Env("=x".to_owned())));
    }

    #[test]
    fn users_are_passed_on_and_only_root_has_effective_capabilities() {
        for (user, root) in
            [("", true), ("0", true), ("root:adm", true), ("0:7", true), ("1000", false), ("www", false)]
        {
            assert_eq!(capabilities(user).get("effective").is_some(), root, "{user}");
            assert_eq!(capabilities(user)["bounding"].as_array().unwrap().len(), 14);
        }
        assert_eq!(user_value("www:7")["username"], "www:7");
        assert!(user_value("").get("username").is_none());
    }

    #[test]
    fn working_directories_are_absolute() {
        let image = RunConfig { working_dir: "srv".to_owned(), ..RunConfig::default() };
        let at = |given: Option<&str>| {
            let working_dir = given.map(str::to_owned);
            working_dir_of(&image, working_dir)
        };
        assert_eq!(at(None).unwrap(), "/srv");
        assert_eq!(at(Some("/x")).unwrap(), "/x");
        assert!(at(Some("x")).is_err());
        assert_eq!(working_dir_of(&RunConfig::default(), None).unwrap(), "/");
    }

    fn working_dir_of(image: &RunConfig, given: Option<String>) -> Result<String, SpecError> {
        working_dir(image, &ContainerOptions { working_dir: given, ..ContainerOptions::default() })
    }
}
