//! Messages observed between a real host and a real guest (the `[W]` examples of spec sections 4 to 6): each is
//! read into its type and, where it is ours to send, written back to the same JSON.
#![forbid(unsafe_code)]

use lcow_protocol::envelope::{Message, RequestBase, ResponseBase};
use lcow_protocol::messages::*;
use lcow_protocol::settings::*;
use lcow_protocol::{ActivityId, ContainerId, HResult, ProcessId, VsockPort, json};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const Z: &str = "00000000-0000-0000-0000-000000000000";

/// The fixture with `Z` for the nil GUID, read as base and payload.
fn request<T: Request>(text: &str) -> (RequestBase, T) {
    let document = json::parse(text.replace("\"Z\"", &format!("\"{Z}\"")).as_bytes()).unwrap();
    (json::decode("the base", &document).unwrap(), json::decode("the request", &document).unwrap())
}

fn rewritten<T: Request + Serialize>(text: &str) {
    let (base, payload) = request::<T>(text);
    let written: Value = serde_json::from_slice(&Message { base, payload }.to_json().unwrap()).unwrap();
    let mut expected: Value = serde_json::from_str(&text.replace("\"Z\"", &format!("\"{Z}\""))).unwrap();
    let mut actual = written;
    for pointer in ["/ContainerConfig", "/Settings/ProcessParameters", "/Query"] {
        unwrap_string(&mut expected, pointer);
        unwrap_string(&mut actual, pointer);
    }
    assert_eq!(actual, expected);
}

/// Replaces a document in a string by the document, so that the order of its keys does not matter.
fn unwrap_string(document: &mut Value, pointer: &str) {
    if let Some(slot) = document.pointer_mut(pointer) {
        *slot = serde_json::from_str(slot.as_str().unwrap()).unwrap();
    }
}

fn answer<P: Serialize>(payload: P) -> String {
    let base = ResponseBase::success(ActivityId::default());
    String::from_utf8(Message { base, payload }.to_json().unwrap()).unwrap().replace(Z, "Z")
}

#[test]
fn negotiate() {
    let text = r#"{"ContainerId":"","ActivityId":"Z","MinimumVersion":4,"MaximumVersion":4}"#;
    rewritten::<NegotiateProtocol>(text);
    let response = NegotiateProtocolResponse { version: 4, capabilities: GuestCapabilities::default() };
    assert_eq!(
        answer(response),
        concat!(
            r#"{"Result":0,"ActivityId":"Z","Version":4,"Capabilities":{"#,
            r#""SupportedSchemaVersions":[{"Major":2,"Minor":1}],"RuntimeOsType":"Linux","#,
            r#""GuestDefinedCapabilities":{"NamespaceAddRequestSupported":true,"SignalProcessSupported":true,"#,
            r#""DumpStacksSupported":true,"DeleteContainerStateSupported":true}}}"#
        )
    );
}

const CREATE: &str = r#"{"ContainerId":"CID","ActivityId":"Z","ContainerConfig":"{\"SchemaVersion\":{\"Major\":2,\"Minor\":1},\"OciBundlePath\":\"/run/gcs/c/CID\",\"OciSpecification\":{\"ociVersion\":\"1.2.0\",\"process\":{\"user\":{\"uid\":0,\"gid\":0},\"args\":[\"/bin/sh\",\"-c\",\"echo \\u003chi\\u003e\"],\"env\":[\"PATH=/usr/bin:/bin\"],\"cwd\":\"/\"},\"root\":{\"path\":\"/run/gcs/c/CID/rootfs\"},\"hostname\":\"web-1\",\"linux\":{\"resources\":{},\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\"},{\"type\":\"mount\"}]},\"windows\":{\"layerFolders\":null,\"network\":{\"networkNamespace\":\"4c4d8b2e-1111-2222-3333-444455556666\"}}},\"ScratchDirPath\":\"/run/gcs/c/CID/scratch/CID\"}"}"#;

#[test]
fn create() {
    rewritten::<Create>(CREATE);
    let (base, create) = request::<Create>(CREATE);
    let settings = create.container_config.0;
    assert_eq!(base.container_id, ContainerId::from("CID"));
    assert_eq!(settings.schema_version, SchemaVersion { major: 2, minor: 1 });
    assert_eq!(settings.oci_bundle_path, "/run/gcs/c/CID");
    assert_eq!(settings.oci_specification["process"]["args"][2], "echo <hi>");
    assert!(settings.oci_specification["windows"]["layerFolders"].is_null());
    assert_eq!(
        answer(CreateResponse::default()),
        r#"{"Result":0,"ActivityId":"Z","SelectedProtocolVersion":0}"#
    );
}

#[test]
fn execute_process_in_its_three_forms() {
    let init = r#"{"ContainerId":"CID","ActivityId":"Z","Settings":{"ProcessParameters":"{\"CreateStdInPipe\":true,\"CreateStdOutPipe\":true,\"CreateStdErrPipe\":true}","VsockStdioRelaySettings":{"StdIn":1073741825,"StdOut":1073741826,"StdErr":1073741827}}}"#;
    let exec = r#"{"ContainerId":"CID","ActivityId":"Z","Settings":{"ProcessParameters":"{\"CreateStdOutPipe\":true,\"OciProcess\":{\"terminal\":true,\"consoleSize\":{\"height\":24,\"width\":80},\"user\":{\"uid\":0,\"gid\":0},\"args\":[\"ls\",\"-l\"],\"cwd\":\"/\"}}","VsockStdioRelaySettings":{"StdOut":1073741828}}}"#;
    let vm = r#"{"ContainerId":"00000000-0000-0000-0000-000000000000","ActivityId":"Z","Settings":{"ProcessParameters":"{\"CommandArgs\":[\"/bin/sh\",\"-c\",\"echo out; exit 7\"],\"WorkingDirectory\":\"/\",\"Environment\":{\"PATH\":\"/usr/bin:/bin\"},\"CreateStdOutPipe\":true}","VsockStdioRelaySettings":{"StdOut":1073741829}}}"#;
    for text in [init, exec, vm] {
        rewritten::<ExecuteProcess>(text);
    }
    let settings = request::<ExecuteProcess>(init).1.settings;
    assert_eq!(settings.vsock_stdio_relay_settings.stderr, VsockPort(1_073_741_827));
    let parameters = request::<ExecuteProcess>(exec).1.settings.process_parameters.0;
    assert_eq!(parameters.oci_process.unwrap()["consoleSize"]["width"], 80);
    let (base, request) = request::<ExecuteProcess>(vm);
    assert!(base.container_id.is_null());
    assert_eq!(request.settings.process_parameters.0.environment["PATH"], "/usr/bin:/bin");
    assert_eq!(
        answer(ExecuteProcessResponse { process_id: ProcessId(4321) }),
        r#"{"Result":0,"ActivityId":"Z","ProcessId":4321}"#
    );
}

#[test]
fn wait_signal_resize() {
    let wait = r#"{"ContainerId":"CID","ActivityId":"Z","ProcessId":4321,"TimeoutInMs":4294967295}"#;
    rewritten::<WaitForProcess>(wait);
    assert_eq!(request::<WaitForProcess>(wait).1.timeout_in_ms, INFINITE);
    assert_eq!(
        answer(WaitForProcessResponse { exit_code: 7 }),
        r#"{"Result":0,"ActivityId":"Z","ExitCode":7}"#
    );

    let signal = r#"{"ContainerId":"CID","ActivityId":"Z","ProcessId":4400,"Options":{"Signal":15}}"#;
    rewritten::<SignalProcess>(signal);
    assert_eq!(request::<SignalProcess>(signal).1.signal(), 15);
    for kill in [r#"{"ProcessId":4400}"#, r#"{"ProcessId":4400,"Options":{}}"#, r#"{"Options":null}"#] {
        assert_eq!(request::<SignalProcess>(kill).1.signal(), 9, "{kill}");
    }
    rewritten::<ResizeConsole>(
        r#"{"ContainerId":"CID","ActivityId":"Z","ProcessId":4400,"Height":24,"Width":80}"#,
    );
}

#[test]
fn get_properties() {
    let text = r#"{"ContainerId":"CID","ActivityId":"Z","Query":"{\"PropertyTypes\":[\"ProcessList\"]}"}"#;
    rewritten::<GetProperties>(text);
    let none = request::<GetProperties>(r#"{"Query":""}"#).1;
    assert!(none.query.0.property_types.is_empty());
    let entries = [4321, 4400].map(|pid| ProcessEntry { process_id: ProcessId(pid) });
    let properties = Properties { process_list: Some(entries.to_vec()), metrics: None };
    assert_eq!(
        answer(GetPropertiesResponse { properties: json::Stringified(properties) }),
        r#"{"Result":0,"ActivityId":"Z","Properties":"{\"ProcessList\":[{\"ProcessId\":4321},{\"ProcessId\":4400}]}"}"#
    );
    assert_eq!(
        answer(GetPropertiesResponse::default()),
        r#"{"Result":0,"ActivityId":"Z","Properties":"{}"}"#
    );
}

#[test]
fn notification() {
    let base = RequestBase { container_id: ContainerId::from("CID"), ..RequestBase::default() };
    let payload = ContainerNotification { exit_type: ExitType::ForcedExit, ..Default::default() };
    let text = String::from_utf8(Message { base, payload }.to_json().unwrap()).unwrap();
    assert_eq!(
        text.replace(Z, "Z"),
        r#"{"ContainerId":"CID","ActivityId":"Z","Type":"ForcedExit","Operation":"None","Result":0}"#
    );
}

/// Reads the settings of a `ModifySettings` fixture into `T` and checks that they are written back alike.
fn settings<T: DeserializeOwned + Serialize>(text: &str) -> T {
    let envelope = format!(r#"{{"ContainerId":"{Z}","ActivityId":"Z","Request":{text}}}"#);
    rewritten::<ModifySettings>(&envelope);
    let raw = request::<ModifySettings>(&envelope).1.request.settings;
    let typed: T = json::decode("settings", &raw).unwrap();
    assert_eq!(serde_json::to_value(&typed).unwrap(), raw);
    typed
}

#[test]
fn modify_settings() {
    let disk: MappedVirtualDisk = settings(
        r#"{"RequestType":"Add","ResourceType":"MappedVirtualDisk","Settings":{"MountPath":"/run/mounts/scsi/m0","Lun":2,"Controller":1,"Partition":3,"ReadOnly":true,"Options":["ro"]}}"#,
    );
    assert_eq!((disk.controller, disk.lun, disk.partition), (1, 2, 3));
    let disk: MappedVirtualDisk = settings(
        r#"{"RequestType":"Add","ResourceType":"MappedVirtualDisk","Settings":{"MountPath":"/run/gcs/c/CID","Lun":1,"EnsureFilesystem":true,"Filesystem":"ext4"}}"#,
    );
    assert_eq!((disk.controller, disk.ensure_filesystem), (0, true));
    settings::<ScsiDevice>(r#"{"RequestType":"Remove","ResourceType":"SCSIDevice","Settings":{"Lun":1}}"#);
    settings::<VpmemDevice>(
        r#"{"RequestType":"Add","ResourceType":"VPMemDevice","Settings":{"DeviceNumber":1,"MountPath":"/run/layers/p1-1048576-8192","MappingInfo":{"DeviceOffsetInBytes":1048576,"DeviceSizeInBytes":8192}}}"#,
    );
    let layers: CombinedLayers = settings(
        r#"{"RequestType":"Add","ResourceType":"CombinedLayers","Settings":{"ContainerID":"CID","ContainerRootPath":"/run/gcs/c/CID/rootfs","Layers":[{"Path":"/run/layers/p0-0-4096"},{"Path":"/run/mounts/scsi/m0"}],"ScratchPath":"/run/gcs/c/CID/scratch/CID"}}"#,
    );
    assert_eq!(layers.layers[1].path, "/run/mounts/scsi/m0");
    let network: Network = settings(
        r#"{"RequestType":"Add","ResourceType":"Network","Settings":{"NamespaceID":"4C4D8B2E-1111-2222-3333-444455556666","ID":"9a5e0b7c-0000-4000-8000-000000000001","MacAddress":"00-15-5D-AA-BB-CC","DNSSuffix":"corp.example","DNSServerList":"10.0.0.2,10.0.0.3","EncapOverhead":50,"IPConfigs":[{"IPAddress":"172.20.1.5","PrefixLength":20}],"Routes":[{"NextHop":"172.20.0.1","DestinationPrefix":"0.0.0.0/0"}]}}"#,
    );
    assert_eq!(network.ip_configs[0].prefix_length, 20);
    let limits: ContainerConstraints = settings(
        r#"{"RequestType":"Update","ResourceType":"ContainerConstraints","Settings":{"Windows":{},"Linux":{"memory":{"limit":268435456}}}}"#,
    );
    assert_eq!(limits.linux["memory"]["limit"], 268_435_456);
    settings::<Value>(r#"{"RequestType":"Update","ResourceType":"PodCgroupMemoryLimit"}"#);
}

#[test]
fn names_of_requests_and_resources() {
    assert_eq!(RequestType::from_name(""), Some(RequestType::Add));
    assert_eq!(RequestType::from_name("PreAdd"), None);
    assert_eq!(ResourceType::from_name("SCSIDevice"), Some(ResourceType::SCSIDevice));
    assert_eq!(ResourceType::from_name("NetworkNamespace"), None);
}

#[test]
fn host_side_reading_of_an_error() {
    let document = json!({"result": -1_070_137_074, "errorMessage": "gone", "future": 1});
    let base: ResponseBase = json::decode("a response", &document).unwrap();
    assert_eq!((base.result, base.error_message.as_str()), (HResult::SYSTEM_NOT_FOUND, "gone"));
}
