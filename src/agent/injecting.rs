//! The injecting agent (RFC 5537 s.3.5): makes an article of the proto-article (s.3.4.1) that a user
//! posts, or tells the user what to mend.
//!
//! It is strict where [`super::relaying`] is generous, because only here is somebody who can still
//! mend the article (s.3.5, second paragraph). The body is never altered (step 6), nor is any field
//! of the poster's but Path: Path comes first, the poster's fields follow in their order, and what
//! we add stands behind them.
//!
//! There is no way to a moderator from here: what is not approved for a moderated newsgroup is
//! rejected, as step 7 asks where forwarding is not possible.

use super::checks::{self, Counts, Filing, Place};
use super::{Policy, Posting, Reason};
use crate::article::{
    ArticleKind, Diagnostic, Field, Head, HeadError, MessageId, NewsgroupName, PathIdentity, date, newsgroup,
    path,
};
use crate::clock::Timestamp;

/// Random octets in a Message-ID that is made here: 128 bits.
pub const RANDOM_LEN: usize = 16;
/// Octets of a header line that anybody may generate, without CRLF (RFC 5536 s.2.2).
const LINE_MAX: usize = 998;
/// The shortest cutoff for injection (RFC 5537 s.3.5 step 3: 72 hours).
const CUTOFF_DAYS_MIN: u32 = 3;

/// An injected article.
#[derive(Clone, Debug)]
pub struct Injected<G> {
    /// Its Message-ID, the poster's or one made here.
    pub id: MessageId,
    /// Its header section with the empty line.
    pub head: Vec<u8>,
    /// Octets of the proto-article's header section with the empty line: the body begins there.
    pub proto_head_len: usize,
    /// The value of Path.
    pub path: Vec<u8>,
    /// Where it belongs.
    pub filing: Filing<G>,
    /// Its own date: Injection-Date, else Date (RFC 5537 s.3.3).
    pub date: Timestamp,
    /// For overview.
    pub counts: Counts,
    /// The names in Distribution, comma-separated.
    pub distribution: String,
    /// What it carries.
    pub kind: ArticleKind,
}

/// Judges `proto`, a proto-article in wire form with its terminator, posted from the address
/// `poster`. `fresh` becomes its Message-ID if the poster gave none (see [`fresh_id`]). `lookup` finds
/// a newsgroup of this site and what it takes. That the poster may post (step 1) is settled before.
pub fn judge<G>(
    proto: &[u8],
    poster: Option<&str>,
    fresh: MessageId,
    policy: &Policy<'_>,
    mut lookup: impl FnMut(&str) -> Option<(G, Posting)>,
) -> Result<Injected<G>, Reason> {
    let checks::Opened { head, counts } = checks::open(proto, policy)?;

    // Step 2: the fields of a proto-article, and only those, validly.
    for field in [Field::From, Field::Newsgroups, Field::Subject] {
        checks::mandatory(&head, field)?;
    }
    not_injected_before(&head, policy)?;
    lines_are_valid(&head)?;
    fields_are_valid(&head)?;
    let given_id = head.value(Field::MessageId).map(poster_id).transpose()?;

    // Step 3: dates.
    let written = checks::date_of(&head, Field::Date)?;
    let injected = checks::date_of(&head, Field::InjectionDate)?;
    for at in [written, injected].into_iter().flatten() {
        checks::not_in_future(at, policy)?;
        checks::not_too_old(at, CUTOFF_DAYS_MIN, policy)?;
    }

    // Step 4: at least one newsgroup that exists, none that is reserved (RFC 5536 s.3.1.4) unless
    // this site agreed to have it. Step 7: nothing unapproved into a moderated one.
    let approved = head.value(Field::Approved).is_some();
    let filing = checks::file(&head, policy, |name| match lookup(name) {
        Some((_, Posting::Moderated)) if !approved => Err(Reason::NotModerated(name.to_owned())),
        Some((group, Posting::Allowed | Posting::Moderated)) => Ok(Place::In(group)),
        Some(_) => Err(Reason::PostingForbidden(name.to_owned())),
        None if is_reserved(name) => {
            Err(Reason::BadField { field: Field::Newsgroups.name(), why: "reserved newsgroup name" })
        }
        None => Ok(Place::Nowhere),
    })?;

    // Steps 8 and 9: Path.
    let diagnostic = Diagnostic::Posted(poster.map(str::to_owned));
    let path = path::prepend(policy.identity, &diagnostic, head.value(Field::Path));

    // Steps 5, 10 and 11: what is added. Message-ID and Date both given means that the article may
    // have been handed to another injecting agent as well: its date must then stay what it is.
    let may_be_elsewhere = given_id.is_some() && written.is_some();
    let mut added = String::with_capacity(320);
    let mut add = |field: Field, value: &str| {
        added.push_str(field.name());
        added.push_str(": ");
        added.push_str(value);
        added.push_str("\r\n");
    };
    let id = match given_id {
        Some(id) => id,
        None => {
            add(Field::MessageId, fresh.as_str());
            fresh
        }
    };
    let now = date::format(policy.now);
    if written.is_none() {
        add(Field::Date, &now);
    }
    match poster {
        // Quoted, as RFC 5536 s.3.2.8 advises: an IPv6 address is no token.
        Some(poster) => {
            add(Field::InjectionInfo, &format!("{}; posting-host=\"{poster}\"", policy.identity));
        }
        None => add(Field::InjectionInfo, policy.identity.as_str()),
    }
    if injected.is_none() && !may_be_elsewhere {
        add(Field::InjectionDate, &now);
    }

    let body = proto.get(head.section().len()..).unwrap_or_default();
    Ok(Injected {
        distribution: checks::distribution(&head),
        kind: ArticleKind::of(&head, body),
        id,
        head: assemble(&head, &path, &added),
        proto_head_len: head.len(),
        path,
        filing,
        date: injected.or(if may_be_elsewhere { written } else { None }).unwrap_or(policy.now),
        counts,
    })
}

/// Path, the poster's fields without Path, ours, the empty line.
fn assemble(head: &Head<'_>, path: &[u8], added: &str) -> Vec<u8> {
    let section = head.section();
    let old_path = head.span(Field::Path).unwrap_or(0..0);
    let mut out = Vec::with_capacity(section.len() + path.len() + added.len() + b"Path: \r\n\r\n".len());
    out.extend_from_slice(b"Path: ");
    out.extend_from_slice(path);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(section.get(..old_path.start).unwrap_or_default());
    out.extend_from_slice(section.get(old_path.end..).unwrap_or_default());
    out.extend_from_slice(added.as_bytes());
    out.extend_from_slice(b"\r\n");
    out
}

/// RFC 5537 s.3.4.1, s.3.5 step 2: a proto-article bears no trace of an injection, here or elsewhere,
/// today's or yesterday's.
fn not_injected_before(head: &Head<'_>, policy: &Policy<'_>) -> Result<(), Reason> {
    for field in
        [Field::InjectionInfo, Field::Xref, Field::NntpPostingHost, Field::NntpPostingDate, Field::XTrace]
    {
        if head.value(field).is_some() {
            return Err(Reason::BadField { field: field.name(), why: "servers add it, not posters" });
        }
    }
    let Some(value) = head.value(Field::Path) else { return Ok(()) };
    if value.trim_ascii().is_empty() {
        return Ok(());
    }
    let bad = |why| Err(Reason::BadField { field: Field::Path.name(), why });
    if !path::is_valid(value) {
        return bad("Illegal path element");
    }
    if value.split(|octet| *octet == b'!').any(is_posted) {
        return bad("shows a previous injection of the article");
    }
    if path::has_identity(value, policy.identity.as_str()) {
        return Err(Reason::Loop);
    }
    Ok(())
}

/// Is this element of a Path the `POSTED` diagnostic (keywords are case-insensitive)?
fn is_posted(element: &[u8]) -> bool {
    const POSTED: &[u8] = b".POSTED";
    let element = element.trim_ascii();
    element.get(..POSTED.len()).is_some_and(|start| start.eq_ignore_ascii_case(POSTED))
        && matches!(element.get(POSTED.len()), None | Some(b'.'))
}

/// RFC 5536 s.2.2: no line of more than 998 octets, none without content.
fn lines_are_valid(head: &Head<'_>) -> Result<(), Reason> {
    let mut number: u32 = 0;
    for line in head.section().split(|octet| *octet == b'\n') {
        number = number.saturating_add(1);
        if line.strip_suffix(b"\r").unwrap_or(line).len() > LINE_MAX {
            return Err(Reason::Malformed(HeadError::LineTooLong(number)));
        }
    }
    for (name, value) in head.iter() {
        // Some posters leave Path to us by sending an empty one; ours takes its place.
        if Field::from_name(name) == Some(Field::Path) && value.trim_ascii().is_empty() {
            continue;
        }
        if value.split(|octet| *octet == b'\n').any(|line| line.trim_ascii().is_empty()) {
            return Err(Reason::EmptyField(String::from_utf8_lossy(name).into_owned()));
        }
    }
    Ok(())
}

/// The syntax of the fields that agents rely on (RFC 5536 s.3.1, s.3.2). Message-ID, Date,
/// Injection-Date and Newsgroups are looked at where they are used.
fn fields_are_valid(head: &Head<'_>) -> Result<(), Reason> {
    let bad = |field: Field, why| Err(Reason::BadField { field: field.name(), why });
    for field in [Field::From, Field::Sender, Field::ReplyTo, Field::Approved] {
        if head.value(field).is_some_and(|value| !has_address(value)) {
            return bad(field, "no address in Internet syntax");
        }
    }
    checks::date_of(head, Field::Expires)?;
    if let Some(value) = head.value(Field::FollowupTo) {
        let is_name = |name| NewsgroupName::check(name).is_ok();
        if value != b"poster" && !newsgroup::names(value).all(is_name) {
            return bad(Field::FollowupTo, "neither newsgroups nor \"poster\"");
        }
    }
    if head.value(Field::Supersedes).is_some_and(|value| !is_strict_id(value)) {
        return bad(Field::Supersedes, "not a message identifier");
    }
    let Some(control) = head.value(Field::Control) else { return Ok(()) };
    if head.value(Field::Supersedes).is_some() {
        return bad(Field::Control, "Supersedes must not stand beside it");
    }
    match checks::verb_of(control) {
        "cancel" => {
            let target = control.get(b"cancel".len()..).unwrap_or_default().trim_ascii();
            if is_strict_id(target) { Ok(()) } else { bad(Field::Control, "cancels no message identifier") }
        }
        // RFC 5537 s.5.2: group control messages must have Approved.
        "newgroup" | "rmgroup" | "checkgroups" if head.value(Field::Approved).is_none() => {
            Err(Reason::Missing(Field::Approved.name()))
        }
        "newgroup" | "rmgroup" | "checkgroups" => Ok(()),
        // RFC 5537 s.5: unknown kinds are ignored or rejected; the others it names are obsolete or
        // for peers.
        _ => bad(Field::Control, "not a control message that can be posted"),
    }
}

/// Is there an `addr-spec` in `value` (RFC 5322 s.3.4), outside of comments and quoted strings?
/// Enough to tell an address from a mere name, as a reader's reply needs it.
fn has_address(value: &[u8]) -> bool {
    let mut comments = 0u32;
    let mut quoted = false;
    let mut before = b' ';
    let mut octets = value.iter().copied().peekable();
    while let Some(octet) = octets.next() {
        match octet {
            b'\\' => {
                octets.next();
            }
            b'"' if comments == 0 => quoted = !quoted,
            b'(' if !quoted => comments = comments.saturating_add(1),
            b')' if !quoted => comments = comments.saturating_sub(1),
            b'@' if !quoted && comments == 0 => {
                let local = before == b'"' || is_atext(before) || before == b'.';
                let domain = octets.peek().is_some_and(|next| *next == b'[' || is_atext(*next));
                if local && domain {
                    return true;
                }
            }
            _ => {}
        }
        before = octet;
    }
    false
}

/// RFC 5322 s.3.2.3 `atext`, and what is not US-ASCII.
fn is_atext(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet) || octet >= 0x80
}

/// The poster's Message-ID, which must be one of RFC 5536 s.3.1.3 to the letter.
fn poster_id(value: &[u8]) -> Result<MessageId, Reason> {
    let bad = Reason::BadField { field: Field::MessageId.name(), why: "not a message identifier" };
    if is_strict_id(value) { MessageId::try_from(value).map_err(|_| bad) } else { Err(bad) }
}

/// RFC 5536 s.3.1.3: `"<" dot-atom-text "@" ( dot-atom-text / no-fold-literal ) ">"`.
fn is_strict_id(value: &[u8]) -> bool {
    let is_dot_atom = |text: &[u8]| {
        text.split(|octet| *octet == b'.')
            .all(|atom| !atom.is_empty() && atom.iter().all(|octet| octet.is_ascii() && is_atext(*octet)))
    };
    let is_literal = |text: &[u8]| {
        text.strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]")).is_some_and(|text| {
            text.iter().all(|octet| octet.is_ascii_graphic() && !b"<>[]\\".contains(octet))
        })
    };
    let Some(core) = value.strip_prefix(b"<").and_then(|text| text.strip_suffix(b">")) else {
        return false;
    };
    let mut halves = core.splitn(2, |octet| *octet == b'@');
    let (Some(left), Some(right)) = (halves.next(), halves.next()) else { return false };
    MessageId::is_valid(value) && is_dot_atom(left) && (is_dot_atom(right) || is_literal(right))
}

/// A new Message-ID: 128 random bits at this site (RFC 5536 s.3.1.3). The left side is in one case,
/// because no two may differ in case only. None when `identity` is too long to stand in one.
pub fn fresh_id(random: [u8; RANDOM_LEN], identity: &PathIdentity) -> Option<MessageId> {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let bits = u128::from_be_bytes(random);
    let mut text = String::with_capacity(32 + identity.as_str().len());
    text.push('<');
    for shift in (0..u128::BITS).step_by(5) {
        text.push(char::from(DIGITS[(bits >> shift & 31) as usize]));
    }
    text.push('@');
    text.push_str(identity.as_str());
    text.push('>');
    MessageId::try_from(text.as_str()).ok()
}

/// RFC 5536 s.3.1.4: names that are not for ordinary newsgroups.
fn is_reserved(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or_default();
    matches!(first, "example" | "to" | "control")
        || matches!(name, "poster" | "junk")
        || name.split('.').any(|component| matches!(component, "all" | "ctl"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_id_is_one_of_rfc_5536() {
        let identity = PathIdentity::try_from("here.example").unwrap();
        let id = fresh_id([0xff; RANDOM_LEN], &identity).unwrap();
        assert_eq!(id.as_str(), "<vvvvvvvvvvvvvvvvvvvvvvvvv7@here.example>");
        assert!(is_strict_id(id.as_str().as_bytes()));
        let mut one_bit = [0; RANDOM_LEN];
        one_bit[RANDOM_LEN - 1] = 1;
        assert_eq!(
            fresh_id(one_bit, &identity).unwrap().as_str(),
            "<10000000000000000000000000@here.example>"
        );
        let long = PathIdentity::try_from(["a".repeat(60).as_str(); 4].join(".").as_str()).unwrap();
        assert_eq!(fresh_id(one_bit, &long), None, "250 octets at most");
    }

    #[test]
    fn posters_message_ids_are_strict() {
        for good in ["<a@b>", "<a.b.c$1%x@news.example>", "<a@[192.0.2.1]>"] {
            assert!(is_strict_id(good.as_bytes()), "{good}");
        }
        for bad in [
            "<ab>",
            "<@b>",
            "<a@>",
            "<a.@b>",
            "<.a@b>",
            "<a..b@c>",
            "<a@b@c>",
            "<a@b c>",
            "a@b",
            "<a@b",
            "<\"a\"@b>",
            "<a@[b]c]>",
            "<\u{e9}@b>",
            "",
        ] {
            assert!(!is_strict_id(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn an_address_is_told_from_a_name() {
        for good in [
            "a@b",
            "a@b (A B)",
            "A B <a@b.example>",
            "\"A @ B\" <a@b>",
            "\"a b\"@c",
            "(x (y) @) a@[192.0.2.1]",
            "group: a@b, c@d;",
        ] {
            assert!(has_address(good.as_bytes()), "{good}");
        }
        for bad in ["", "A B", "@", "a@", "@b", "a @ b", "\"a@b\"", "(a@b)", "(a\\)@b)", "\"a\\\"@b\""] {
            assert!(!has_address(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn posted_is_a_keyword_and_not_a_prefix() {
        for yes in [".POSTED", ".posted.192.0.2.1", " .POSTED"] {
            assert!(is_posted(yes.as_bytes()), "{yes}");
        }
        for no in ["POSTED", ".POSTEDx", ".SEEN.POSTED", ""] {
            assert!(!is_posted(no.as_bytes()), "{no}");
        }
    }
}
