//! Capability labels (RFC 3977 s.3.3.2, RFC 4644 s.2.2) as a client reads them from a 101 block.

/// What a server says it can do; unknown labels are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `READER`.
    pub reader: bool,
    /// `MODE-READER`: the server wants MODE READER first.
    pub mode_reader: bool,
    /// `POST`.
    pub post: bool,
    /// `IHAVE`.
    pub ihave: bool,
    /// `STREAMING`.
    pub streaming: bool,
    /// `OVER`.
    pub over: bool,
    /// `HDR`.
    pub hdr: bool,
    /// `NEWNEWS`.
    pub newnews: bool,
    /// `IMPLEMENTATION`'s argument.
    pub implementation: Option<String>,
}

impl Capabilities {
    /// Parses the lines of the block, without terminator. Labels are case-insensitive.
    pub fn parse(block: &str) -> Self {
        let mut known = Self::default();
        for line in block.lines() {
            let line = line.trim();
            let (label, arguments) = line.split_once([' ', '\t']).unwrap_or((line, ""));
            match label.to_ascii_uppercase().as_str() {
                "READER" => known.reader = true,
                "MODE-READER" => known.mode_reader = true,
                "POST" => known.post = true,
                "IHAVE" => known.ihave = true,
                "STREAMING" => known.streaming = true,
                "OVER" => known.over = true,
                "HDR" => known.hdr = true,
                "NEWNEWS" => known.newnews = true,
                "IMPLEMENTATION" => known.implementation = Some(arguments.trim_start().to_owned()),
                _ => {}
            }
        }
        known
    }
}
