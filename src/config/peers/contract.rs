//! `send` and `accept`: a wildmat, or a section with the same words for both directions.

use crate::article::ArticleKind;
use crate::config::document::{At, Section};
use crate::config::{ArticleOrigin, Contract, PEER_SUBSCRIPTION, patterns};
use crate::wildmat::{Mark, Wildmat};

pub(super) const KEYS: [&str; 8] = [
    "newsgroups",
    "distributions",
    "bytes_max",
    "crosspost_max",
    "hops_max",
    "age_days_max",
    "origin",
    "kinds",
];
/// Octets that can be asked for: what an article can have at all.
const BYTES_CEILING: u64 = 1 << 30;

/// The contract under `key`; the layers of templates fill in what the block does not say.
pub(super) fn read(block: &Section<'_, '_>, key: &str) -> Contract {
    let section = block.sections_or_texts(key, &KEYS);
    // `send = "..."` is short for its newsgroups; what the nearest layer says counts.
    let short = if block.is_text(key) { block.text(key, "\"*,!local.*\"") } else { None };
    if !block.is_text(key) && section.is_none() && block.position(key).is_some() {
        // Neither of both: say what it should be.
        let _ = block.text(key, "\"*,!local.*\"");
    }
    let mut contract = Contract::default();
    let newsgroups = match (&short, &section) {
        (Some(text), _) => Some((block, *text)),
        (None, Some(section)) => section.text("newsgroups", "\"*,!local.*\"").map(|text| (section, text)),
        (None, None) => None,
    };
    let (place, text) = newsgroups.unwrap_or((block, At { value: PEER_SUBSCRIPTION, at: block.at }));
    contract.newsgroups =
        patterns::subscription(place, key, text).unwrap_or(Wildmat { patterns: Vec::new() });
    if let Some(section) = section {
        limits(&section, &mut contract);
    }
    contract
}

fn limits(section: &Section<'_, '_>, contract: &mut Contract) {
    if let Some(text) = section.text("distributions", "\"*,!local\"") {
        match Wildmat::parse_subscription(text.value) {
            Ok(wildmat) => {
                if wildmat.patterns.iter().all(|pattern| pattern.mark != Mark::Plain) {
                    section.mistake(
                        text.at,
                        format!("\"distributions\": \"{}\" takes none of them", text.value),
                        format!("put what is wanted before it, such as \"*,{}\"", text.value),
                    );
                }
                contract.distributions = wildmat;
            }
            Err(bad) => section.mistake(
                text.at,
                format!("\"distributions\" is no wildmat: {}", bad.0),
                "write patterns separated by commas, such as \"*,!local\"",
            ),
        }
    }
    let given = |key| section.position(key).is_some();
    if given("bytes_max") {
        contract.bytes_max =
            usize::try_from(section.octets("bytes_max", 64 << 10, 512..=BYTES_CEILING).value).ok();
    }
    for (key, default, max, place) in [
        ("crosspost_max", 10, 1000, &mut contract.crosspost_max),
        ("hops_max", 30, 1000, &mut contract.hops_max),
    ] {
        if given(key) {
            *place = usize::try_from(section.number(key, default, 1..=max).value).ok();
        }
    }
    if given("age_days_max") {
        contract.age_days_max = u32::try_from(section.number("age_days_max", 30, 1..=36_500).value).ok();
    }
    if let Some(text) = section.text("origin", "\"any\"") {
        match text.value {
            "any" => contract.origin = ArticleOrigin::Any,
            "local" => contract.origin = ArticleOrigin::Local,
            "relayed" => contract.origin = ArticleOrigin::Relayed,
            other => section.mistake(
                text.at,
                format!("\"origin\" is \"{other}\""),
                "write \"any\", \"local\" (injected at the sending site) or \"relayed\" (injected elsewhere)",
            ),
        }
    }
    if let Some(texts) = section.one_or_more_texts("kinds", "[\"text\"]") {
        for text in &texts {
            match text.value {
                "text" => contract.kinds.push(ArticleKind::Text),
                "yenc" => contract.kinds.push(ArticleKind::Yenc),
                "binary" => contract.kinds.push(ArticleKind::Binary),
                other => section.mistake(
                    text.at,
                    format!("\"{other}\" is no kind of article"),
                    "write \"text\", \"yenc\" or \"binary\" (files in other encodings)",
                ),
            }
        }
        if let ([], Some(at)) = (texts.as_slice(), section.position("kinds")) {
            section.mistake(
                at,
                "\"kinds\" is an empty list: no article fits",
                "name some, or remove the key",
            );
        }
    }
}
