//! From a real registry.
use std::io::Read;

use lcow_oci::Platform;
use lcow_oci::build::write_layout;
use lcow_oci::registry::{DockerConfig, Options, PullError, Registry, RegistryError};

use crate::hub::{Hub, PASSWORD, USER};
use crate::support::{Lab, hasty, image, reference};

fn account(address: &str, password: &str) -> DockerConfig {
    let text = format!(r#"{{"auths": {{"{address}": {{"username": "{USER}", "password": "{password}"}}}}}}"#);
    serde_json::from_str(&text).expect("a configuration")
}

#[test]
fn an_image_comes_whole_and_only_once() {
    let Some(hub) = Hub::start(false) else { return };
    let lab = Lab::new();
    image("app").write_layout(&lab.path("layout")).expect("layout");
    let digest = hub.push(&lab.path("layout"), "latest", "app:v1");
    let registry = Registry::new(hasty());
    let name = hub.name("app:v1");
    let pulled = lab.pull(&registry, &name).expect("pulled");
    assert_eq!((pulled.digest, pulled.unchanged), (digest, false));
    assert!(lab.pull(&registry, &name).expect("again").unchanged);
    let image = lab.store.get(&reference(&name)).expect("image");
    assert_eq!(image.digest, digest);
    for at in 0..3 {
        let mut tar = Vec::new();
        lab.store.open_layer(&image, at).expect("layer").read_to_end(&mut tar).expect("whole");
        assert!(tar.len() > 300_000);
    }
    // A manifest, a configuration and three layers; nothing is left on the way.
    assert_eq!(lab.files(), (5, 0));
    let by_digest = lab.pull(&registry, &hub.name(&format!("app@{digest}"))).expect("by digest");
    assert_eq!(by_digest.digest, digest);
}

#[test]
fn accounts_are_needed_and_used() {
    let Some(hub) = Hub::start(true) else { return };
    let lab = Lab::new();
    image("app").write_layout(&lab.path("layout")).expect("layout");
    hub.push(&lab.path("layout"), "latest", "app:v1");
    for (credentials, allowed) in [
        (DockerConfig::default(), false),
        (account(hub.address(), "wrong"), false),
        (account("other.example", PASSWORD), false),
        (account(hub.address(), PASSWORD), true),
    ] {
        let registry = Registry::new(Options { credentials, ..hasty() });
        match lab.pull(&registry, &hub.name("app:v1")) {
            Ok(_) => assert!(allowed),
            Err(PullError::Registry(error @ RegistryError::Denied { .. })) => {
                assert!(!allowed && error.to_string().contains("docker login"), "{error}");
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[test]
fn what_is_not_there_or_not_for_us_is_said_so() {
    let Some(hub) = Hub::start(false) else { return };
    let lab = Lab::new();
    let for_machine = |os: &str, architecture: &str| {
        let platform = Platform { os: os.into(), architecture: architecture.into(), variant: None };
        image("app").platform(platform)
    };
    write_layout(&lab.path("windows"), vec![for_machine("windows", "amd64")]).expect("layout");
    hub.push(&lab.path("windows"), "latest", "app:windows");
    let registry = Registry::new(hasty());
    let error = lab.pull(&registry, &hub.name("app:windows")).expect_err("windows").to_string();
    assert!(error.contains("only for windows/amd64"), "{error}");
    for missing in ["app:no", "nothing:v1"] {
        let error = lab.pull(&registry, &hub.name(missing)).expect_err("missing");
        assert!(matches!(&error, PullError::Registry(RegistryError::NotFound { .. })), "{error:?}");
        assert!(error.to_string().contains(missing), "{error}");
    }
    assert_eq!(lab.store.list().expect("list"), []);
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_if_it_fails() {
    let Some(hub) = Hub::start(false) else { return };
    let lab = Lab::new();
    image("busybox").write_layout(&lab.path("layout")).expect("layout");
    hub.push(&lab.path("layout"), "latest", "library/busybox:latest");
    let mirror = |registry: &str| format!("{registry}=http://{}", hub.address()).parse().expect("a mirror");
    let registry = Registry::new(Options { mirrors: vec![mirror("docker.io")], ..hasty() });
    lab.pull(&registry, "busybox").expect("from the mirror");
    assert_eq!(lab.store.list().expect("list")[0].reference, reference("busybox"));
    // A dead mirror, then one without the image; the registry itself has it.
    let mirrors = vec!["http://127.0.0.1:1".parse().expect("a mirror"), mirror("docker.io")];
    let registry = Registry::new(Options { mirrors, ..hasty() });
    lab.pull(&registry, &hub.name("library/busybox")).expect("from the registry");
}
