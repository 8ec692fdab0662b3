//! The records of the log: their form on disk, written and read here only.
//!
//! All numbers are little-endian; a record begins at a multiple of 8 octets.
//!
//! ```text
//!  0  magic 4 | crc 4                    crc: CRC-32 of octets 8.. to the end of the facts
//!  8  total 4 | kind 1 | traits 1 | newsgroups filed in 2
//! 16  seq 8   | arrived, ms 8
//! 32  date, ms 8 | head length 4 | body length 4
//! 48  lines 4 | stuffed 4 | head crc 4 | body crc 4
//! 64  Message-ID length 2 | source length 2 | Newsgroups length 4
//! 72  Path length 4 | row length 4
//! 80  numbers length 4 | Distribution length 2 | 0 2
//! 88  facts: (newsgroup id 4, number 8)*  Message-ID  Newsgroups  source  Distribution  Path  row
//!     head   as served; its last line is Xref
//!     body   the empty line, the body, the terminator
//!     zeros  to a multiple of 8
//! ```
//!
//! Traits: bits 0 and 1 are the article's kind, bit 2 says that it is not passed on.
//!
//! An act (a newsgroup set or removed, a peer's state) has its JSON text in the row's place and no
//! article. The row is the overview row as served, so that a rebuild never parses an article and
//! gives the same rows whatever has changed since; it ends with the numbers as Xref has them.
//! Nothing is believed before the first CRC is right: it covers every length, and it begins with the
//! log's salt, so that octets of an article cannot pass for a record where the log is damaged.

use super::types::{NewArticle, Seq};
use crate::article::ArticleKind;
use crate::clock::Timestamp;
use crate::decimal;

/// Octets of the fixed part.
pub(super) const HEADER: usize = 88;
/// Octets that fixed part and facts may have.
pub(super) const FACTS_MAX: usize = 64 << 20;
/// Octets a whole record may have.
const RECORD_MAX: u64 = 1 << 31;
/// Every record begins with it.
pub(super) const MAGIC: [u8; 4] = [0xF5, b'R', b'e', b'1'];
/// The traits' bits of the article's kind.
const KIND: u8 = 3;
/// The trait of an article that is not passed on.
const KEPT: u8 = 4;
/// One newsgroup of the facts.
const FILED: usize = 12;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// An article.
    Article = 1,
    /// A newsgroup created or changed.
    Newsgroup = 2,
    /// A newsgroup removed.
    Removed = 3,
    /// A peer's state.
    Peer = 4,
}

/// The fixed part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: Kind,
    pub seq: Seq,
    pub arrived: Timestamp,
    pub date: Timestamp,
    pub head_len: u32,
    pub body_len: u32,
    pub lines: u32,
    pub stuffed: u32,
    pub head_crc: u32,
    pub body_crc: u32,
    traits: u8,
    filed: u16,
    id_len: u16,
    source_len: u16,
    newsgroups_len: u32,
    path_len: u32,
    row_len: u32,
    numbers_len: u32,
    distribution_len: u16,
    crc: u32,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

impl Header {
    /// Reads the fixed part at the beginning of `bytes`: none when it cannot be one. The CRC is
    /// not checked yet; [`Record::parse`] does.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEADER || bytes[..4] != MAGIC {
            return None;
        }
        let kind = match bytes[12] {
            1 => Kind::Article,
            2 => Kind::Newsgroup,
            3 => Kind::Removed,
            4 => Kind::Peer,
            _ => return None,
        };
        let ms = |at| Some(Timestamp::from_unix_ms(u64_at(bytes, at)? as i64));
        let header = Self {
            kind,
            crc: u32_at(bytes, 4)?,
            traits: bytes[13],
            filed: u16_at(bytes, 14)?,
            seq: Seq(u64_at(bytes, 16)?),
            arrived: ms(24)?,
            date: ms(32)?,
            head_len: u32_at(bytes, 40)?,
            body_len: u32_at(bytes, 44)?,
            lines: u32_at(bytes, 48)?,
            stuffed: u32_at(bytes, 52)?,
            head_crc: u32_at(bytes, 56)?,
            body_crc: u32_at(bytes, 60)?,
            id_len: u16_at(bytes, 64)?,
            source_len: u16_at(bytes, 66)?,
            newsgroups_len: u32_at(bytes, 68)?,
            path_len: u32_at(bytes, 72)?,
            row_len: u32_at(bytes, 76)?,
            numbers_len: u32_at(bytes, 80)?,
            distribution_len: u16_at(bytes, 84)?,
        };
        let fits = header.article_at() <= FACTS_MAX
            && header.total() <= RECORD_MAX
            && u64::from(u32_at(bytes, 8)?) == header.total()
            && header.numbers_len <= header.row_len;
        fits.then_some(header)
    }

    fn write(&self, out: &mut [u8]) {
        out[..4].copy_from_slice(&MAGIC);
        out[4..8].copy_from_slice(&self.crc.to_le_bytes());
        out[8..12].copy_from_slice(&(self.total() as u32).to_le_bytes());
        out[12] = self.kind as u8;
        out[13] = self.traits;
        out[14..16].copy_from_slice(&self.filed.to_le_bytes());
        out[16..24].copy_from_slice(&self.seq.0.to_le_bytes());
        out[24..32].copy_from_slice(&self.arrived.unix_ms().to_le_bytes());
        out[32..40].copy_from_slice(&self.date.unix_ms().to_le_bytes());
        out[40..44].copy_from_slice(&self.head_len.to_le_bytes());
        out[44..48].copy_from_slice(&self.body_len.to_le_bytes());
        out[48..52].copy_from_slice(&self.lines.to_le_bytes());
        out[52..56].copy_from_slice(&self.stuffed.to_le_bytes());
        out[56..60].copy_from_slice(&self.head_crc.to_le_bytes());
        out[60..64].copy_from_slice(&self.body_crc.to_le_bytes());
        out[64..66].copy_from_slice(&self.id_len.to_le_bytes());
        out[66..68].copy_from_slice(&self.source_len.to_le_bytes());
        out[68..72].copy_from_slice(&self.newsgroups_len.to_le_bytes());
        out[72..76].copy_from_slice(&self.path_len.to_le_bytes());
        out[76..80].copy_from_slice(&self.row_len.to_le_bytes());
        out[80..84].copy_from_slice(&self.numbers_len.to_le_bytes());
        out[84..86].copy_from_slice(&self.distribution_len.to_le_bytes());
        out[86..88].fill(0);
    }

    /// Where in the record the article begins: octets of the fixed part and the facts.
    pub fn article_at(&self) -> usize {
        HEADER
            + usize::from(self.filed) * FILED
            + usize::from(self.id_len)
            + usize::from(self.source_len)
            + self.newsgroups_len as usize
            + usize::from(self.distribution_len)
            + self.path_len as usize
            + self.row_len as usize
    }

    /// What the article carries.
    pub fn article_kind(&self) -> ArticleKind {
        match self.traits & KIND {
            1 => ArticleKind::Yenc,
            2 => ArticleKind::Binary,
            _ => ArticleKind::Text,
        }
    }

    /// The article is not passed on.
    pub fn kept(&self) -> bool {
        self.traits & KEPT != 0
    }

    /// Octets of the article.
    pub fn article_len(&self) -> usize {
        self.head_len as usize + self.body_len as usize
    }

    /// Octets of the whole record: the next one begins there.
    pub fn total(&self) -> u64 {
        (self.article_at() as u64 + self.article_len() as u64).next_multiple_of(8)
    }
}

fn salted_crc(bytes: &[u8], salt: u32) -> u32 {
    let mut crc = crc32fast::Hasher::new_with_initial(salt);
    crc.update(bytes);
    crc.finalize()
}

/// A record's fixed part and facts, checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub header: Header,
    facts: &'a [u8],
}

impl<'a> Record<'a> {
    /// Checks and reads the record at the beginning of `bytes`, which hold at least its fixed part
    /// and its facts ([`Header::article_at`] octets); none when it is damaged.
    pub fn parse(bytes: &'a [u8], salt: u32) -> Option<Self> {
        let header = Header::parse(bytes)?;
        let facts = bytes.get(..header.article_at())?;
        if salted_crc(&facts[8..], salt) != header.crc {
            return None;
        }
        Some(Self { header, facts: &facts[HEADER..] })
    }

    /// The newsgroups it is filed in: id and number.
    pub fn filed(&self) -> impl Iterator<Item = (u32, u64)> + 'a {
        let (pairs, _) = self.facts.split_at(usize::from(self.header.filed) * FILED);
        pairs.chunks_exact(FILED).filter_map(|pair| Some((u32_at(pair, 0)?, u64_at(pair, 4)?)))
    }

    /// Their names, in the same order.
    pub fn names(&self) -> impl Iterator<Item = String> + 'a {
        self.numbers().split(|octet| *octet == b' ').filter_map(|part| {
            let colon = part.iter().rposition(|octet| *octet == b':')?;
            Some(String::from_utf8_lossy(&part[..colon]).into_owned())
        })
    }

    fn part(&self, skip: usize, len: usize) -> &'a [u8] {
        let at = usize::from(self.header.filed) * FILED + skip;
        &self.facts[at..at + len]
    }

    /// The Message-ID.
    pub fn id(&self) -> &'a [u8] {
        self.part(0, self.header.id_len.into())
    }

    /// The names in Newsgroups.
    pub fn newsgroups(&self) -> &'a [u8] {
        self.part(self.header.id_len.into(), self.header.newsgroups_len as usize)
    }

    /// The peer it came from.
    pub fn source(&self) -> &'a [u8] {
        let at = usize::from(self.header.id_len) + self.header.newsgroups_len as usize;
        self.part(at, self.header.source_len.into())
    }

    /// The names in Distribution.
    pub fn distribution(&self) -> &'a [u8] {
        let end = self.facts.len() - self.header.row_len as usize - self.header.path_len as usize;
        &self.facts[end - usize::from(self.header.distribution_len)..end]
    }

    /// The value of Path.
    pub fn path(&self) -> &'a [u8] {
        let end = self.facts.len() - self.header.row_len as usize;
        &self.facts[end - self.header.path_len as usize..end]
    }

    /// The overview row, or the text of an act.
    pub fn row(&self) -> &'a [u8] {
        &self.facts[self.facts.len() - self.header.row_len as usize..]
    }

    /// `group:number` separated by blanks.
    pub fn numbers(&self) -> &'a [u8] {
        &self.facts[self.facts.len() - self.header.numbers_len as usize..]
    }
}

/// What the writer adds to an article.
pub(super) struct Numbered<'a> {
    pub seq: Seq,
    /// Newsgroup ids and numbers.
    pub filed: &'a [(u32, u64)],
    /// The same as text, as Xref has it.
    pub numbers: &'a str,
    /// CRC-32 of the body.
    pub body_crc: u32,
    /// The log's.
    pub salt: u32,
}

/// Where an encoded article stands in the buffer it was appended to.
pub(super) struct Encoded {
    /// Octets of the whole record.
    pub total: u64,
    /// Octets that were appended: up to the body.
    pub octets: u64,
    /// The overview row in the buffer.
    pub row: std::ops::Range<usize>,
    /// Octets of the header section, Xref included.
    pub head_len: usize,
}

/// Appends an article's record up to its body. The caller appends the body and pads.
pub(super) fn encode_article(
    out: &mut Vec<u8>,
    identity: &str,
    article: &NewArticle,
    numbered: &Numbered<'_>,
) -> Encoded {
    let start = out.len();
    out.resize(start + HEADER, 0);
    for (id, number) in numbered.filed {
        out.extend_from_slice(&id.to_le_bytes());
        out.extend_from_slice(&number.to_le_bytes());
    }
    let id = article.id.as_str();
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(article.newsgroups.as_bytes());
    out.extend_from_slice(article.source.as_bytes());
    out.extend_from_slice(article.distribution.as_bytes());
    out.extend_from_slice(&article.path);
    let row_at = out.len();
    let head_len = article.head.len() + XREF.len() + identity.len() + 1 + numbered.numbers.len() + 2;
    // RFC 3977 s.8.1.1: header section, empty line and body, without stuffing and terminator.
    let octets = (head_len + article.body.len()).saturating_sub(3) as u64;
    out.extend_from_slice(&article.row);
    out.push(b'\t');
    decimal::push(octets.saturating_sub(article.stuffed), out);
    out.push(b'\t');
    decimal::push(article.lines, out);
    out.push(b'\t');
    let xref_at = out.len();
    out.extend_from_slice(XREF);
    out.extend_from_slice(identity.as_bytes());
    out.push(b' ');
    out.extend_from_slice(numbered.numbers.as_bytes());
    let row = row_at..out.len();
    let head_at = out.len();
    out.extend_from_slice(&article.head);
    out.extend_from_within(xref_at..row.end);
    out.extend_from_slice(b"\r\n");
    let mut header = Header {
        kind: Kind::Article,
        seq: numbered.seq,
        arrived: article.arrived,
        date: article.date,
        head_len: head_len as u32,
        body_len: article.body.len() as u32,
        lines: u32::try_from(article.lines).unwrap_or(u32::MAX),
        stuffed: u32::try_from(article.stuffed).unwrap_or(u32::MAX),
        head_crc: crc32fast::hash(&out[head_at..]),
        body_crc: numbered.body_crc,
        traits: article.kind as u8 | if article.kept { KEPT } else { 0 },
        filed: numbered.filed.len() as u16,
        id_len: id.len() as u16,
        source_len: article.source.len() as u16,
        newsgroups_len: article.newsgroups.len() as u32,
        path_len: article.path.len() as u32,
        row_len: row.len() as u32,
        numbers_len: numbered.numbers.len() as u32,
        distribution_len: article.distribution.len() as u16,
        crc: 0,
    };
    header.write(&mut out[start..start + HEADER]);
    header.crc = salted_crc(&out[start + 8..head_at], numbered.salt);
    out[start + 4..start + 8].copy_from_slice(&header.crc.to_le_bytes());
    Encoded { total: header.total(), octets: (out.len() - start) as u64, row, head_len }
}

const XREF: &[u8] = b"Xref: ";

/// May the article be a record? Its lengths must fit the fields above.
pub(super) fn fits(article: &NewArticle) -> bool {
    let facts = article.row.len() + article.path.len() + article.newsgroups.len();
    facts + article.head.len() < FACTS_MAX / 2
        && (article.body.len() as u64) < RECORD_MAX / 2
        && article.source.len() <= usize::from(u16::MAX)
        && article.distribution.len() <= usize::from(u16::MAX)
        && article.groups.len() <= usize::from(u16::MAX)
}

/// What an act's record says.
pub(super) struct ActText<'a> {
    pub kind: Kind,
    pub seq: Seq,
    pub at: Timestamp,
    pub text: &'a [u8],
    /// The log's.
    pub salt: u32,
}

/// Appends an act's whole record; returns its octets.
pub(super) fn encode_act(out: &mut Vec<u8>, act: &ActText<'_>) -> u64 {
    let &ActText { kind, seq, at, text, salt } = act;
    let start = out.len();
    out.resize(start + HEADER, 0);
    out.extend_from_slice(text);
    let mut header = Header {
        kind,
        seq,
        arrived: at,
        date: at,
        head_len: 0,
        body_len: 0,
        lines: 0,
        stuffed: 0,
        head_crc: 0,
        body_crc: 0,
        traits: 0,
        filed: 0,
        id_len: 0,
        source_len: 0,
        newsgroups_len: 0,
        path_len: 0,
        row_len: text.len() as u32,
        numbers_len: 0,
        distribution_len: 0,
        crc: 0,
    };
    header.write(&mut out[start..start + HEADER]);
    header.crc = salted_crc(&out[start + 8..], salt);
    out[start + 4..start + 8].copy_from_slice(&header.crc.to_le_bytes());
    out.resize(start + header.total() as usize, 0);
    header.total()
}
