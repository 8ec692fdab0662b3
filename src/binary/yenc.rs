//! yEnc 1.3: a part of a file as 8-bit lines between `=ybegin` and `=yend`, with its CRC32.
//!
//! Written here, because the `yenc` crate decodes into a folder under whatever name the article gives
//! and takes a part for granted (`end` before `begin` wraps), and others want `unsafe`, read whole
//! articles only, and check no sizes. Dot-stuffing belongs to the wire, so that nothing here knows dots.
//!
//! ```text
//! =ybegin part=2 total=3 line=128 size=1843200 name=a file.bin
//! =ypart begin=716801 end=1433600
//! ...octets plus 42 modulo 256; NUL, LF, CR and `=` as `=` and 64 more...
//! =yend size=716800 part=2 pcrc32=1f2e3d4c
//! ```

use memchr::{memchr, memmem};
use std::fmt;

/// Octets of a line, before the one that an escape may add.
const LINE: usize = 128;
const ESCAPE: u8 = b'=';

/// A part to be encoded.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The file's name; control characters in it would end the line and are written as `_`.
    pub name: &'a str,
    /// From 1.
    pub number: u32,
    /// How many parts the file has. A file of one part has no `=ypart` line.
    pub total: u32,
    /// Octets of the file.
    pub file_size: u64,
    /// Where in the file it begins, from 0.
    pub offset: u64,
    /// Its octets.
    pub data: &'a [u8],
    /// The CRC32 of its octets.
    pub crc: u32,
    /// The CRC32 of the whole file, which is known at the end only.
    pub file_crc: Option<u32>,
}

/// A part, decoded and found whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The file's name as the article gives it: anything but a line end may be in it.
    pub name: String,
    /// Octets of the file.
    pub file_size: u64,
    /// Where in the file it begins, from 0.
    pub offset: u64,
    /// Its octets; `offset + data.len()` is not beyond `file_size`.
    pub data: Vec<u8>,
    /// The CRC32 of its octets.
    pub crc: u32,
    /// The CRC32 of the whole file, if the part tells it.
    pub file_crc: Option<u32>,
}

/// Why a body is no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPart {
    /// There is no `=ybegin` line.
    NoYenc,
    /// There is no `=yend` line: the end is missing.
    Cut,
    /// A line that says nothing sensible; which.
    Line(&'static str),
    /// Octets that the part should have, and has.
    Size(u64, u64),
    /// The CRC32 is another.
    Crc,
}

/// Appends the part, lines ending in CRLF, without dot-stuffing.
pub fn encode(part: &Part<'_>, out: &mut Vec<u8>) {
    let Part { number, total, file_size, data, crc, .. } = *part;
    let several = total > 1;
    out.reserve(data.len() + data.len() / 32 + 512);
    let name: String = part.name.chars().map(|c| if c.is_control() { '_' } else { c }).collect();
    let which = if several { format!("part={number} total={total} ") } else { String::new() };
    out.extend_from_slice(format!("=ybegin {which}line={LINE} size={file_size} name={name}\r\n").as_bytes());
    let len = data.len() as u64;
    if several {
        let (begin, end) = (part.offset + 1, part.offset + len);
        out.extend_from_slice(format!("=ypart begin={begin} end={end}\r\n").as_bytes());
    }
    encode_lines(data, out);
    out.extend_from_slice(format!("=yend size={len}").as_bytes());
    if several {
        out.extend_from_slice(format!(" part={number} pcrc32={crc:08x}").as_bytes());
    }
    if let Some(file_crc) = if several { part.file_crc } else { Some(crc) } {
        out.extend_from_slice(format!(" crc32={file_crc:08x}").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// For each coded octet: 2 if it is always escaped, 1 if at either end of a line, where blanks get lost
/// on some ways.
const ESCAPED: [u8; 256] = {
    let mut escaped = [0; 256];
    escaped[b' ' as usize] = 1;
    escaped[b'\t' as usize] = 1;
    escaped[0] = 2;
    escaped[b'\n' as usize] = 2;
    escaped[b'\r' as usize] = 2;
    escaped[ESCAPE as usize] = 2;
    escaped
};

fn encode_lines(data: &[u8], out: &mut Vec<u8>) {
    let mut line = [0; LINE + 1];
    let mut len = 0;
    let Some(last) = data.len().checked_sub(1) else { return };
    for (at, octet) in data.iter().enumerate() {
        let coded = octet.wrapping_add(42);
        let at_an_end = len == 0 || len == LINE - 1 || at == last;
        let escape = ESCAPED[usize::from(coded)] + u8::from(at_an_end) >= 2;
        // No branch: one octet of sixty is escaped, and none of them is foreseeable.
        line[len] = ESCAPE;
        len += usize::from(escape);
        line[len] = coded.wrapping_add(64 * u8::from(escape));
        len += 1;
        if len >= LINE || at == last {
            out.extend_from_slice(&line[..len]);
            out.extend_from_slice(b"\r\n");
            len = 0;
        }
    }
}

/// Finds the part in a body (dot-stuffing undone; lines end in CRLF or LF), decodes it and checks its
/// sizes and CRC32. What stands before `=ybegin` and behind `=yend` is passed over.
///
/// # Errors
/// When there is none, or it is not what it says it is.
pub fn decode(body: &[u8]) -> Result<Decoded, BadPart> {
    let begin = line_start(body, b"=ybegin ").ok_or(BadPart::NoYenc)?;
    let (line, mut rest) = split_line(body.get(begin..).unwrap_or_default());
    let head = Keywords::of(line);
    let file_size = head.number("size").ok_or(BadPart::Line("=ybegin has no size"))?;
    let name = head.name.clone().ok_or(BadPart::Line("=ybegin has no name"))?;
    let mut range = None;
    if head.value("part").is_some() {
        let (line, behind) = split_line(rest);
        if !line.starts_with(b"=ypart ") {
            return Err(BadPart::Line("=ypart is missing"));
        }
        let part = Keywords::of(line);
        let (Some(begin @ 1..), Some(end)) = (part.number("begin"), part.number("end")) else {
            return Err(BadPart::Line("=ypart has no range"));
        };
        // An empty file's only part ends before it begins.
        if end < begin - 1 || end > file_size {
            return Err(BadPart::Line("=ypart has a range outside of the file"));
        }
        range = Some((begin - 1, end));
        rest = behind;
    }
    let end = line_start(rest, b"=yend").ok_or(BadPart::Cut)?;
    let (lines, end) = rest.split_at(end);
    let tail = Keywords::of(split_line(end).0);
    let data = decode_lines(lines)?;

    let len = data.len() as u64;
    let (offset, end) = range.unwrap_or((0, file_size));
    let said = tail.number("size").ok_or(BadPart::Line("=yend has no size"))?;
    if let Some(said) = [said, end - offset].into_iter().find(|said| *said != len) {
        return Err(BadPart::Size(said, len));
    }
    let crc = crc32fast::hash(&data);
    let file_crc = tail.crc("crc32")?;
    let own = if range.is_some() { tail.crc("pcrc32")? } else { file_crc };
    // A part that is the whole file must have the whole file's sum as well.
    let whole = if len == file_size { file_crc } else { None };
    if [own, whole].into_iter().flatten().any(|said| said != crc) {
        return Err(BadPart::Crc);
    }
    Ok(Decoded { name, file_size, offset, data, crc, file_crc })
}

/// Where the first line begins that begins with `with`.
fn line_start(text: &[u8], with: &[u8]) -> Option<usize> {
    memmem::find_iter(text, with).find(|at| *at == 0 || text.get(at - 1) == Some(&b'\n'))
}

/// The first line without its end, and what is behind it.
fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    let (line, behind) = match memchr(b'\n', text) {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, &[][..]),
    };
    (line.strip_suffix(b"\r").unwrap_or(line), behind)
}

fn decode_lines(mut lines: &[u8]) -> Result<Vec<u8>, BadPart> {
    let mut data = Vec::with_capacity(lines.len());
    while !lines.is_empty() {
        let (mut line, behind) = split_line(lines);
        lines = behind;
        while let Some(at) = memchr(ESCAPE, line) {
            let (plain, escaped) = line.split_at(at);
            data.extend(plain.iter().map(|octet| octet.wrapping_sub(42)));
            let [_, octet, behind @ ..] = escaped else {
                return Err(BadPart::Line("a line ends within an escape"));
            };
            data.push(octet.wrapping_sub(64 + 42));
            line = behind;
        }
        data.extend(line.iter().map(|octet| octet.wrapping_sub(42)));
    }
    Ok(data)
}

/// The `key=value` words of a line; `name` is the last and reaches to its end.
struct Keywords {
    words: String,
    name: Option<String>,
}

impl Keywords {
    fn of(line: &[u8]) -> Self {
        let (words, name) = match memmem::find(line, b" name=") {
            Some(at) => (&line[..at], Some(super::text(line[at + 6..].trim_ascii()))),
            None => (line, None),
        };
        Self { words: super::text(words), name }
    }

    fn value(&self, key: &str) -> Option<&str> {
        let words = self.words.split_ascii_whitespace().skip(1);
        words.filter_map(|word| word.split_once('=')).find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.value(key)?.parse().ok()
    }

    /// A CRC32, if there is one; some write more than its eight digits.
    fn crc(&self, key: &str) -> Result<Option<u32>, BadPart> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match u64::from_str_radix(value, 16) {
            Ok(crc) => Ok(Some(crc as u32)),
            Err(_) => Err(BadPart::Line("=yend has a CRC32 that is none")),
        }
    }
}

impl fmt::Display for BadPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoYenc => f.write_str("no yEnc in it"),
            Self::Cut => f.write_str("its end is missing"),
            Self::Line(what) => f.write_str(what),
            Self::Size(said, is) => write!(f, "{is} octets instead of {said}"),
            Self::Crc => f.write_str("its CRC32 is wrong"),
        }
    }
}

impl std::error::Error for BadPart {}

#[cfg(test)]
#[path = "yenc_tests.rs"]
mod tests;
