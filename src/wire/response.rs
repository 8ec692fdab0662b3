//! Response codes (RFC 3977 s.3.2, appendix C; RFC 4644 s.4) and response lines as a client reads them.

/// A three-digit response code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code(pub u16);

/// One response line, as a client reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// The three digits.
    pub code: Code,
    /// What follows the code and one space, without CRLF; may be empty.
    pub text: &'a str,
}

impl<'a> Response<'a> {
    /// Parses one line (with or without its CRLF); none when it does not begin with three digits
    /// that stand alone. Octets that are not UTF-8 end the text there.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (digits, text) = line.split_first_chunk::<3>()?;
        let text = match text {
            [] => text,
            [b' ' | b'\t', text @ ..] => text,
            _ => return None,
        };
        let mut code = 0;
        for digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            code = code * 10 + u16::from(digit - b'0');
        }
        let text = text.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        Some(Self { code: Code(code), text })
    }

    /// The first word of the text: the Message-ID of a 238, 239, 431, 438 or 439.
    pub fn argument(&self) -> Option<&'a str> {
        self.text.split_ascii_whitespace().next()
    }
}
