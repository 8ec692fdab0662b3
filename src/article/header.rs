//! The header section of an article (RFC 5536 s.2.2, s.3; RFC 5322 s.2.2): where each field is.

/// The header fields that the agents look at. `name()` has the spelling of RFC 5536.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each is the field of its name
#[repr(u8)]
pub enum Field {
    Approved,
    Archive,
    Control,
    Date,
    Distribution,
    Expires,
    From,
    FollowupTo,
    InjectionDate,
    InjectionInfo,
    Lines,
    MessageId,
    Newsgroups,
    NntpPostingDate,
    NntpPostingHost,
    Path,
    References,
    ReplyTo,
    Sender,
    Subject,
    Summary,
    Supersedes,
    XTrace,
    Xref,
}

impl Field {
    /// How many there are.
    pub const COUNT: usize = Self::Xref as usize + 1;

    /// The field's name, as RFC 5536 spells it.
    pub fn name(self) -> &'static str {
        todo!()
    }

    /// The field of this name (case-insensitive), if it is one of these.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        let _ = name;
        todo!()
    }
}

/// An article's header section, indexed. Borrows the article; allocates nothing.
#[derive(Clone, Debug)]
pub struct Head<'a> {
    bytes: &'a [u8],
    /// Octets of the header section including the empty line.
    len: usize,
    /// For each [`Field`]: start of its name, start of its value, end of its value (without the
    /// last CRLF). Start 0 = end 0 means absent.
    fields: [(u32, u32, u32); Field::COUNT],
}

/// Why bytes are no header section. Line numbers count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// No empty line ends it (RFC 5536 s.2: an article has a header, an empty line and a body).
    NoEmptyLine,
    /// The section is larger than [`crate::limits::HEADER_SECTION_MAX`] or has too many lines.
    TooLarge,
    /// A line longer than [`crate::limits::HEADER_LINE_MAX`].
    LineTooLong(u32),
    /// A line that is neither `name: value` nor a fold of the one before.
    BadLine(u32),
    /// A field of [`Field`] stands twice (RFC 5536 s.3).
    Duplicate(Field),
    /// A NUL, a bare CR or a bare LF.
    BadOctet(u32),
}

impl<'a> Head<'a> {
    /// Indexes the header section of `article` (wire form; what follows the empty line is not
    /// looked at). A header line of a good article never begins with a dot, so dot-stuffing does
    /// not matter here. A field body that is empty or blank only is kept as present and empty.
    /// The field name is followed by a colon and one blank (RFC 5536 s.2.2); a missing blank is
    /// tolerated when the line ends there or real-world fields need it.
    pub fn parse(article: &'a [u8]) -> Result<Self, HeadError> {
        let _ = article;
        todo!()
    }

    /// Octets of the header section with its empty line: the body begins there.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: a header section has at least its empty line.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The whole header section without the empty line.
    pub fn section(&self) -> &'a [u8] {
        &self.bytes[..self.len - 2]
    }

    /// The value of a field as it stands (folds inside, outer blanks trimmed, no last CRLF).
    pub fn value(&self, field: Field) -> Option<&'a [u8]> {
        let _ = field;
        todo!()
    }

    /// Where the whole field stands in the article, from its name to behind its last CRLF: for
    /// cutting it out or replacing it.
    pub fn span(&self, field: Field) -> Option<std::ops::Range<usize>> {
        let _ = field;
        todo!()
    }

    /// The value of any field by name, the first one: for HDR of fields that are not indexed.
    pub fn find(&self, name: &str) -> Option<&'a [u8]> {
        let _ = name;
        todo!()
    }

    /// All fields in order: name and value as they stand.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + '_ {
        todo!() as std::iter::Empty<_>
    }
}
