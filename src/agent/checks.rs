//! What the relaying and the injecting agent check alike, as they are serving agents both
//! (RFC 5537 s.3.7): octets, mandatory fields, dates, and the newsgroups an article is filed in.

use super::{JUNK, Policy, Reason};
use crate::article::{Field, Head, NewsgroupName, Octets, date, newsgroup};
use crate::clock::Timestamp;

/// Seconds that an article's date may be ahead of our clock (RFC 5537 s.3.6 step 2, s.3.7 step 2).
const FUTURE_S: i64 = 24 * 3600;
const DAY_S: i64 = 24 * 3600;

/// What overview says of an article's octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Lines of the body: `:lines`.
    pub lines: u64,
    /// Octets that dot-stuffing added, in header and body: `:bytes` leaves them out.
    pub stuffed: u64,
}

/// Where an article belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filing<G> {
    /// The newsgroups of this site to file it in, in the order of Newsgroups; at least one.
    pub groups: Vec<G>,
    /// All names in Newsgroups, joined by commas: what feeds match.
    pub newsgroups: String,
}

/// What becomes of an article in one newsgroup that it names.
pub(super) enum Place<G> {
    /// It is filed there.
    In(G),
    /// It is not, or there is none.
    Nowhere,
    /// It is not, but belongs in [`JUNK`] if it is filed nowhere else.
    Junk,
}

/// An article that may be looked at: its header section, and its octets counted.
pub(super) struct Opened<'a> {
    pub(super) head: Head<'a>,
    pub(super) counts: Counts,
}

/// Opens an article in wire form with its terminator: size, terminator, header section, octets.
/// Each octet is looked at once.
pub(super) fn open<'a>(article: &'a [u8], policy: &Policy<'_>) -> Result<Opened<'a>, Reason> {
    let text = article.strip_suffix(b".\r\n").ok_or(Reason::BadOctets)?;
    if text.len() > policy.article_bytes_max {
        return Err(Reason::TooLarge { bytes: text.len(), max: policy.article_bytes_max });
    }
    if !text.ends_with(b"\r\n") {
        return Err(Reason::BadOctets);
    }
    let head = Head::parse(text).map_err(Reason::Malformed)?;
    // RFC 3977 s.3.1.1 forbids them in a data block, RFC 5536 s.2.2 and RFC 5322 s.2.3 in an article.
    // In the header section they have been looked for already.
    let body = Octets::count(text.get(head.len()..).unwrap_or_default());
    if body.nul || body.bare {
        return Err(Reason::BadOctets);
    }
    let section = head.section();
    let in_head = u64::from(section.starts_with(b"."))
        .saturating_add(memchr::memmem::find_iter(section, b"\n.").count() as u64);
    let counts = Counts { lines: body.lines, stuffed: body.stuffed.saturating_add(in_head) };
    Ok(Opened { head, counts })
}

/// A mandatory field's value, which must not be blank (RFC 5536 s.2.2, s.3.1).
pub(super) fn mandatory<'a>(head: &Head<'a>, field: Field) -> Result<&'a [u8], Reason> {
    match head.value(field) {
        Some(value) if !value.is_empty() => Ok(value),
        _ => Err(Reason::Missing(field.name())),
    }
}

/// The names in Distribution (RFC 5536 s.3.2.4), comma-separated, without blanks.
pub(super) fn distribution(head: &Head<'_>) -> String {
    head.value(Field::Distribution).map(newsgroup_list).unwrap_or_default()
}

/// The names of a list, comma-separated, without blanks.
pub(super) fn newsgroup_list(value: &[u8]) -> String {
    let mut list = String::with_capacity(value.len());
    for name in newsgroup::names(value) {
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(name);
    }
    list
}

/// The date in a field, if the field is there.
pub(super) fn date_of(head: &Head<'_>, field: Field) -> Result<Option<Timestamp>, Reason> {
    match head.value(field) {
        None => Ok(None),
        Some(value) => match date::parse(value) {
            Some(at) => Ok(Some(at)),
            None => Err(Reason::BadField { field: field.name(), why: "not a date" }),
        },
    }
}

/// RFC 5537 s.3.6 step 2, s.3.7 step 2: not more than 24 hours into the future.
pub(super) fn not_in_future(at: Timestamp, policy: &Policy<'_>) -> Result<(), Reason> {
    if at > policy.now.plus_s(FUTURE_S) { Err(Reason::InFuture) } else { Ok(()) }
}

/// RFC 5537 s.3.3: not older than the cutoff, of at least `days_min` days, if there is one.
pub(super) fn not_too_old(at: Timestamp, days_min: u32, policy: &Policy<'_>) -> Result<(), Reason> {
    match policy.cutoff_days {
        Some(days) if at < policy.now.plus_s(-DAY_S * i64::from(days.max(days_min))) => Err(Reason::TooOld),
        _ => Ok(()),
    }
}

/// Files an article by its Newsgroups. `lookup` finds the place of a newsgroup, or says why the
/// article must not be filed there. An article with Control goes to the newsgroup of its kind
/// where the site has one; none of its newsgroups need exist then if it creates or removes them.
pub(super) fn file<G>(
    head: &Head<'_>,
    policy: &Policy<'_>,
    mut lookup: impl FnMut(&str) -> Result<Place<G>, Reason>,
) -> Result<Filing<G>, Reason> {
    let value = mandatory(head, Field::Newsgroups)?;
    if std::str::from_utf8(value).is_err() {
        return Err(Reason::BadField { field: Field::Newsgroups.name(), why: "neither US-ASCII nor UTF-8" });
    }
    let mut newsgroups = String::with_capacity(value.len());
    for (index, name) in newsgroup::names(value).enumerate() {
        if index >= policy.crosspost_max {
            return Err(Reason::TooManyNewsgroups(newsgroup::names(value).count()));
        }
        if let Err(bad) = NewsgroupName::check(name) {
            return Err(Reason::BadField { field: Field::Newsgroups.name(), why: bad.0 });
        }
        // Quadratic in the names of one article, of which there are crosspost_max at most; nearly
        // always it is one.
        if !newsgroup::names(value).take(index).any(|earlier| earlier == name) {
            if !newsgroups.is_empty() {
                newsgroups.push(',');
            }
            newsgroups.push_str(name);
        }
    }
    if newsgroups.is_empty() {
        return Err(Reason::NoNewsgroup);
    }
    let mut groups = Vec::new();
    let mut junk = false;
    for name in newsgroups.split(',') {
        match lookup(name)? {
            Place::In(group) => groups.push(group),
            Place::Nowhere => {}
            Place::Junk => junk = true,
        }
    }
    if groups.is_empty()
        && junk
        && let Place::In(group) = lookup(JUNK)?
    {
        groups.push(group);
    }
    if let Some(control) = head.value(Field::Control) {
        file_control(control, &mut groups, &mut lookup)?;
    }
    if groups.is_empty() {
        let first = newsgroups.split(',').next().unwrap_or_default();
        return Err(Reason::UnwantedNewsgroup(first.to_owned()));
    }
    Ok(Filing { groups, newsgroups })
}

/// RFC 5537 s.3.7: control messages belong in `control.<verb>` or `control`, not among the articles
/// that people read. Where the site has neither they stay where they were posted.
fn file_control<G>(
    control: &[u8],
    groups: &mut Vec<G>,
    lookup: &mut impl FnMut(&str) -> Result<Place<G>, Reason>,
) -> Result<(), Reason> {
    let verb = verb_of(control).to_ascii_lowercase();
    // RFC 5537 s.3.6: those that create or remove a newsgroup are relayed whether it exists or not.
    if groups.is_empty() && !matches!(verb.as_str(), "newgroup" | "rmgroup") {
        return Ok(());
    }
    let place = match lookup(&format!("control.{verb}"))? {
        Place::In(group) => Place::In(group),
        _ => lookup("control")?,
    };
    if let Place::In(group) = place {
        groups.clear();
        groups.push(group);
    }
    Ok(())
}

/// What a Control field asks for (RFC 5536 s.3.2.3); empty when it is no text.
pub(super) fn verb_of(control: &[u8]) -> &str {
    let verb = control.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    std::str::from_utf8(verb).unwrap_or_default()
}
