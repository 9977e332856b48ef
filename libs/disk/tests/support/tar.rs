/// Writes entries byte by byte, so that no library's idea of what is valid stands between a test and the reader.
#[derive(Default)]
pub(crate) struct Tar {
    bytes: Vec<u8>,
    pax: Vec<u8>,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: u64,
}

impl Tar {
    pub(crate) fn new() -> Self {
        Self { mtime: 1_500_000_000, ..Self::default() }
    }

    /// A PAX record for the next entry.
    pub(crate) fn pax(&mut self, key: &str, value: &[u8]) -> &mut Self {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + rest.to_string().len();
        if length.to_string().len() > rest.to_string().len() {
            length = rest + length.to_string().len();
        }
        self.pax.extend_from_slice(format!("{length} {key}=").as_bytes());
        self.pax.extend_from_slice(value);
        self.pax.push(b'\n');
        self
    }

    pub(crate) fn xattr(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.pax(&format!("SCHILY.xattr.{name}"), value)
    }

    pub(crate) fn file(&mut self, path: &str, data: &[u8]) -> &mut Self {
        self.entry(path, b'0', 0o644, "", data)
    }

    pub(crate) fn dir(&mut self, path: &str) -> &mut Self {
        self.entry(path, b'5', 0o755, "", &[])
    }

    pub(crate) fn symlink(&mut self, path: &str, target: &str) -> &mut Self {
        self.entry(path, b'2', 0o777, target, &[])
    }

    pub(crate) fn hard_link(&mut self, path: &str, target: &str) -> &mut Self {
        self.entry(path, b'1', 0o644, target, &[])
    }

    pub(crate) fn entry(&mut self, path: &str, kind: u8, mode: u32, link: &str, data: &[u8]) -> &mut Self {
        if path.len() > 100 {
            self.pax("path", path.as_bytes());
        }
        if link.len() > 100 {
            self.pax("linkpath", link.as_bytes());
        }
        let pax = std::mem::take(&mut self.pax);
        if !pax.is_empty() {
            let header = self.header("PaxHeader", b'x', 0o644, "", pax.len(), (0, 0));
            self.append(&header, &pax);
        }
        let header = self.header(path, kind, mode, link, data.len(), (0, 0));
        self.append(&header, data);
        self
    }

    pub(crate) fn device(&mut self, path: &str, kind: u8, major: u32, minor: u32) -> &mut Self {
        let header = self.header(path, kind, 0o600, "", 0, (major, minor));
        self.append(&header, &[]);
        self
    }

    /// A header made by hand, its checksum set here.
    pub(crate) fn raw(&mut self, mut header: [u8; 512], data: &[u8]) -> &mut Self {
        checksum(&mut header);
        self.append(&header, data);
        self
    }

    /// The archive with its end marker.
    pub(crate) fn finish(&self) -> Vec<u8> {
        [&self.bytes[..], &[0; 1024]].concat()
    }

    pub(crate) fn header(
        &self,
        path: &str,
        kind: u8,
        mode: u32,
        link: &str,
        size: usize,
        device: (u32, u32),
    ) -> [u8; 512] {
        let mut header = [0; 512];
        let mut put = |at: usize, text: &[u8]| {
            header[at..at + text.len()].copy_from_slice(text);
        };
        put(0, &path.as_bytes()[..path.len().min(100)]);
        put(100, format!("{mode:07o}").as_bytes());
        put(108, format!("{:07o}", self.uid).as_bytes());
        put(116, format!("{:07o}", self.gid).as_bytes());
        put(124, format!("{size:011o}").as_bytes());
        put(136, format!("{:011o}", self.mtime).as_bytes());
        put(156, &[kind]);
        put(157, &link.as_bytes()[..link.len().min(100)]);
        put(257, b"ustar\x0000");
        put(329, format!("{:07o}", device.0).as_bytes());
        put(337, format!("{:07o}", device.1).as_bytes());
        checksum(&mut header);
        header
    }

    fn append(&mut self, header: &[u8; 512], data: &[u8]) {
        self.bytes.extend_from_slice(header);
        self.bytes.extend_from_slice(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
    }
}

fn checksum(header: &mut [u8; 512]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&b| u32::from(b)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}
