//! Articles that nobody here wrote: 1,000 of them from April 1993, imported into one end of a line of
//! three sites, read at all of them. Skipped where the archive is not at hand; `FEEDD_CORPUS` tells
//! where it is.

#![allow(clippy::unwrap_used, reason = "a failing step of a test is a failing test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use support::articles::{field, what_travels};
use support::process::{temp_dir, wait_until};
use support::site::{Site, beside_the_project};

/// Where the archive is, unless it is nowhere.
fn archive() -> Option<PathBuf> {
    let path = std::env::var_os("FEEDD_CORPUS")
        .map_or_else(|| beside_the_project("../shared/corpus/articles-1993.tar.xz"), PathBuf::from);
    if !path.exists() {
        println!("skipped: no corpus at {} (FEEDD_CORPUS can tell where it is)", path.display());
        return None;
    }
    Some(path)
}

/// The files of a folder and of all below.
fn files_below(folder: PathBuf) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(path) } else { vec![path] }).collect()
}

#[test]
fn real_articles_reach_the_end_of_the_line_unchanged() {
    let Some(archive) = archive() else { return };
    let folder = temp_dir();
    let unpacked = lzma_rust2::XzReader::new(File::open(archive).unwrap(), true);
    tar::Archive::new(unpacked).unpack(folder.path()).unwrap();
    let articles: Vec<Vec<u8>> =
        files_below(folder.path().to_owned()).into_iter().map(|path| std::fs::read(path).unwrap()).collect();
    let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for article in &articles {
        let id = field(article, "Message-ID").unwrap();
        // Real lists have empty names in them, and blanks around names.
        let newsgroups = field(article, "Newsgroups").unwrap();
        for newsgroup in newsgroups.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            expected.entry(newsgroup.to_owned()).or_default().insert(id.clone());
        }
    }
    let newsgroups: Vec<&str> = expected.keys().map(String::as_str).collect();
    println!("{} articles in {} newsgroups", articles.len(), newsgroups.len());

    let [mut a, mut b, mut c] =
        ["a.example", "b.example", "c.example"].map(|identity| Site::init(identity, &newsgroups));
    for (one, other) in [(&a, &b), (&b, &a), (&b, &c), (&c, &b)] {
        one.peer_with(other);
    }
    for site in [&mut a, &mut b, &mut c] {
        site.start();
    }
    let said = a.feedd(&["import"], &["--no-cutoff", folder.path().to_str().unwrap()]);
    println!("{said}");

    for site in [&a, &b, &c] {
        let mut client = site.client();
        let ids: Vec<String> = articles.iter().map(|a| field(a, "Message-ID").unwrap()).collect();
        let mut missing = Vec::new();
        let whole = wait_until(Duration::from_secs(60), || {
            missing = client.missing(&ids);
            missing.is_empty()
        });
        assert!(whole, "{} lacks {}: {:?}", site.identity, missing.len(), missing.first());
        for (id, file) in ids.iter().zip(&articles) {
            let served = client.article(id).unwrap();
            let (fields, body) = what_travels(&served);
            let (fields_of_file, body_of_file) = what_travels(file);
            let text = |fields: &[Vec<u8>]| String::from_utf8_lossy(&fields.concat()).into_owned();
            assert_eq!(text(&fields), text(&fields_of_file), "{}: header of {id}", site.identity);
            assert!(body == body_of_file, "{}: body of {id}", site.identity);
        }
    }
    is_all_and_only(&[&a, &b, &c], &expected);

    a.feedd(&["import"], &["--no-cutoff", folder.path().to_str().unwrap()]);
    is_all_and_only(&[&a, &b, &c], &expected);
}

/// Every newsgroup of every site has exactly these articles.
#[track_caller]
fn is_all_and_only(sites: &[&Site], expected: &BTreeMap<String, BTreeSet<String>>) {
    for site in sites {
        let mut client = site.client();
        for (newsgroup, ids) in expected {
            let rows = client.overview(newsgroup, 1);
            let held: BTreeSet<String> = rows.iter().map(|(_, id)| id.clone()).collect();
            assert_eq!(&held, ids, "{} {newsgroup}", site.identity);
            assert_eq!(rows.len(), ids.len(), "{} {newsgroup}: an article twice", site.identity);
            assert_eq!(client.group(newsgroup).0, ids.len() as u64, "{} {newsgroup}", site.identity);
        }
    }
}
