//! Bytes for unit tests: compressed streams, small ELF files, packages.

use std::io::Write;

use lzma_rust2::{XzOptions, XzWriter};

/// `bytes` as a gzip stream.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// `bytes` as an .xz stream.
pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut writer = XzWriter::new(Vec::new(), XzOptions::with_preset(1)).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// `bytes` as a Zstandard frame.
pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// A 64-bit x86 ELF header of type `kind` with the given program headers (type, bytes), followed by the sections
/// (name, bytes); enough for readers of notes, interpreters and `.modinfo`.
pub(crate) fn elf(kind: u16, segments: &[(u32, &[u8])], sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    let body_start = 64 + 56 * segments.len();
    let mut segment_places = Vec::new();
    for (_, bytes) in segments {
        segment_places.push((body_start + body.len(), bytes.len()));
        body.extend_from_slice(bytes);
        body.resize(body.len().next_multiple_of(8), 0);
    }
    let mut names = vec![0u8];
    let mut headers = vec![[0u64; 8]];
    for (name, bytes) in sections {
        headers.push([
            names.len() as u64,
            1,
            0,
            0,
            (body_start + body.len()) as u64,
            bytes.len() as u64,
            0,
            1,
        ]);
        names.extend_from_slice(name.as_bytes());
        names.push(0);
        body.extend_from_slice(bytes);
    }
    headers.push([names.len() as u64, 3, 0, 0, 0, 0, 0, 1]);
    names.extend_from_slice(b".shstrtab\0");
    let last = headers.len() - 1;
    headers[last][4] = (body_start + body.len()) as u64;
    headers[last][5] = names.len() as u64;
    body.extend_from_slice(&names);
    body.resize(body.len().next_multiple_of(8), 0);

    let mut out = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for half in [kind, 62] {
        out.extend_from_slice(&half.to_le_bytes());
    }
    out.extend_from_slice(&1u32.to_le_bytes());
    out.extend_from_slice(&0u64.to_le_bytes());
    out.extend_from_slice(&(if segments.is_empty() { 0u64 } else { 64 }).to_le_bytes());
    out.extend_from_slice(&((body_start + body.len()) as u64).to_le_bytes());
    out.extend_from_slice(&0u32.to_le_bytes());
    let count = |n: usize| u16::try_from(n).unwrap();
    for half in [64, 56, count(segments.len()), 64, count(headers.len()), count(last)] {
        out.extend_from_slice(&half.to_le_bytes());
    }
    for ((kind, _), (offset, len)) in segments.iter().zip(segment_places) {
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&4u32.to_le_bytes());
        for word in [offset, 0, 0, len, len, 4] {
            out.extend_from_slice(&(word as u64).to_le_bytes());
        }
    }
    out.extend_from_slice(&body);
    for [name, kind, flags, addr, offset, size, link_info, align] in headers {
        out.extend_from_slice(&u32::try_from(name).unwrap().to_le_bytes());
        out.extend_from_slice(&u32::try_from(kind).unwrap().to_le_bytes());
        for word in [flags, addr, offset, size, link_info, align, 0] {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }
    out
}

/// A kernel module: a relocatable ELF file whose `.modinfo` holds `entries` (`key=value`).
pub(crate) fn module(entries: &[&str]) -> Vec<u8> {
    let info: Vec<u8> = entries.iter().flat_map(|e| e.bytes().chain([0])).collect();
    elf(1, &[], &[(".text", b"code"), (".modinfo", &info)])
}

/// A static executable.
pub(crate) fn static_program() -> Vec<u8> {
    elf(2, &[(1, b"code")], &[])
}

/// A kernel as an ELF file, with or without the note that says where a PVH start enters.
pub(crate) fn vmlinux(pvh: bool) -> Vec<u8> {
    let mut note = Vec::new();
    for word in [4u32, 4, if pvh { 18 } else { 6 }] {
        note.extend_from_slice(&word.to_le_bytes());
    }
    note.extend_from_slice(b"Xen\0\0\0\x10\0");
    elf(2, &[(1, b"kernel code"), (4, &note)], &[])
}

/// A bzImage of `release` with `payload` (compressed, and with its size appended where the format wants it).
pub(crate) fn bzimage(release: &str, payload: &[u8]) -> Vec<u8> {
    let mut image = vec![0u8; 1024];
    image[0x1f1] = 1;
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x020fu16.to_le_bytes());
    image[0x20e..0x210].copy_from_slice(&0x0100u16.to_le_bytes());
    image[0x300..0x300 + release.len()].copy_from_slice(release.as_bytes());
    image[0x248..0x24c].copy_from_slice(&16u32.to_le_bytes());
    image[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    image.extend_from_slice(&[0x90; 16]);
    image.extend_from_slice(payload);
    image.extend_from_slice(&[0; 64]);
    image
}

/// A bzImage whose payload is `vmlinux`, packed as Debian packs it.
pub(crate) fn xz_bzimage(release: &str, vmlinux: &[u8]) -> Vec<u8> {
    let mut payload = xz(vmlinux);
    payload.extend_from_slice(&u32::try_from(vmlinux.len()).unwrap().to_le_bytes());
    bzimage(release, &payload)
}

/// A Debian package holding `files` (path without the leading `./`, bytes).
pub(crate) fn deb(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("./{path}"), *bytes).unwrap();
    }
    let data = xz(&tar.into_inner().unwrap());
    let mut out = b"!<arch>\n".to_vec();
    let members: [(&str, &[u8]); 3] =
        [("debian-binary", b"2.0\n"), ("control.tar.gz", b"odd"), ("data.tar.xz", &data)];
    for (name, bytes) in members {
        let size = bytes.len();
        out.extend_from_slice(format!("{name:<16}0           0     0     100644  {size:<10}`\n").as_bytes());
        out.extend_from_slice(bytes);
        if size % 2 == 1 {
            out.push(b'\n');
        }
    }
    out
}
