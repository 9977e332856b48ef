//! One image out of what other tools have made.
use lcow_oci::Platform;
use lcow_oci::build::ImageBuilder;
use lcow_oci::load::{Options, load};
use lcow_oci::store::Store;

#[test]
fn one_image_is_found_in_a_cache_that_has_many() {
    let directory = tempfile::tempdir().expect("directory");
    let cache = directory.path().join("cache");
    let platform = |os: &str| Platform { os: os.into(), ..Platform::host() };
    let images = [("app:1", "linux"), ("app:2", "windows"), ("busybox", "linux")].map(|(name, os)| {
        ImageBuilder::new(name.parse().expect("reference")).platform(platform(os)).cmd([name])
    });
    lcow_oci::build::write_layout(&cache, images.into()).expect("layout");
    // As other tools have it: the full name in the other annotation.
    let index = std::fs::read_to_string(cache.join("index.json")).expect("index");
    let mut index: serde_json::Value = serde_json::from_str(&index).expect("JSON");
    for image in index["manifests"].as_array_mut().expect("images") {
        let name = image["annotations"]["io.containerd.image.name"].clone();
        image["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": name });
        image.as_object_mut().expect("an object").remove("platform");
    }
    std::fs::write(cache.join("index.json"), index.to_string()).expect("written");
    let store = Store::open(directory.path().join("store")).expect("store");
    let find = |name: &str| {
        let only = Some(name.parse().expect("reference"));
        load(&store, &cache, &Options { only, ..Options::default() })
    };
    assert_eq!(find("app:1").expect("found").names.len(), 1);
    assert_eq!(store.list().expect("list").len(), 1);
    let error = find("app:2").expect_err("windows").to_string();
    assert!(error.contains("only for windows/"), "{error}");
    let error = find("nginx").expect_err("missing").to_string();
    assert!(error.contains("no nginx:latest") && error.contains("busybox:latest"), "{error}");
}
