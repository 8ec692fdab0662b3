//! The news log, as INN's own tools read it, and its rotation.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::articles::{message_id, relayed};
use super::support::process::{free_port, text_of, wait_until};
use super::support::site::Site;
use super::{NEWSGROUP, WITHIN, post};

fn news(site: &Site) -> PathBuf {
    site.dir().join("data/log/news")
}

/// A running site whose news log has accepted articles, rejected ones and duplicates.
fn busy_site() -> Site {
    let mut site = Site::init("a.example", &[NEWSGROUP, "junk", "test.trash"]);
    site.feedd(&["group", "add"], &["test.trash", "--junk"]);
    site.accept_load();
    let address = format!("127.0.0.1:{}", free_port());
    let peer = ["b", "--identity", "b.example", "--address", &address, "--accept-from", "192.0.2.1"];
    site.feedd(&["peer", "add"], &peer);
    site.start();
    let mut client = site.client();
    for (number, newsgroup, code) in
        [(1, NEWSGROUP, "239"), (1, NEWSGROUP, "439"), (2, "no.such", "439"), (3, "test.trash", "239")]
    {
        let id = message_id("news", number);
        let said = client.takethis(&id, &relayed(&id, newsgroup, 1000)).unwrap();
        assert!(said.starts_with(code), "{said}");
    }
    assert!(post(&site, &message_id("news", 4), NEWSGROUP).starts_with("240"));
    assert!(wait_until(WITHIN, || text_of(&news(&site)).lines().count() == 5), "{}", text_of(&news(&site)));
    site
}

#[test]
fn each_article_has_its_line_in_the_form_of_inn() {
    let mut site = busy_site();
    let text = text_of(&news(&site));
    let line = |number: u64, mark: &str| {
        let id = message_id("news", number);
        let found = text.lines().find(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            words[3] == mark && words[5] == id
        });
        let line = found.unwrap_or_else(|| panic!("no {mark} {id} in {text}"));
        // `Aug 25 13:37:41.839 + feed <id> ...`
        assert_eq!(line.as_bytes()[15], b'.', "{line}");
        line.split_ascii_whitespace().skip(4).map(str::to_owned).collect::<Vec<_>>()
    };
    let first = line(1, "+");
    assert_eq!((first[0].as_str(), first[3].as_str(), first.len()), ("load", "b", 4), "{first:?}");
    assert!(first[2].parse::<u64>().unwrap() > 900);
    assert_eq!(line(1, "-")[2..], ["439", "Duplicate"]);
    assert_eq!(line(2, "-")[2..], ["439", "Unwanted", "newsgroup", "\"no.such\""]);
    assert_eq!(line(3, "j")[3], "b");
    // As in INN, an article that was posted comes from the site that is first in its Path.
    assert_eq!(line(4, "+")[0], "a.example");
    site.stop();
    assert_eq!(text_of(&news(&site)), text, "a stop adds nothing and loses nothing");
}

#[test]
fn a_moved_log_is_begun_anew_and_none_is_kept_where_none_is_wanted() {
    let mut site = busy_site();
    let moved = site.dir().join("news.old");
    fs::rename(news(&site), &moved).unwrap();
    site.feedd(&["reload"], &[]);
    let id = message_id("news", 9);
    assert!(post(&site, &id, NEWSGROUP).starts_with("240"));
    assert!(wait_until(WITHIN, || text_of(&news(&site)).contains(&id)));
    assert_eq!(text_of(&moved).lines().count(), 5);
    site.stop();
    let text = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), format!("newslog = \"\"\nfeedlog = \"\"\n{text}")).unwrap();
    fs::remove_dir_all(site.dir().join("data/log")).unwrap();
    site.start();
    assert!(post(&site, &message_id("news", 10), NEWSGROUP).starts_with("240"));
    site.stop();
    assert!(!site.dir().join("data/log").exists());
}

#[test]
fn refused_offers_are_told_where_that_is_wanted() {
    let mut site = busy_site();
    let feeds = site.dir().join("data/log/feeds");
    let id = message_id("news", 1);
    let refused = |command: &str, code: u16| {
        text_of(&feeds)
            .lines()
            .any(|line| line.contains(&format!("{id} {command} {code} 127.0.0.1 Duplicate")))
    };
    let told = |site: &Site| {
        for code in ["438", "435"] {
            let command = if code == "438" { "CHECK" } else { "IHAVE" };
            let said = site.client().ask(&format!("{command} {id}")).unwrap();
            assert!(said.starts_with(code), "{said}");
        }
        let marker = message_id("news", 100 + u64::from(site.pid()));
        assert!(post(site, &marker, NEWSGROUP).starts_with("240"));
        assert!(wait_until(WITHIN, || text_of(&feeds).contains(&marker)));
    };
    told(&site);
    assert!(!refused("CHECK", 438) && !refused("IHAVE", 435), "{}", text_of(&feeds));
    site.stop();
    let text = fs::read_to_string(site.config()).unwrap();
    let (usual, wanted) = ("feedlog_refused = false", "feedlog_refused = true");
    assert!(text.contains(usual));
    fs::write(site.config(), text.replace(usual, wanted)).unwrap();
    site.start();
    told(&site);
    assert!(wait_until(WITHIN, || refused("CHECK", 438) && refused("IHAVE", 435)), "{}", text_of(&feeds));
    let story = site.feedd(&["trace"], &[&id]);
    assert!(story.contains("from load (127.0.0.1) by CHECK: refused (438): Duplicate"), "{story}");
}

/// The example in deploy/, as it stands there but for the place, the user and the service.
#[test]
#[ignore = "needs logrotate"]
fn logrotate_moves_both_logs_and_nothing_is_lost() {
    let logrotate = "/usr/sbin/logrotate";
    if !Path::new(logrotate).exists() {
        eprintln!("skipped: {logrotate} is not installed");
        return;
    }
    let site = busy_site();
    let example = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/logrotate")).unwrap();
    let mut rules = example.clone();
    for (there, here) in [
        ("/var/lib/feedd", site.dir().display().to_string()),
        ("    su news news\n", String::new()),
        ("systemctl reload feedd.service", format!("kill -HUP {}", site.pid())),
    ] {
        assert!(rules.contains(there), "{there}");
        rules = rules.replace(there, &here);
    }
    let config = site.dir().join("rotate");
    fs::write(&config, rules).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();
    let folder = site.dir().join("data/log");
    let feeds = folder.join("feeds");
    let text = || (text_of(&news(&site)), text_of(&feeds));
    assert!(wait_until(WITHIN, || text().1.lines().count() >= 4), "{:?}", text());
    let before = text();
    let state = site.dir().join("state");
    let run = Command::new(logrotate).args(["--force", "--state"]).arg(&state).arg(&config).output().unwrap();
    assert!(run.status.success(), "{run:?}");
    let dated = |name: &str| {
        let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let own =
            |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(&format!("{name}-"));
        names.filter(own).map(|path| text_of(&path)).collect::<String>()
    };
    assert_eq!((dated("news"), dated("feeds")), before, "what was written is in the dated files");
    let id = message_id("news", 9);
    assert!(post(&site, &id, NEWSGROUP).starts_with("240"));
    let anew = || text().0.contains(&id) && text().1.contains(&id);
    assert!(wait_until(WITHIN, anew), "{:?}", text());
    assert_eq!((dated("news"), dated("feeds")), before, "and nothing more comes to them");
}

/// INN's own report on the log. Needs Debian's inn2.
#[test]
#[ignore = "needs innreport of Debian's package inn2"]
fn innreport_understands_the_log() {
    let library = "/usr/lib/news/innreport_inn.pm";
    if !std::path::Path::new(library).exists() {
        eprintln!("skipped: {library} is not installed");
        return;
    }
    let site = busy_site();
    // Its parser, line by line: it knows all of them, and counts what happened.
    let script = r#"
        my ($lib, $log) = @ARGV;
        require $lib;
        my $unknown = 0;
        open(my $in, '<', $log) or die;
        while (<$in>) {
            chomp;
            my ($day, $hour, $res, $left) = $_ =~ m/^(\S+\s+\S+) (\S+)\.\d+ (\S+) (.*)$/o;
            $unknown++ unless $day && innreport_inn::collect($day, $hour, 'inn', $res, $left, 0);
        }
        print join(' ', $unknown, $innreport_inn::inn_flow_total, $innreport_inn::inn_flow_size_total > 2000 ? 1 : 0,
            $innreport_inn::inn_duplicate{'load'}, $innreport_inn::inn_uw_ng{'no.such'}), "\n";
    "#;
    let output = Command::new("perl").args(["-e", script, library]).arg(news(&site)).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "0 3 1 1 1", "{output:?}");
}
