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
    /// `STARTTLS` (RFC 4642).
    pub starttls: bool,
    /// `AUTHINFO`: there are logins, be it not as things are now (RFC 4643 s.2.1).
    pub authinfo: bool,
    /// `AUTHINFO`'s argument `USER` (RFC 4643 s.2.1).
    pub authinfo_user: bool,
    /// `AUTHINFO`'s argument `SASL`, with `PLAIN` among the arguments of `SASL`.
    pub sasl_plain: bool,
    /// `COMPRESS`'s argument `DEFLATE` (RFC 8054).
    pub compress_deflate: bool,
    /// `XSYNC`, of this project.
    pub sync: bool,
    /// `XTURN`, of this project.
    pub turn: bool,
    /// `IMPLEMENTATION`'s argument.
    pub implementation: Option<String>,
}

impl Capabilities {
    /// Parses the lines of the block, without terminator. Labels are case-insensitive.
    pub fn parse(block: &str) -> Self {
        let mut known = Self::default();
        let (mut authinfo_sasl, mut plain) = (false, false);
        for line in block.lines() {
            let line = line.trim();
            let (label, arguments) = line.split_once([' ', '\t']).unwrap_or((line, ""));
            let has = |wanted: &str| {
                arguments.split_ascii_whitespace().any(|argument| argument.eq_ignore_ascii_case(wanted))
            };
            match label.to_ascii_uppercase().as_str() {
                "READER" => known.reader = true,
                "MODE-READER" => known.mode_reader = true,
                "POST" => known.post = true,
                "IHAVE" => known.ihave = true,
                "STREAMING" => known.streaming = true,
                "OVER" => known.over = true,
                "HDR" => known.hdr = true,
                "NEWNEWS" => known.newnews = true,
                "STARTTLS" => known.starttls = true,
                "AUTHINFO" => {
                    known.authinfo = true;
                    (known.authinfo_user, authinfo_sasl) = (has("USER"), has("SASL"));
                }
                "SASL" => plain = has("PLAIN"),
                "COMPRESS" => known.compress_deflate = has("DEFLATE"),
                "XSYNC" => known.sync = true,
                "XTURN" => known.turn = true,
                "IMPLEMENTATION" => known.implementation = Some(arguments.trim_start().to_owned()),
                _ => {}
            }
        }
        known.sasl_plain = authinfo_sasl && plain;
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_of_a_server() {
        let block = "VERSION 2\r\nreader\r\nIHAVE\r\nPOST\r\nNEWNEWS\r\nHDR\r\nOVER MSGID\r\nSTREAMING\r\n\
                     LIST ACTIVE NEWSGROUPS\r\nIMPLEMENTATION feedd 0.1 (x)\r\nX-UNKNOWN\r\n";
        let expected = Capabilities {
            reader: true,
            mode_reader: false,
            post: true,
            ihave: true,
            streaming: true,
            over: true,
            hdr: true,
            newnews: true,
            implementation: Some("feedd 0.1 (x)".into()),
            ..Capabilities::default()
        };
        assert_eq!(Capabilities::parse(block), expected);
    }

    #[test]
    fn what_protects_and_compresses() {
        let known =
            Capabilities::parse("STARTTLS\nAUTHINFO user SASL\nSASL CRAM-MD5 PLAIN\nCOMPRESS DEFLATE\nXTURN");
        assert!(
            known.turn && known.starttls && known.authinfo_user && known.sasl_plain && known.compress_deflate
        );
        let not_now = Capabilities::parse("AUTHINFO\nSASL PLAIN\nCOMPRESS X-OTHER");
        assert_eq!(not_now, Capabilities { authinfo: true, ..Capabilities::default() });
    }

    #[test]
    fn a_transit_server_wants_mode_reader() {
        let known = Capabilities::parse("VERSION 2\nMODE-READER\nREADERS\n");
        assert_eq!(known, Capabilities { mode_reader: true, ..Capabilities::default() });
        assert_eq!(Capabilities::parse(""), Capabilities::default());
    }
}
