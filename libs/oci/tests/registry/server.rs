//! A registry of our own that misbehaves on purpose.
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// How a request for a blob or a manifest is answered.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// With this status.
    Status(u16),
    /// So many bytes, then nothing more, and the connection stays open.
    Stall(usize),
    /// So many bytes, then the end.
    Cut(usize),
    /// So many bytes, then a reset.
    Reset(usize),
    /// With other bytes of the same length.
    Forge,
    /// With so many bytes more, announced or not.
    Longer { by: usize, announced: bool },
    /// The whole, whatever range was asked for.
    IgnoreRange,
    /// Another part than the one that was asked for.
    WrongRange,
    /// With the same path at another server, as `HOST:PORT`.
    Elsewhere(String),
}

/// What was asked: the path, and where a range began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) range: Option<u64>,
    pub(crate) authorization: Option<String>,
    body: String,
}

#[derive(Default)]
struct State {
    documents: HashMap<String, (String, Vec<u8>)>,
    /// Next faults for paths that contain the text.
    faults: Vec<(String, Vec<Fault>)>,
    asked: Vec<Asked>,
    /// With it, only whoever shows a token of ours gets anything.
    account: Option<Account>,
    tokens: usize,
}

/// Who may have tokens.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// `Authorization` of a request for a token; nothing for anybody.
    pub(crate) authorization: Option<String>,
    /// Form field of a request for a token by an identity token.
    pub(crate) refresh_token: Option<String>,
    /// Answers that a token is good for.
    pub(crate) uses: usize,
}

/// The server; its threads end with the process.
pub(crate) struct Server {
    address: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    /// Serves the only image of a layout as `app:v1`.
    pub(crate) fn start(layout: &Path) -> Self {
        let mut documents = HashMap::new();
        for entry in std::fs::read_dir(layout.join("blobs/sha256")).expect("blobs") {
            let path = entry.expect("entry").path();
            let name = format!("sha256:{}", path.file_name().expect("a name").to_string_lossy());
            let bytes = std::fs::read(&path).expect("a blob");
            documents.insert(format!("/v2/app/blobs/{name}"), ("application/octet-stream".to_owned(), bytes));
        }
        let index = std::fs::read(layout.join("index.json")).expect("index");
        let index: serde_json::Value = serde_json::from_slice(&index).expect("JSON");
        let image = &index["manifests"][0];
        let digest = image["digest"].as_str().expect("a digest");
        let manifest = documents[&format!("/v2/app/blobs/{digest}")].1.clone();
        let kind = image["mediaType"].as_str().expect("a type").to_owned();
        for name in [digest, "v1"] {
            documents.insert(format!("/v2/app/manifests/{name}"), (kind.clone(), manifest.clone()));
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Arc::new(Mutex::new(State { documents, ..State::default() }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream, &state));
            }
        });
        Self { address, state }
    }

    pub(crate) fn name(&self) -> String {
        format!("{}/app:v1", self.address)
    }

    /// The next answers for paths with `text` in them are these; then it behaves.
    pub(crate) fn faults(&self, text: &str, faults: impl IntoIterator<Item = Fault>) {
        let mut faults: Vec<Fault> = faults.into_iter().collect();
        faults.reverse();
        self.state.lock().expect("state").faults.push((text.to_owned(), faults));
    }

    /// From now on tokens are needed.
    pub(crate) fn account(&self, account: Account) {
        self.state.lock().expect("state").account = Some(account);
    }

    /// Tokens that were given.
    pub(crate) fn tokens(&self) -> usize {
        self.state.lock().expect("state").tokens
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Replaces a document.
    pub(crate) fn replace(&self, path: &str, kind: &str, bytes: &[u8]) {
        let mut state = self.state.lock().expect("state");
        state.documents.insert(path.to_owned(), (kind.to_owned(), bytes.to_vec()));
    }

    /// What was asked for so far, for paths with `text` in them.
    pub(crate) fn asked(&self, text: &str) -> Vec<Asked> {
        let state = self.state.lock().expect("state");
        state.asked.iter().filter(|asked| asked.path.contains(text)).cloned().collect()
    }
}

/// One connection, with as many requests as come over it.
fn serve(stream: &TcpStream, state: &Mutex<State>) {
    let mut input = BufReader::new(stream.try_clone().expect("a copy"));
    while let Some(asked) = request(&mut input) {
        if let Some(answer) = authorize(stream, &asked, &mut state.lock().expect("state")) {
            let mut out = stream;
            if out.write_all(answer.as_bytes()).is_err() {
                return;
            }
            continue;
        }
        let (document, fault) = {
            let mut state = state.lock().expect("state");
            state.asked.push(asked.clone());
            let fault = state
                .faults
                .iter_mut()
                .find(|(text, faults)| asked.path.contains(text.as_str()) && !faults.is_empty())
                .and_then(|(_, faults)| faults.pop());
            (state.documents.get(&asked.path).cloned(), fault)
        };
        if answer(stream, &asked, document, fault.as_ref()).is_none() {
            return;
        }
    }
}

/// The answer to somebody without a token, or who asks for one.
fn authorize(stream: &TcpStream, asked: &Asked, state: &mut State) -> Option<String> {
    let account = state.account.clone()?;
    let address = stream.local_addr().expect("an address");
    let no = |header: &str| format!("HTTP/1.1 401 No\r\n{header}Content-Length: 0\r\n\r\n");
    if let Some(query) = asked.path.strip_prefix("/token") {
        let named = query.contains("service=test") && query.contains("scope=repository%3Aapp%3Apull");
        let form = account.refresh_token.map(|token| format!("refresh_token={token}"));
        let known = match form {
            Some(form) => asked.body.contains(&form) && asked.body.contains("grant_type=refresh_token"),
            None => named && asked.authorization == account.authorization,
        };
        if !known {
            return Some(no(""));
        }
        state.tokens += 1;
        let body = format!(r#"{{"token":"token-{}-{}"}}"#, state.tokens, state.asked.len() + account.uses);
        return Some(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    }
    let shown = asked.authorization.as_deref().and_then(|text| text.strip_prefix("Bearer token-"));
    let last = shown.and_then(|token| token.rsplit('-').next()?.parse::<usize>().ok());
    if last.is_some_and(|last| state.asked.len() < last) {
        return None;
    }
    Some(no(&format!(
        "WWW-Authenticate: Bearer realm=\"http://{address}/token\",service=\"test\",scope=\"repository:app:pull\"\r\n"
    )))
}

fn request(input: &mut impl BufRead) -> Option<Asked> {
    let mut first = String::new();
    input.read_line(&mut first).ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut asked = Asked { path, range: None, authorization: None, body: String::new() };
    let mut length = 0;
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "range" => asked.range = value.strip_prefix("bytes=")?.trim_end_matches('-').parse().ok(),
            "authorization" => asked.authorization = Some(value.to_owned()),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    asked.body = String::from_utf8(body).ok()?;
    Some(asked)
}

/// `None` if the connection is over.
fn answer(
    mut out: &TcpStream,
    asked: &Asked,
    document: Option<(String, Vec<u8>)>,
    fault: Option<&Fault>,
) -> Option<()> {
    let Some((kind, mut body)) = document else {
        return out.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").ok();
    };
    if let Some(Fault::Status(status)) = fault {
        // The code that the specification has for a status.
        let code = if *status == 429 { "TOOMANYREQUESTS" } else { "X" };
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"not now"}}]}}"#);
        let text = format!("HTTP/1.1 {status} No\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        return out.write_all(text.as_bytes()).ok();
    }
    if let Some(Fault::Elsewhere(host)) = fault {
        let text = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{host}{}\r\nContent-Length: 0\r\n\r\n",
            asked.path
        );
        return out.write_all(text.as_bytes()).ok();
    }
    let total = body.len();
    let mut start = match (asked.range, fault) {
        (Some(_), Some(Fault::IgnoreRange)) | (None, _) => 0,
        (Some(start), _) => usize::try_from(start).ok()?,
    };
    if matches!(fault, Some(Fault::WrongRange)) {
        start /= 2;
    }
    if matches!(fault, Some(Fault::Forge)) {
        for byte in &mut body {
            *byte ^= 0x55;
        }
    }
    body.drain(..start);
    let mut announced = body.len();
    if let Some(&Fault::Longer { by, announced: told }) = fault {
        body.extend(vec![7; by]);
        announced += if told { by } else { 0 };
    }
    let ranged = asked.range.is_some() && !matches!(fault, Some(Fault::IgnoreRange));
    let status = if ranged { "206 Partial Content" } else { "200 OK" };
    let range = if ranged {
        format!("Content-Range: bytes {start}-{}/{total}\r\n", total - 1)
    } else {
        String::new()
    };
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{range}Content-Length: {announced}\r\n\r\n");
    out.write_all(head.as_bytes()).ok()?;
    let end = match fault {
        Some(Fault::Stall(length) | Fault::Cut(length) | Fault::Reset(length)) => (*length).min(body.len()),
        _ => body.len(),
    };
    out.write_all(&body[..end]).ok()?;
    match fault {
        // Until the other side has had enough.
        Some(Fault::Stall(_)) => {
            let _ = out.read(&mut [0; 1]);
            None
        }
        Some(Fault::Cut(_) | Fault::Longer { .. }) => {
            let _ = out.shutdown(Shutdown::Both);
            None
        }
        Some(Fault::Reset(_)) => {
            reset(out);
            None
        }
        _ => Some(()),
    }
}

/// A connection that is closed with unread data, or without lingering, is reset.
fn reset(stream: &TcpStream) {
    let socket = rustix::net::sockopt::set_socket_linger(stream, Some(std::time::Duration::ZERO));
    assert!(socket.is_ok(), "{socket:?}");
}
